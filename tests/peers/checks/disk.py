"""Same disk: Kafka's own readers on the files that the broker under test wrote, and each program on the other's directory."""
import re

import data
import peer

# What DumpLogSegments and its index checks print when something is off.
COMPLAINTS = re.compile(r"isvalid: false|mismatch|[Nn]on-?consecutive|out of order|not valid|[Cc]orrupt|Exception|[Ff]ound a gap|fails?\b")


def filled(context, broker, topic, codec, content, **configs):
    """Several segments of text, sent in small batches."""
    with broker.client() as client:
        client.create_topic(topic, 1, {"segment.bytes": 1 << 20, "index.interval.bytes": 4096, **configs})
        peer.wait_until("the topic has a leader", lambda: client.metadata([topic])[1][topic] == (0, 1))
    peer.run([peer.program("kcat"), "-b", broker.bootstrap, "-P", "-t", topic, "-p", "0", "-z", codec, "-X", "batch.num.messages=200", "-X", "linger.ms=5"],
             stdin=content)


def dump(context, *arguments):
    ran = peer.run(context.reference.command("dump-log", *arguments), timeout=120)
    # Kafka counts from -1 at the head of every file, so it finds a gap at the head of each that does not begin at 0.
    known = re.compile(r"Non-consecutive offsets in \S*?0*(\d+)\.log\n\s+-1 is followed by \1\n")
    errors = [line for line in known.sub("", ran.errors + "\n").splitlines() if line.strip()]
    peer.expect(not errors, f"dump-log complains: {errors[:5]}")
    return ran.text


def in_words(files, most=100_000):
    """All the files as --files takes them, in as many words as it needs: Linux takes none of more than 128 KB."""
    words = [""]
    for file in map(str, files):
        if len(words[-1]) + 1 + len(file) > most:
            words.append("")
        words[-1] += ("," if words[-1] else "") + file
    return words


def payloads(text):
    return "".join(line.split(" payload: ", 1)[1] + "\n" for line in text.splitlines() if line.startswith("| offset:") and " payload: " in line).encode()


def dumps_clean(codec, number):
    def function(context):
        broker = context.own_broker("dump")
        content = "".join(line + "\n" for line in data.lines(number, 4 << 20).decode("ascii", "ignore").splitlines() if line.strip()).encode()
        broker.start()
        try:
            filled(context, broker, "dump", codec, content)
            broker.stop()
        finally:
            broker.kill()
        logs = broker.segments("dump")
        peer.expect(len(logs) > 1, f"only one segment: {logs}")
        read = b""
        for log in logs:
            text = dump(context, "--files", str(log), "--deep-iteration", "--print-data-log")
            read += payloads(text)
            headers = [line for line in text.splitlines() if line.startswith("baseOffset:")]
            peer.expect(headers, f"no batch in {log.name}")
            bad = [line for line in headers if COMPLAINTS.search(line)]
            peer.expect(not bad, f"{log.name}: {bad[:3]}")
        data.compare(f"records of {len(logs)} segments", read, content)
        indexes = [str(file) for end in (".index", ".timeindex") for file in broker.segments("dump", end=end)]
        peer.expect(len(indexes) == 2 * len(logs), f"{len(logs)} segments, {len(indexes)} indexes")
        text = dump(context, "--files", ",".join(indexes), "--index-sanity-check")
        peer.equal("indexes that pass", text.count("passed sanity check"), len(indexes))
        text = dump(context, "--files", ",".join(indexes), "--verify-index-only")
        bad = [line for line in text.splitlines() if COMPLAINTS.search(line)]
        peer.expect(not bad, f"indexes: {bad[:3]}")
    return function


for codec_number, codec_name in enumerate(("none", "zstd")):
    peer.check(f"disk/dump-log-{codec_name}", timeout=300)(dumps_clean(codec_name, 50 + codec_number))


@peer.check("disk/after-power-cuts", timeout=580)
def after_power_cuts(context):
    """Kafka's tool on directories that klamm has recovered after simulated losses of power, many files in a run."""
    test = peer.ROOT / "build/tests/unit_broker_storage"
    peer.expect(test.exists(), f"{test} does not exist: ./dev build unit_broker_storage")
    folder = context.folder / "power-cuts"
    peer.run([str(test), "--test-case=whenever the power fails*"], env={"KLAMM_CRASH_EXPORT": str(folder), "KLAMM_CRASH_POINTS": "400", "KLAMM_CRASH_ROUNDS": "2"}, timeout=400)
    files = {end: sorted(folder.glob(f"*/*/*/*{end}")) for end in (".log", ".index", ".timeindex", ".txnindex", ".snapshot")}
    peer.expect(len(list(folder.iterdir())) >= 10 and len(files[".log"]) > 300, f"only {len(files['.log'])} segments")
    # The tool finds a gap at the head of each file that does not begin at 0, and where compaction has left one.
    text = "".join(peer.run(context.reference.command("dump-log", "--deep-iteration", "--files", word), timeout=120).text for word in in_words(files[".log"]))
    batches = [line for line in text.splitlines() if line.startswith("baseOffset:")]
    peer.expect(len(batches) > len(files[".log"]), f"{len(batches)} batches in {len(files['.log'])} segments")
    bad = [line for line in batches if "isvalid: true" not in line]
    peer.expect(not bad, f"batches: {bad[:3]}")
    indexes = files[".index"] + files[".timeindex"]
    text = "".join(dump(context, "--files", word, "--index-sanity-check") for word in in_words(indexes))
    # An offset index without an entry, of a short segment, is not checked further.
    peer.equal("indexes that pass", text.count("passed sanity check") + text.count(".index is empty."), len(indexes))
    peer.expect(text.count(" is empty.") < len(files[".index"]) / 2, "most indexes are empty")
    peer.expect(len(files[".snapshot"]) > 300, f"only {len(files['.snapshot'])} snapshots")
    text = "".join(dump(context, "--files", word) for word in in_words(files[".txnindex"] + files[".snapshot"]))
    bad = [line for line in text.splitlines() if COMPLAINTS.search(line)]
    peer.expect(not bad, f"transactions and producers: {bad[:3]}")
    return f"{len(files['.log'])} segments, {len(batches)} batches"


@peer.check("disk/dump-metadata", timeout=200)
def dump_metadata(context):
    broker = context.own_broker("metadata")
    broker.start()
    try:
        with broker.client() as client:
            client.create_topic("first", 3, {"retention.ms": 777})
        broker.stop()
    finally:
        broker.kill()
    log = broker.segments("__cluster_metadata")[0]
    text = dump(context, "--files", str(log), "--cluster-metadata-decoder", "--deep-iteration")
    bad = [line for line in text.splitlines() if COMPLAINTS.search(line)]
    peer.expect(not bad, f"metadata log: {bad[:3]}")
    for wanted in ('"type":"TOPIC_RECORD"', '"name":"first"', '"type":"REGISTER_BROKER_RECORD"', '"value":"777"'):
        peer.expect(wanted in text, f"no {wanted} in the metadata log")
    peer.equal("partition records", text.count('"type":"PARTITION_RECORD"'), 3)
    checkpoint = dump(context, "--files", str(broker.data / "bootstrap.checkpoint"), "--cluster-metadata-decoder")
    peer.expect('"type":"FEATURE_LEVEL_RECORD"' in checkpoint, checkpoint)


def moved(first, second):
    """One program fills the directory and stops; the other boots on it, serves it and adds to it."""
    def function(context):
        programs = {"subject": context.subject, "reference": context.reference}
        broker = context.own_broker("moved", program=programs[first])
        content = data.lines(60, 3 << 20)
        broker.start()
        try:
            filled(context, broker, "moved", "lz4", content)
            broker.stop()
            broker.start(programs[second])
            with broker.client() as client:
                peer.wait_until("the partition is led", lambda: client.metadata(["moved"])[1]["moved"] == (0, 1))
                peer.equal("end offset", client.offset("moved"), content.count(b"\n"))
            kcat = [peer.program("kcat"), "-b", broker.bootstrap, "-t", "moved", "-p", "0"]
            peer.run([*kcat, "-P"], stdin=b"and one more\n")
            read = peer.run([*kcat, "-C", "-q", "-e", "-o", "beginning"]).out
            data.compare("what the other serves", read, content + b"and one more\n")
            broker.stop()
        finally:
            broker.kill()
    return function


peer.check("disk/kafka-boots-on-it", timeout=200)(moved("subject", "reference"))
peer.check("disk/boots-on-kafka", timeout=200)(moved("reference", "subject"))
