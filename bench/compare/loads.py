"""Throughput: every client against every broker, producing and consuming, and who paid for it."""
import json
import select
import struct
import subprocess
import time

import peer
import wire
from compare.stats import claim_memory, machine_cpu, process_cpu

VALUE_BYTES = 100
TARGETS = ["klamm", "klamm_produce", "klamm_consume", "klamm_latency"]
DELETE_TOPICS = 20


def delete_topics(broker, names):
    with broker.client() as client:
        client.call(DELETE_TOPICS, 1, struct.pack(">i", len(names)) + b"".join(map(wire.text, names)) + struct.pack(">i", 30000))
    # Not before their files are gone is their memory free for the next run.
    peer.wait_until(f"{', '.join(names)}: off the disk", lambda: not any(any(broker.data.glob(f"{name}-*")) for name in names), timeout=60)


def create_topic(broker, name, configs=None):
    with broker.client() as client:
        client.create_topic(name, 1, configs)
        peer.wait_until(f"{name} has a leader", lambda: client.metadata([name])[1][name] == (0, 1))


class Load:
    """One load program: started, ready, and then measured once. See bench/load/meter.h."""

    def __init__(self, argv):
        self.argv = [str(word) for word in argv]
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self, timeout):
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        text = self.process.stdout.readline() if ready else ""
        if not text:
            self.process.kill()
            raise peer.Failure(f"{' '.join(self.argv)}: {'no word' if ready else 'no answer'} within {timeout} s: "
                               f"{self.process.communicate()[1][-500:]}")
        return text

    def measure(self, broker_pid, timeout=180):
        """What the program counted, with the broker's CPU time during the work, and what others took of the machine."""
        try:
            peer.equal("first word", self.line(60).strip(), "ready")
            claim_memory()
            broker, (busy, steal), started = process_cpu(broker_pid), machine_cpu(), time.monotonic()
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            got = json.loads(self.line(timeout))
            elapsed = time.monotonic() - started
            broker_after, (busy_after, steal_after) = process_cpu(broker_pid), machine_cpu()
            _, errors = self.process.communicate(timeout=30)
            peer.expect(self.process.returncode == 0, f"{self.argv[0]}: exit status {self.process.returncode}: {errors[-500:]}")
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        got["broker_user"], got["broker_system"] = (after - before for after, before in zip(broker_after, broker))
        own = got.get("user", 0) + got.get("system", 0) + got["broker_user"] + got["broker_system"]
        got["others"] = max(0.0, busy_after - busy - own) / elapsed  # cores that other processes held
        got["steal"] = (steal_after - steal) / elapsed
        return got


def fill(setup, broker, topic, count):
    """Puts records into a topic by klamm's producer."""
    load = Load([setup.make("klamm_produce"), broker.bootstrap, topic, count, VALUE_BYTES])
    peer.equal("records delivered", load.measure(broker.server.process.pid)["records"], count)


class Matrix:
    def __init__(self, setup):
        self.setup = setup
        self.programs = setup.load_programs()
        self.topics = 0
        quick = setup.options.quick
        self.seconds = 0.7 if quick else 2.0
        self.most = 1_000_000 if quick else 6_000_000
        self.warm_seconds = 3 if quick else 20

    def fresh_topic(self, broker, stem):
        self.topics += 1
        name = f"{stem}-{self.topics}"
        create_topic(broker, name)
        return name

    def produce(self, broker, client, count):
        topic = self.fresh_topic(broker, "produce")
        load = Load([*self.programs[client]["produce"], broker.bootstrap, topic, count, VALUE_BYTES])
        got = load.measure(broker.server.process.pid)
        peer.equal(f"records that {client} says were delivered", got["records"], count)
        with broker.client() as connection:
            peer.equal(f"records of {client} in the log", connection.offset(topic), count + 1)
        delete_topics(broker, [topic])
        return got

    def consume(self, broker, client, count, mode="consume"):
        got = Load([*self.programs[client][mode], broker.bootstrap, "preloaded", count]).measure(broker.server.process.pid)
        peer.expect(count <= got["records"] and got["bytes"] >= count * VALUE_BYTES, f"{client} read {got['records']} of {count} records")
        return got

    def cells(self, brokers):
        """(direction, client, broker name, function of a count)"""
        found = []
        for name, broker in brokers.items():
            for client, modes in self.programs.items():
                found.append(("produce", client, name, lambda count, b=broker, c=client: self.produce(b, c, count)))
                found.append(("consume", client, name, lambda count, b=broker, c=client: self.consume(b, c, count)))
                if "poll" in modes:
                    found.append(("consume", f"{client} (poll)", name, lambda count, b=broker, c=client: self.consume(b, c, count, "poll")))
        return found

    def warm(self, broker):
        """A virtual machine compiles what it has seen often enough."""
        deadline = time.monotonic() + self.warm_seconds
        while time.monotonic() < deadline:
            self.produce(broker, "klamm", 200_000)
            self.consume(broker, "klamm", 200_000)

    def run(self, brokers):
        for broker in brokers.values():
            create_topic(broker, "preloaded")
            fill(self.setup, broker, "preloaded", self.most)
            self.warm(broker)
        cells = [cell for cell in self.cells(brokers) if self.wanted(cell)]
        counts = {}
        for direction, client, name, measure in cells:
            pilot = measure(200_000)
            counts[direction, client, name] = max(200_000, min(self.most, int(pilot["records"] / pilot["seconds"] * self.seconds)))
        results = {cell[:3]: [] for cell in cells}
        for repeat in range(self.setup.options.repeats):
            for cell in cells if repeat % 2 == 0 else reversed(cells):
                got = cell[3](counts[cell[:3]])
                results[cell[:3]].append(got)
                print(f"  {cell[0]} {cell[1]} on {cell[2]}: {got['records'] / got['seconds'] / 1e6:.2f} M/s, client "
                      f"{per_record(got, 'user', 'system'):.3f} + broker {per_record(got, 'broker_user', 'broker_system'):.3f} µs CPU a record"
                      + (f", others held {got['others']:.2f} cores" if got["others"] > 0.1 else ""), flush=True)
        return [{"direction": d, "client": c, "broker": b, "runs": runs} for (d, c, b), runs in results.items()]

    def wanted(self, cell):
        words = self.setup.options.cell
        return not words or all(word in cell[:3] or word in cell[1] for word in words)


def per_record(got, *keys):
    """Microseconds of CPU time a record."""
    return sum(got[key] for key in keys) / got["records"] * 1e6


def run(setup):
    matrix = Matrix(setup)
    brokers = setup.brokers()
    try:
        return {"cells": matrix.run(brokers)}
    finally:
        for broker in brokers.values():
            broker.kill()



def latency(setup):
    """From the time at which a record was due to its arrival at the consumer."""
    programs = setup.load_programs()
    seconds = 3 if setup.options.quick else 10
    rate = 2000
    brokers = setup.brokers()
    pairs = [(client, name) for name in brokers for client in programs if "latency" in programs[client]]
    results = {pair: [] for pair in pairs}
    try:
        for repeat in range(-1, max(1, setup.options.repeats // 2)):  # the first round warms up
            for client, name in pairs if repeat % 2 == 0 else reversed(pairs):
                broker, topic = brokers[name], f"latency-{client}-{repeat + 1}"
                create_topic(broker, topic)
                got = Load([*programs[client]["latency"], broker.bootstrap, topic, rate, seconds]).measure(broker.server.process.pid)
                if repeat >= 0:
                    results[client, name].append(got)
                    print(f"  {client} on {name}: p50 {got['p50_us']:.0f}, p99 {got['p99_us']:.0f}, p99.9 {got['p999_us']:.0f} µs", flush=True)
    finally:
        for broker in brokers.values():
            broker.kill()
    return {"rate": rate, "seconds": seconds, "cells": [{"client": c, "broker": b, "runs": runs} for (c, b), runs in results.items()]}
