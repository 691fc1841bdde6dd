"""Starting and stopping a broker on a directory with many partitions, each with a record: after a clean stop and after kill -9.

klamm makes the directory once, of Kafka's format; each broker gets copies of it. The clock of a start runs from the start of the process
until every partition has a leader in Metadata and has told its end in ListOffsets; that of a stop from SIGTERM to the end of the process.
"""
import os
import resource
import select
import shutil
import struct
import time

import peer
import wire
from broker import Broker
from compare.stats import status_kb

TOPICS = 10
PATIENCE = 400  # seconds
REPEATS = 1  # Kafka takes about two minutes for one with 10,000 partitions
PRODUCER = 4711
# As many partitions need more heap than the start script's 1 GB.
KAFKA_HEAP = "-Xmx2g"


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def batch(sequence):
    """One record of 100 bytes of an idempotent producer."""
    body = b"\0" + b"\0" + b"\0" + b"\1" + b"\xc8\1" + b"v" * 100 + b"\0"  # attributes, deltas, no key, value, no headers
    record = bytes([len(body) * 2 & 0x7F | 0x80, len(body) * 2 >> 7]) + body
    now = int(time.time() * 1000)
    covered = struct.pack(">hiqqqhii", 0, 0, now, now, PRODUCER, 0, sequence, 1) + record
    inner = struct.pack(">ibI", 0, 2, crc32c(covered)) + covered
    return struct.pack(">qi", 0, len(inner)) + inner


def produce(client, topic, partitions, sequence):
    """A record into each partition."""
    records = batch(sequence)
    body = struct.pack(">hhii", -1, 1, 30000, 1) + wire.text(topic) + struct.pack(">i", partitions)
    body += b"".join(struct.pack(">ii", index, len(records)) + records for index in range(partitions))
    reader = client.call(0, 3, body)
    reader.take("i")
    reader.text()
    for _ in range(reader.take("i")):
        index, code = reader.take("i"), reader.take("h")
        peer.equal(f"producing to {topic}-{index}", code, 0)
        reader.take("q")
        reader.take("q")


def ends(client, topics, partitions):
    """How many partitions tell their end by ListOffsets."""
    body = struct.pack(">ii", -1, len(topics))
    for topic in topics:
        body += wire.text(topic) + struct.pack(">i", partitions) + b"".join(struct.pack(">iq", index, -1) for index in range(partitions))
    reader = client.call(wire.LIST_OFFSETS, 1, body)
    found = 0
    for _ in range(reader.take("i")):
        reader.text()
        for _ in range(reader.take("i")):
            reader.take("i")
            code, _time, offset = reader.take("h"), reader.take("q"), reader.take("q")
            found += code == 0 and offset > 0
    return found


class Directory:
    def __init__(self, options):
        self.topics = [f"restart-{number}" for number in range(TOPICS)]
        self.each = max(1, options.partitions // TOPICS)
        self.total = self.each * TOPICS

    def fill(self, broker, sequence):
        with wire.Client(broker.bootstrap, 120) as client:
            for topic in self.topics:
                produce(client, topic, self.each, sequence)

    def served(self, broker, deadline):
        """Waits until all partitions are; the time."""
        while time.monotonic() < deadline:
            peer.expect(broker.server.alive(), f"{broker.program.name} ended while starting: {broker.server.tail()}")
            try:
                with wire.Client(broker.bootstrap, 60) as client:
                    if client.metadata()[0] and client.metadata(self.topics[-1:])[1][self.topics[-1]][1] == self.each:
                        led = sum(count for _code, count in client.metadata(self.topics)[1].values())
                        if led == self.total and ends(client, self.topics, self.each) == self.total:
                            return time.monotonic()
            except (OSError, struct.error, peer.Failure):
                pass
            select.select([], [], [], 0.002)
        raise peer.Failure(f"{broker.program.name} did not serve {self.total} partitions in time: {broker.server.tail()}")

    def wait_led(self, broker):
        """After topics were made: waits until their partitions have leaders."""
        def led():
            with wire.Client(broker.bootstrap, 60) as client:
                return sum(count for _code, count in client.metadata(self.topics)[1].values()) == self.total
        peer.wait_until("leaders of all partitions", led, PATIENCE)

    def start(self, broker):
        """Seconds until everything is served, and memory then."""
        os.sync()
        command = broker.program.command("server", str(broker.file))
        if broker.program.name == "kafka":
            command[1:1] = [KAFKA_HEAP]
            command = [word for word in command if word not in ("-Xmx1G", "-Xms1G")]
        began = time.monotonic()
        broker.server = peer.Server(["sh", "-c", 'ulimit -n "$(ulimit -Hn)"; exec "$@"', "sh", *command], broker.folder / "server.log",
                                    cwd=broker.folder)
        seconds = self.served(broker, began + PATIENCE) - began
        return seconds, status_kb(broker.server.process.pid, "VmRSS") / 1024

    def stop(self, broker):
        began = time.monotonic()
        status = broker.server.stop(PATIENCE)
        broker.server = None
        peer.expect(status in (0, 143), f"{broker.program.name} ended with {status}")
        return time.monotonic() - began


def make(setup, directory, program):
    """The directory as the broker left it: (cleanly, after kill -9 with a record more in each partition)."""
    broker = Broker(program, setup.folder / "restart-origin")
    broker.start()
    try:
        with wire.Client(broker.bootstrap, 120) as client:
            for topic in directory.topics:
                client.create_topic(topic, directory.each)
        directory.wait_led(broker)
        directory.fill(broker, 0)
        broker.stop()
        clean = broker.data.rename(setup.folder / "restart-clean")
        shutil.copytree(clean, broker.data)
        directory.start(broker)
        directory.fill(broker, 1)
    finally:
        broker.kill()
    return clean, broker.data.rename(setup.folder / "restart-unclean")


def once(setup, directory, program, clean, unclean, number):
    """A start and a stop on a copy of each directory."""
    measured = {}
    for kind, origin in (("clean", clean), ("unclean", unclean)):
        broker = Broker(program, setup.folder / f"restart-{program.name}-{number}")
        shutil.copytree(origin, broker.data)
        try:
            measured[f"{kind}_s"], measured[f"{kind}_mb"] = directory.start(broker)
            measured["stop_s" if kind == "clean" else "unclean_stop_s"] = directory.stop(broker)
        finally:
            broker.kill()
            shutil.rmtree(broker.data)
    return measured


def run(setup):
    directory = Directory(setup.options)
    programs = setup.broker_programs()
    clean, unclean = make(setup, directory, programs[0])
    rows = {}
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if descriptors < directory.total + 1000:  # Kafka keeps a file a partition open
        setup.skipped["restart of Apache Kafka"] = f"the limit of {descriptors} descriptors is too low for {directory.total} partitions"
        programs = programs[:1]
    for number in range(REPEATS):
        for program in programs if number % 2 == 0 else reversed(programs):
            got = once(setup, directory, program, clean, unclean, number)
            rows.setdefault(program.name, []).append(got)
            print(f"  {program.name}: {got['clean_s']:.1f} s after a clean stop, {got['unclean_s']:.1f} s after kill -9, stop {got['stop_s']:.1f} s, "
                  f"{got['clean_mb']:.0f} MB", flush=True)
    for folder in (clean, unclean):
        shutil.rmtree(folder)
    return {"brokers": rows, "partitions": directory.total}
