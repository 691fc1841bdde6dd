"""What it costs to acknowledge a record when it is on the disk, not when it is in the page cache."""
import json
import time

import peer
from broker import Broker
from compare import loads
from compare.stats import Sample

TARGETS = ["klamm", "raw", "replay"]
RECORD_BYTES = 100
BYTES = 1000
DISK_TIMES = 500
REQUESTS = {1: 300, 10: 200, 100: 60}  # producers: requests of each when synced
UNSYNCED_SHARE = 10                    # so many times as many when not
MODES = {"synced": {"log_flush_interval_messages": 1}, "unsynced": {}}


def at_once(programs):
    """Starts the load programs, lets all go, and waits for the last; seconds."""
    for load in programs:
        peer.equal("first word", load.line(60).strip(), "ready")
    started = time.monotonic()
    for load in programs:
        load.process.stdin.write("\n")
        load.process.stdin.flush()
    for load in programs:
        load.line(180)
    seconds = time.monotonic() - started
    for load in programs:
        _, errors = load.process.communicate(timeout=30)
        peer.expect(load.process.returncode == 0, f"{load.argv[0]}: exit status {load.process.returncode}: {errors[-500:]}")
    return seconds


def measure(setup, broker, producers, requests, stem):
    topics = [f"{stem}-{number}" for number in range(producers)]
    with broker.client() as client:
        for topic in topics:
            client.create_topic(topic)
        peer.wait_until("every topic has a leader", lambda: all(client.metadata([topic])[1][topic] == (0, 1) for topic in topics))
    replay = setup.make("replay")
    programs = []
    try:
        for topic in topics:
            programs.append(loads.Load([replay, "produce", broker.bootstrap, topic, requests, BYTES, RECORD_BYTES]))
        seconds = at_once(programs)
    finally:
        for load in programs:
            if load.process.poll() is None:
                load.process.kill()
                load.process.wait()
    loads.delete_topics(broker, topics)
    return {"requests": requests * producers, "seconds": seconds}


def run(setup):
    repeats = 1 if setup.options.quick else min(setup.options.repeats, 3)
    raw = setup.make("raw")
    disk = []
    cells = {}
    for program in setup.broker_programs():
        for mode, settings in MODES.items():
            broker = Broker(program, setup.folder / f"sync-{program.name}-{mode}", log_segment_delete_delay_ms=1000, **settings).start()
            try:
                measure(setup, broker, 10, 100, "warm")
                for repeat in range(repeats):
                    disk.append(json.loads(peer.run([raw, "sync", DISK_TIMES, BYTES], cwd=setup.folder, timeout=60).text))
                    for producers, requests in REQUESTS.items():
                        count = requests * (UNSYNCED_SHARE if mode == "unsynced" else 1)
                        got = measure(setup, broker, producers, count, f"{mode}-{producers}-{repeat}")
                        cells.setdefault((program.name, producers), {"synced": [], "unsynced": []})[mode].append(got)
            finally:
                broker.kill()
    for (name, producers), modes in cells.items():
        print(f"  {name}, {producers} producers: " + ", ".join(
            f"{mode} {Sample([run['requests'] / run['seconds'] for run in runs]).median:.0f} requests/s" for mode, runs in modes.items()), flush=True)
    return {"bytes": BYTES, "disk": disk, "cells": [{"broker": name, "producers": producers, **modes} for (name, producers), modes in cells.items()]}
