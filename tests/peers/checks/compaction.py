"""Compaction: what a broker has compacted says the same as before, Kafka's own readers find nothing wrong with the files,
and the other program takes over the directory, serves the same records and goes on compacting it."""
import random
import re

import peer
from checks.disk import COMPLAINTS

TOPIC = "compacted"
# Compaction leaves gaps; Kafka's reader reports each, on its own files as well.
GAPS = re.compile(r"Non-consecutive offsets in \S+\n(\s+-?\d+ is followed by \d+\n)+")
# Kafka notes the time of a batch of which only the header is left, its reader the records' times alone.
EMPTY_BATCHES = re.compile(r"Found timestamp mismatch in :\S+\n(\s+Index timestamp: \d+, log timestamp: -1\n)+")
CONFIGS = {"cleanup.policy": "compact", "segment.bytes": 1 << 20, "index.interval.bytes": 4096, "min.cleanable.dirty.ratio": "0.01",
           "delete.retention.ms": 1000, "file.delete.delay.ms": 100}


def produce(broker, codec, number, expected):
    """Records over few keys, some of them tombstones; `expected` becomes what a reader must end with."""
    draw = random.Random(number)
    lines = []
    for index in range(12000):
        key = f"key-{draw.randrange(700)}"
        value = "" if draw.random() < 0.05 else f"{codec}-{index}-" + "".join(draw.choices("abcdefgh", k=draw.randrange(20, 200)))
        lines.append(f"{key}:{value}\n")
        if value:
            expected[key] = value
        else:
            expected.pop(key, None)
    peer.run([peer.program("kcat"), "-b", broker.bootstrap, "-P", "-t", TOPIC, "-p", "0", "-K", ":", "-Z", "-z", codec, "-X", "enable.idempotence=true",
              "-X", "batch.num.messages=100", "-X", "linger.ms=5"], stdin="".join(lines).encode())


def records(broker):
    """(offset, key, value or None) of all, in the order in which they come."""
    read = peer.run([peer.program("kcat"), "-b", broker.bootstrap, "-C", "-q", "-e", "-t", TOPIC, "-p", "0", "-o", "beginning", "-f", "%o %k %S %s\\n"]).text
    found = []
    for line in read.splitlines():
        offset, key, size, value = line.split(" ", 3)
        found.append((int(offset), key, None if size == "-1" else value))
    return found


def replayed(found):
    state = {}
    for _, key, value in found:
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    return state


def cleaned_to(broker):
    file = broker.data / "cleaner-offset-checkpoint"
    lines = file.read_text(encoding="ascii").split("\n") if file.exists() else []
    return max((int(line.split(" ")[2]) for line in lines if line.startswith(f"{TOPIC} 0 ")), default=-1)


def wait_until_clean(broker):
    """All but the active segment, and the replaced files are gone."""
    peer.wait_until("the log is compacted", lambda: cleaned_to(broker) >= int(broker.segments(TOPIC)[-1].stem), 60)
    folder = broker.data / f"{TOPIC}-0"
    peer.wait_until("replaced segments are deleted", lambda: not [file for file in folder.iterdir() if file.suffix in (".deleted", ".swap", ".cleaned")], 60)


def check_records(broker, expected, what):
    found = records(broker)
    offsets = [offset for offset, _, _ in found]
    peer.expect(offsets == sorted(set(offsets)), f"{what}: offsets do not ascend")
    state = replayed(found)
    wrong = {key for key in state.keys() | expected.keys() if state.get(key) != expected.get(key)}
    peer.expect(not wrong, f"{what}: {len(wrong)} of {len(expected)} keys are wrong, such as {sorted(wrong)[:3]}")
    return found


def check_files(context, broker):
    """Kafka's reader on every file, silent but for the gaps."""
    logs = broker.segments(TOPIC)
    for log in logs:
        ran = peer.run(context.reference.command("dump-log", "--files", str(log), "--deep-iteration", "--print-data-log"), timeout=120)
        errors = [line for line in GAPS.sub("", ran.errors + "\n").splitlines() if line.strip()]
        peer.expect(not errors, f"dump-log complains of {log.name}: {errors[:3]}")
        bad = [line for line in ran.text.splitlines() if line.startswith("baseOffset:") and COMPLAINTS.search(line)]
        peer.expect(not bad, f"{log.name}: {bad[:3]}")
    indexes = [str(file) for end in (".index", ".timeindex") for file in broker.segments(TOPIC, end=end)]
    peer.equal("indexes", len(indexes), 2 * len(logs))
    for option in ("--index-sanity-check", "--verify-index-only"):
        ran = peer.run(context.reference.command("dump-log", "--files", ",".join(indexes), option), timeout=120)
        text = EMPTY_BATCHES.sub("", ran.text + "\n" + ran.errors + "\n")
        bad = [line for line in text.splitlines() if COMPLAINTS.search(line)]
        peer.expect(not bad, f"{option}: {bad[:3]}")
        if option == "--index-sanity-check":
            peer.equal("indexes that pass", text.count("passed sanity check") + text.count(" is empty."), len(indexes))


def taken_over(first, second):
    def function(context):
        programs = {"subject": context.subject, "reference": context.reference}
        broker = context.own_broker("compaction", program=programs[first], log_cleaner_backoff_ms=200)
        expected = {}
        broker.start()
        try:
            with broker.client() as client:
                client.create_topic(TOPIC, 1, CONFIGS)
                peer.wait_until("the topic has a leader", lambda: client.metadata([TOPIC])[1][TOPIC] == (0, 1))
            for number, codec in enumerate(("none", "zstd", "gzip", "lz4", "snappy")):
                produce(broker, codec, number, expected)
            with broker.client() as client:
                end = client.offset(TOPIC)
            peer.equal("end offset", end, 60000)
            wait_until_clean(broker)
            found = check_records(broker, expected, "what is left")
            peer.expect(len(found) < 30000, f"{len(found)} of 60000 records are left")
            broker.stop()
            check_files(context, broker)

            broker.start(programs[second])
            with broker.client() as client:
                peer.wait_until("the partition is led", lambda: client.metadata([TOPIC])[1][TOPIC] == (0, 1))
                peer.equal("end offset that the other finds", client.offset(TOPIC), end)
            check_records(broker, expected, "what the other serves")
            produce(broker, "lz4", 10, expected)
            produce(broker, "none", 11, expected)
            wait_until_clean(broker)
            left = check_records(broker, expected, "what the other has compacted")
            broker.stop()
            check_files(context, broker)

            broker.start(programs[first])
            again = check_records(broker, expected, "what the first serves again")
            peer.expect(again[-1] == left[-1], f"it ends with {again[-1]} instead of {left[-1]}")
            broker.stop()
        finally:
            broker.kill()
        return f"{len(found)} of 60000 records left, then {len(left)} of 84000"
    return function


peer.check("compaction/kafka-takes-over", timeout=300)(taken_over("subject", "reference"))
peer.check("compaction/takes-over-from-kafka", timeout=300)(taken_over("reference", "subject"))


def after_kill(first, second):
    """Killed in the midst of compaction, again and again; then the other program makes something of what is left."""
    def function(context):
        programs = {"subject": context.subject, "reference": context.reference}
        # Slow enough that a compaction is under way at any time.
        broker = context.own_broker("killed", program=programs[first], log_cleaner_backoff_ms=100, log_cleaner_io_max_bytes_per_second=3000000)
        folder = broker.data / f"{TOPIC}-0"
        expected = {}
        halves = 0
        try:
            for number, codec in enumerate(("none", "lz4", "none", "zstd", "none")):
                broker.start()
                with broker.client() as client:
                    if number == 0:
                        client.create_topic(TOPIC, 1, CONFIGS)
                    peer.wait_until("the topic has a leader", lambda: client.metadata([TOPIC])[1][TOPIC] == (0, 1))
                produce(broker, codec, 20 + number, expected)
                peer.wait_until("a compaction is under way", lambda: list(folder.glob("*.cleaned")) + list(folder.glob("*.swap")), 60)
                broker.kill()
                halves += bool(list(folder.glob("*.cleaned")) + list(folder.glob("*.swap")))
            broker.start(programs[second])
            with broker.client() as client:
                peer.wait_until("the partition is led", lambda: client.metadata([TOPIC])[1][TOPIC] == (0, 1))
                peer.equal("end offset", client.offset(TOPIC), 60000)
            check_records(broker, expected, "what is served after it")
            broker.stop()
            if programs[second].name == "klamm":  # Kafka leaves them to the next start
                left = list(folder.glob("*.cleaned")) + list(folder.glob("*.swap"))
                peer.expect(not left, f"a stop leaves {left[:3]}")
            check_files(context, broker)
        finally:
            broker.kill()
        return f"{halves} of 5 kills in the midst"
    return function


peer.check("compaction/kafka-after-kill", timeout=300)(after_kill("subject", "reference"))
peer.check("compaction/after-kill", timeout=300)(after_kill("subject", "subject"))
