"""Compaction of a log of which nothing was compacted yet: how fast, at what CPU, and what others feel of it meanwhile."""
import concurrent.futures
import os
import random
import time

import peer
from broker import Broker
from compare import loads
from compare.stats import claim_memory, process_cpu

TARGETS = ["klamm", "klamm_latency"]
RECORDS, KEYS = 3_000_000, 300_000
VALUE_BYTES = 100
SEGMENTS = 8
NEVER = 9_000_000_000_000  # ms
RATE, SECONDS = 2000, 8    # of the records whose latency is measured
BROKER = {"log_cleaner_backoff_ms": 200, "log_segment_delete_delay_ms": 1000}


def write_lines(path, records, keys):
    """Lines of a key and a value for a console producer."""
    drawn = random.Random(1)
    with open(path, "w", encoding="ascii") as file:
        for number in range(records):
            file.write(f"{drawn.randrange(keys):010d}:{number:0{VALUE_BYTES}d}\n")
    return path


class Log:
    """A topic full of records that the cleaner may not touch yet."""

    def __init__(self, setup, broker, name, lines):
        segment = lines.stat().st_size // SEGMENTS
        self.tool, self.broker, self.name = setup.program("klamm"), broker, name
        loads.create_topic(broker, name, {"cleanup.policy": "compact", "segment.bytes": segment, "min.compaction.lag.ms": NEVER,
                                          "min.cleanable.dirty.ratio": "0.01"})
        peer.run([self.tool, "console-producer", "--bootstrap-server", broker.bootstrap, "--topic", name, "--reader-property", "parse.key=true",
                  "--reader-property", "key.separator=:", "--producer-property", "linger.ms=20"], stdin=lines, timeout=120)
        self.bytes = self.size()
        self.active = max(int(segment[:-4]) for segment in self.segments())

    def segments(self):
        return [entry.name for entry in os.scandir(self.broker.data / f"{self.name}-0") if entry.name.endswith(".log")]

    def size(self):
        return sum((self.broker.data / f"{self.name}-0" / name).stat().st_size for name in self.segments())

    def cleaned_to(self):
        """The offset below which it is clean."""
        file = self.broker.data / "cleaner-offset-checkpoint"
        lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
        return max((int(line.split()[2]) for line in lines if line.startswith(f"{self.name} 0 ")), default=0)

    def compact(self):
        """Lets the cleaner work, and waits for its end."""
        claim_memory()
        pid = self.broker.server.process.pid
        cpu, began = sum(process_cpu(pid)), time.monotonic()
        peer.run([self.tool, "configs", "--bootstrap-server", self.broker.bootstrap, "--alter", "--entity-type", "topics", "--entity-name", self.name,
                  "--add-config", "min.compaction.lag.ms=0"])
        peer.wait_until("a compacted log", lambda: self.cleaned_to() >= self.active, 300)
        return {"bytes": self.bytes, "seconds": time.monotonic() - began, "cpu": sum(process_cpu(pid)) - cpu, "left": self.size()}


def latency(setup, broker, topic, meanwhile=None):
    """Of records of another topic, while something is done."""
    loads.create_topic(broker, topic)
    load = loads.Load([setup.program("klamm_latency"), broker.bootstrap, topic, RATE, SECONDS])
    with concurrent.futures.ThreadPoolExecutor(1) as aside:
        got = aside.submit(load.measure, broker.server.process.pid)
        done = meanwhile() if meanwhile else None
        return got.result(), done


def run(setup):
    repeats = 1 if setup.options.quick else min(setup.options.repeats, 3)
    lines = write_lines(setup.folder / "lines", RECORDS // (10 if setup.options.quick else 1), KEYS)
    rows = {}
    for program in setup.broker_programs():
        broker = Broker(program, setup.folder / f"compact-{program.name}", **BROKER).start()
        try:
            latency(setup, broker, "warm")
            for repeat in range(repeats):
                got = Log(setup, broker, f"alone-{repeat}", lines).compact()
                got["calm"], _ = latency(setup, broker, f"calm-{repeat}")
                log = Log(setup, broker, f"beside-{repeat}", lines)
                got["busy"], beside = latency(setup, broker, f"busy-{repeat}", log.compact)
                got["beside_s"] = beside["seconds"]
                rows.setdefault(program.name, []).append(got)
                print(f"  {program.name}: {got['bytes'] / got['seconds'] / 1e6:.0f} MB/s, {got['cpu']:.2f} s of CPU; p99 {got['calm']['p99_us']:.0f} µs, while compacting "
                      f"for {got['beside_s']:.1f} s {got['busy']['p99_us']:.0f} µs", flush=True)
        finally:
            broker.kill()
    return {"brokers": rows, "rate": RATE, "seconds": SECONDS}
