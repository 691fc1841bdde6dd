"""What the machine itself allows, and each broker under a client that costs next to nothing."""
import json

import peer
from compare import loads
from compare.stats import Sample, claim_memory

# name | arguments of bench/load/raw.cc
RAW = [("receive + CRC + write, 1 MB pieces", ("append", 500, 1_000_000)), ("receive + CRC + write, 64 KB pieces", ("append", 500, 65_536)),
       ("receive only, 1 MB pieces", ("receive", 1000, 1_000_000)), ("sendfile, 1 MB pieces", ("sendfile", 2000, 1 << 20)),
       ("echo of 64 bytes", ("echo", 20_000, 64))]
# name | mode | count | bytes | bytes a record, as bench/load/replay.cc takes them
REPLAYS = [("produce, batches of 64 KB", "produce", 4000, 64 << 10, 100), ("produce, batches of 64 KB, records of 1 KB", "produce", 4000, 64 << 10, 1000),
           ("produce, one record a request", "produce", 10_000, 200, 100), ("fetch, 1 MB a request", "fetch", 8_000_000, 1 << 20, 100),
           ("fetch, 64 KB a request", "fetch", 2_000_000, 70_000, 100)]


def run(setup):
    rows = {name: [] for name, _ in RAW}
    program = setup.make("raw")
    share = 4 if setup.options.quick else 1
    for repeat in range(setup.options.repeats):
        for name, (mode, count, size) in RAW if repeat % 2 == 0 else reversed(RAW):
            claim_memory()
            rows[name].append(json.loads(peer.run([program, mode, count // share, size], cwd=setup.folder, timeout=120).text))
    for name, runs in rows.items():
        echo = Sample([run["round_trip_us"] for run in runs]).median
        print(f"  {name}: " + (f"{echo:.1f} µs" if echo else f"{Sample([run['bytes'] / run['seconds'] / 1e6 for run in runs]).median:.0f} MB/s"), flush=True)
    return {"raw": rows, "replay": replay(setup, share)}


def replay(setup, share):
    program = setup.make("replay")
    brokers = setup.brokers()
    cells = [(*row, broker) for row in REPLAYS for broker in brokers]
    results = {(name, broker): [] for name, *_, broker in cells}
    number = 0
    try:
        for repeat in range(-1, setup.options.repeats):  # the first round warms up
            for name, mode, count, size, record, where in cells if repeat % 2 == 0 else reversed(cells):
                broker, number = brokers[where], number + 1
                topic = f"replay-{number}"
                loads.create_topic(broker, topic)
                got = loads.Load([program, mode, broker.bootstrap, topic, count // share, size, record]).measure(broker.server.process.pid)
                loads.delete_topics(broker, [topic])
                if repeat >= 0:
                    got["requests"] = count // share if mode == "produce" else got["bytes"] / size
                    results[name, where].append(got)
    finally:
        for broker in brokers.values():
            broker.kill()
    for (name, where), runs in results.items():
        print(f"  {where}: {name}: {Sample([run['records'] / run['seconds'] / 1e6 for run in runs]).median:.2f} M records/s", flush=True)
    return [{"name": name, "broker": broker, "runs": runs} for (name, broker), runs in results.items()]
