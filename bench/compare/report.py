"""The results as Markdown: goals first, then every table."""
import os
import pathlib
import platform
import subprocess

from compare.loads import per_record
from compare.stats import Sample, ratios


def machine():
    def first(path, key):
        for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
        return "unknown"
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=False).stdout.splitlines()
    java = subprocess.run(["sh", "-c", "java -version 2>&1; go version 2>&1"], capture_output=True, text=True, check=False).stdout.splitlines()
    return {"CPU": first("/proc/cpuinfo", "model name"), "cores": f"{os.cpu_count()}, of which {min(2, len(os.sched_getaffinity(0)))} are used",
            "memory": f"{int(first('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB", "kernel": platform.release(),
            "compiler": compiler[0] if compiler else "unknown", "Java": java[0] if java else "unknown", "Go": java[-1] if java else "unknown",
            "load before": f"{os.getloadavg()[0]:.2f}"}


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(" --- " if index == 0 else " ---: " for index in range(len(head))) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


class Cells:
    """The matrix of throughput, by direction, client and broker."""

    def __init__(self, section):
        self.runs = {(cell["direction"], cell["client"], cell["broker"]): cell["runs"] for cell in section["cells"]}

    def rates(self, *key):
        return [run["records"] / run["seconds"] for run in self.runs[key]]

    def ratio(self, above, below):
        """Of two cells, repeat by repeat; nothing where one was not measured."""
        if not self.runs.get(above) or not self.runs.get(below):
            return None
        return ratios(self.rates(*above), self.rates(*below))

    def broker_cpu(self, *key):
        return [per_record(run, "broker_user", "broker_system") for run in self.runs[key]]


def throughput_goals(section):
    cells = Cells(section)
    own = {direction: (direction, "klamm", "klamm") for direction in ("produce", "consume")}
    wanted = [("producing, own client and broker, against librdkafka on Kafka", own["produce"], ("produce", "librdkafka", "kafka"), 4),
              ("producing, own client and broker, against franz-go on Kafka", own["produce"], ("produce", "franz-go", "kafka"), 2),
              ("consuming, own client and broker, against librdkafka on Kafka (batches)", own["consume"], ("consume", "librdkafka", "kafka"), 4),
              ("consuming, own client and broker, against librdkafka on Kafka (poll)", own["consume"], ("consume", "librdkafka (poll)", "kafka"), 4)]
    for what, above, below, goal in wanted:
        sample = cells.ratio(above, below)
        if sample:
            yield what, sample.text() + "×", f"≥ {goal}×", sample.median >= goal
    keys = ("produce", "librdkafka", "klamm"), ("produce", "librdkafka", "kafka")
    if all(cells.runs.get(key) for key in keys):
        sample = ratios(cells.broker_cpu(*keys[0]), cells.broker_cpu(*keys[1]))
        yield "broker CPU a record that librdkafka produces, against Kafka", sample.text(), "≤ 0.33", sample.median <= 1 / 3


def physical_goals(section):
    def rate(runs):
        return [run["bytes"] / run["seconds"] for run in runs]
    own = {cell["name"]: cell["runs"] for cell in section["replay"] if cell["broker"] == "klamm"}
    for what, mine, limit, goal in (("append of 1 KB records in 64 KB requests", "produce, batches of 64 KB, records of 1 KB", "receive + CRC + write, 64 KB pieces", 0.6),
                                    ("fetch, 1 MB a request", "fetch, 1 MB a request", "sendfile, 1 MB pieces", 0.8)):
        sample = ratios(rate(own[mine]), rate(section["raw"][limit]))
        yield f"{what}, against the raw program ({limit})", sample.text(), f"≥ {goal}", sample.median >= goal


def sync_goals(section):
    def rate(runs):
        return Sample([run["requests"] / run["seconds"] for run in runs]).median
    disk = Sample([run["times"] / run["seconds"] for run in section["disk"]]).median
    for cell in section["cells"]:
        if cell["broker"] == "klamm" and cell["producers"] == 100:
            limit = min(disk, rate(cell["unsynced"]))
            share = rate(cell["synced"]) / limit
            yield "100 producers, each request on the disk, against the lesser of the unsynced rate and the disk alone", f"{share:.2f}", "≥ 0.5", share >= 0.5


def goals(sections):
    rows = []
    if "throughput" in sections:
        rows += throughput_goals(sections["throughput"])
    counted = sections.get("instructions", {}).get("rows", [])
    foreign = {row["name"]: row["instructions"] for row in counted}
    for row in counted:
        if row["goal"]:
            other = foreign.get({"producer_send": "librdkafka produce", "consumer_poll": "librdkafka poll"}[row["name"]])
            beside = f" (librdkafka: {other:.0f}, {other / row['instructions']:.1f}×)" if other else ""
            rows.append((f"user instructions a {row['what']}", f"{row['instructions']:.0f}{beside}", f"≤ {row['goal']}", row["instructions"] <= row["goal"]))
    own = sections.get("start", {}).get("brokers", {}).get("klamm")
    if own:
        start, idle = Sample([run["start_ms"] for run in own]), Sample([run["idle_mb"] for run in own])
        rows.append(("start to the first answered Metadata", start.text("{:.0f}") + " ms", "< 100 ms", start.median < 100))
        rows.append(("idle memory (VmRSS)", idle.text("{:.1f}") + " MB", "< 30 MB", idle.median < 30))
    restarts = sections.get("restart", {}).get("brokers", {})
    if {"klamm", "kafka"} <= restarts.keys():
        both = [[run["clean_s"] for run in restarts[name]] for name in ("kafka", "klamm")]
        faster, held = ratios(*both), Sample([run["clean_mb"] for run in restarts["klamm"]])
        rows.append((f"clean restart of {sections['restart']['partitions']:,} partitions, against Kafka", faster.text("{:.0f}") + "×", "≥ 10×", faster.median >= 10))
        rows.append(("memory after it (VmRSS)", held.text("{:.0f}") + " MB", "< 300 MB", held.median < 300))
    if "raw" in sections:
        rows += physical_goals(sections["raw"])
    if "sync" in sections:
        rows += sync_goals(sections["sync"])
    if "cluster" in sections:
        rows += cluster_goals(sections["cluster"])
    if not rows:
        return []
    missed = [row for row in rows if not row[3]]
    lines = ["## Against the goals", "", f"{len(rows) - len(missed)} of {len(rows)} are met."]
    if missed:
        lines[-1] += f" Missed: {'; '.join(row[0] for row in missed)}."
    lines.append("")
    return lines + table(["what", "measured", "goal", "met"], [(what, got, goal, "yes" if met else "**no**") for what, got, goal, met in rows])


def throughput(section):
    lines = ["## Throughput", "", "Records of 100 bytes, one partition, no compression; producers: acks of all, idempotent, batches of 1 MB, linger 5 ms; "
             "consumers: from the first offset, CRC checked, 1 MB a partition and fetch. CPU: µs a record, user + system.", ""]
    for direction in ("produce", "consume"):
        rows = []
        for cell in section["cells"]:
            if cell["direction"] != direction or not cell["runs"]:
                continue
            runs = cell["runs"]
            middle = [Sample([per_record(run, key) for run in runs]).median for key in ("user", "system", "broker_user", "broker_system")]
            others = Sample([run["others"] for run in runs])
            rows.append((cell["client"], cell["broker"], Sample([run["records"] / run["seconds"] / 1e6 for run in runs]).text(),
                         f"{Sample([run['bytes'] / run['seconds'] / 1e6 for run in runs]).median:.0f}",
                         f"{middle[0]:.3f} + {middle[1]:.3f}", f"{middle[2]:.3f} + {middle[3]:.3f}", f"{others.median:.2f}"))
        if rows:
            lines += [f"### {direction}", ""] + table(["client", "broker", "M records/s", "MB/s", "client CPU", "broker CPU", "others' cores"], rows)
    return lines


def latency(section):
    rows = []
    for cell in section["cells"]:
        samples = {key: Sample([run[key] for run in cell["runs"]]) for key in ("p50_us", "p99_us", "p999_us")}
        rows.append((cell["client"], cell["broker"], *(sample.text("{:.0f}") for sample in samples.values())))
    return ["## End-to-end latency", "", f"{section['rate']} records/s for {section['seconds']} s, linger 0, from the time at which a record was due to "
            "its arrival at the consumer; µs.", ""] + table(["client", "broker", "p50", "p99", "p99.9"], rows)


def start(section):
    rows = [(name, *(Sample([run[key] for run in runs]).text(form, scale) for key, form, scale in (
        ("start_ms", "{:.0f}", 1), ("idle_mb", "{:.1f}", 1), ("idle_cpu", "{:.2f}", 100)))) for name, runs in section["brokers"].items()]
    return ["## Start and idle", "", "A freshly formatted directory; from the start of the process to the first answered Metadata.", ""] + table(
        ["broker", "start, ms", "idle VmRSS, MB", "idle CPU, % of a core"], rows)


def restart(section):
    forms = (("clean_s", "{:.2f}"), ("clean_mb", "{:.0f}"), ("stop_s", "{:.2f}"), ("unclean_s", "{:.2f}"), ("unclean_stop_s", "{:.2f}"))
    rows = [(name, *(Sample([run[key] for run in runs]).text(form) for key, form in forms)) for name, runs in section["brokers"].items()]
    return ["## Restart", "", f"The same directory for each broker, of {section['partitions']:,} partitions with a record or two each; from the start of the "
            "process until Metadata names all leaders and ListOffsets all ends; from SIGTERM to the end of the process. After kill -9 each partition had a "
            "record that no checkpoint knew of.", ""] + table(
        ["broker", "start after a clean stop, s", "VmRSS then, MB", "stop, s", "start after kill -9, s", "stop after that, s"], rows)


def instructions(section):
    rows = [(row["what"], f"{row['instructions']:.1f}", f"{row['request']:.0f}" if row.get("request") else "", str(row["goal"] or "")) for row in section["rows"]]
    return ["## Instructions", "", "User instructions by callgrind: the difference between two counts.", ""] + table(
        ["one", "instructions", "a request", "goal"], rows)


def micro(section):
    def number(value, scale):
        return f"{value / scale:.1f}" if value else ""
    rows = [(f"{row['group']}: {row['name']}", f"{row['ns']:.1f}", number(row["bytes_per_second"], 1e6), number(row["items_per_second"], 1e6))
            for row in section["rows"]]
    return ["## Micro-benchmarks", "", "CPU time; of the log, the time by the clock.", ""] + table(["what", "ns", "MB/s", "M items/s"], rows)


def raw(section):
    def cpu(run):
        return (run["user"] + run["system"]) / run["bytes"] * 1e9
    rows = []
    for name, runs in section["raw"].items():
        if name.startswith("echo"):
            rows.append((name, f"{Sample([run['round_trip_us'] for run in runs]).text()} µs a round trip", ""))
        else:
            rows.append((name, Sample([run["bytes"] / run["seconds"] / 1e6 for run in runs]).text("{:.0f}") + " MB/s", Sample([cpu(run) for run in runs]).text()))
    lines = ["## The machine's own limit", "", "Two processes over loopback; CPU of both.", ""] + table(["what", "rate", "CPU s/GB"], rows)
    rows = []
    for cell in section["replay"]:
        runs = cell["runs"]
        rows.append((cell["name"], cell["broker"], Sample([run["records"] / run["seconds"] / 1e6 for run in runs]).text(),
                     f"{Sample([run['bytes'] / run['seconds'] / 1e6 for run in runs]).median:.0f}",
                     f"{Sample([run['requests'] / run['seconds'] / 1e3 for run in runs]).median:.1f}",
                     f"{Sample([per_record(run, 'broker_user', 'broker_system') for run in runs]).median:.3f}",
                     f"{Sample([(run['broker_user'] + run['broker_system']) / run['bytes'] * 1e9 for run in runs]).median:.2f}"))
    return lines + ["### Brokers under pre-encoded frames", "", "Five Produce requests in flight; two fetches, whose records the kernel drops.", ""] + table(
        ["what", "broker", "M records/s", "MB/s", "K requests/s", "broker CPU, µs a record", "CPU s/GB"], rows)


def compaction(section):
    rows = []
    for name, runs in section["brokers"].items():
        rows.append((name, Sample([run["bytes"] / run["seconds"] / 1e6 for run in runs]).text("{:.0f}"), Sample([run["cpu"] / run["bytes"] * 1e9 for run in runs]).text(),
                     f"{Sample([run['left'] / run['bytes'] * 100 for run in runs]).median:.0f}",
                     *(Sample([run[key]["p99_us"] for run in runs]).text("{:.0f}") for key in ("calm", "busy")), Sample([run["beside_s"] for run in runs]).text()))
    return ["## Compaction", "", f"A log of 3 million records of 100 bytes, ten of each key, of which nothing was compacted yet; from the setting that allows it to "
            f"cleaner-offset-checkpoint. Latency: {section['rate']} records/s on another topic for {section['seconds']} s, while nothing else is done, and with such a "
            "compaction beside it.", ""] + table(["broker", "MB/s", "CPU s/GB", "% left", "p99 calm, µs", "p99 beside it, µs", "that compaction, s"], rows)


def sync(section):
    rows = []
    for cell in section["cells"]:
        rates = {mode: Sample([run["requests"] / run["seconds"] for run in cell[mode]]) for mode in ("synced", "unsynced")}
        rows.append((cell["broker"], str(cell["producers"]), rates["synced"].text("{:.0f}"), rates["unsynced"].text("{:.0f}")))
    disk = Sample([run["times"] / run["seconds"] for run in section["disk"]])
    return ["## Acknowledged means on the disk", "", f"Produce requests of {section['bytes']} bytes a second, each producer on a topic of its own with five in flight: with "
            "log.flush.interval.messages=1, and without. One process that appends as much to one file and waits for fdatasync each time: "
            f"{disk.text('{:.0f}')} a second.", ""] + table(["broker", "producers", "synced", "not synced"], rows)


def cluster_best(found):
    return {acks: Sample(rates) for acks, rates in found["throughput"].items()}


def cluster_goals(section):
    programs = section["programs"]
    if not {"klamm", "kafka"} <= programs.keys():
        return
    own, other = programs["klamm"], programs["kafka"]
    for acks, rates in own["throughput"].items():
        ratio = Sample(rates).median / Sample(other["throughput"][acks]).median
        yield f"cluster: three replicas, {acks}, against Kafka", f"{ratio:.1f}×", "≥ 4×", ratio >= 4
    share = own["latency"]["p99_us"] / other["latency"]["p99_us"]
    yield f"cluster: p99 at {own['rate']:,} records/s, against Kafka", f"{share:.2f}", "≤ 0.33", share <= 1 / 3
    for what, key in (("a leader", "failover_ms"), ("the leader that is the controller too", "failover_controller_ms")):
        mine, theirs = Sample(own[key]).median, Sample(other[key]).median
        yield f"cluster: from kill -9 of {what} to the next acknowledgement (Kafka: {theirs:,.0f} ms)", f"{mine:,.0f} ms", "≤ Kafka's", mine <= theirs
    gap = Sample(own["shutdown_ms"])
    yield (f"cluster: gap of a controlled shutdown over 100 partitions (Kafka: {Sample(other['shutdown_ms']).median:.0f} ms)", gap.text("{:.0f}") + " ms", "≤ 100 ms",
           gap.median <= 100)
    share = own["create_s"] / other["create_s"]
    yield "cluster: creating 1,000 partitions of three replicas, against Kafka", f"{share:.2f}", "≤ 0.1", share <= 0.1


def cluster(section):
    rows = []
    for name, found in section["programs"].items():
        late = found["latency"]
        rows.append((name, *(sample.text(scale=1e-6) for sample in cluster_best(found).values()),
                     " / ".join(f"{late[key] / 1e3:.2f}" for key in ("p50_us", "p99_us", "p999_us")),
                     *(Sample(found[key]).text("{:.0f}") for key in ("failover_ms", "failover_controller_ms", "shutdown_ms")),
                     f"{found['catch_up_mb_s']:.0f}", f"{found['create_s']:.2f}", f"{found['idle_mb']:.0f}", f"{found['idle_cpu'] * 100:.1f}"))
    rate = next(iter(section["programs"].values()))["rate"]
    return ["## Three nodes", "", "Broker and controller each, three replicas, klamm's clients, sessions of 3 s on both. Throughput: records of 100 bytes into three "
            f"partitions, batches of 1 MB, linger 5 ms. Latency: end to end at {rate:,} records/s, half of what Kafka takes, linger 0, acks of all. Gaps: the longest time "
            "without an acknowledgement of a partition. Memory and CPU: all three nodes, 3,000 replicas each.", ""] + table(
        ["program", *(f"{acks}, M records/s" for acks in ("acks=1", "acks=all")), "p50 / p99 / p99.9, ms", "leader killed, ms", "and controller, ms", "stopped, ms",
         "catch-up, MB/s", "1,000 partitions, s", "VmRSS, MB", "idle CPU, % of a core"], rows)


def markdown(results):
    sections = results["sections"]
    lines = ["# Results", "", f"{results['started']}, `{results['command']}`" + (" (a short run: no figure to keep)" if results["options"]["quick"] else "")
             + f"; medians of {results['options']['repeats']} repeats in alternating order, least and greatest in brackets; client and broker share two cores. "
             "Method: [README.md](README.md).", ""]
    lines += table(["machine", ""], [(key, value) for key, value in results["machine"].items()])
    lines += ["Measured from: " + ", ".join(f"{name} {section['started']}" for name, section in sections.items()) + ".", ""]
    for name, why in results.get("skipped", {}).items():
        lines.append(f"Skipped: {name}: {why}")
    for name, why in results.get("failed", {}).items():
        lines.append(f"Failed: {name}: {why}")
    lines += goals(sections)
    for name, write in (("throughput", throughput), ("latency", latency), ("cluster", cluster), ("start", start), ("restart", restart), ("compaction", compaction), ("sync", sync),
                        ("instructions", instructions), ("raw", raw), ("micro", micro)):
        if name in sections:
            lines += write(sections[name])
    return "\n".join(lines).rstrip() + "\n"
