"""What a partition's leader does for transactions whose coordinator is elsewhere: transactional batches, markers, the last stable offset."""
import struct

import cluster_wire
import peer
import records
import wire
from checks.disk import dump
from cluster_wire import NO_TAGS, compact_list, compact_text

FETCH, WRITE_TXN_MARKERS = 1, 27
TRANSACTIONAL = 0x10
NO_ERROR, UNKNOWN_TOPIC_OR_PARTITION, INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED = 0, 3, 47, 52
# Nobody coordinates these transactions: the leader is not to ask.
UNVERIFIED = {"transaction_partition_verification_enable": "false"}


def marker(producer, epoch, commit, topics, coordinator_epoch=0, transaction_version=None):
    """`topics`: {name: partitions}. With a transaction version for WriteTxnMarkers 2, without for 1."""
    body = struct.pack(">qhb", producer, epoch, commit)
    body += compact_list([compact_text(name) + compact_list([struct.pack(">i", one) for one in partitions]) + NO_TAGS for name, partitions in topics.items()])
    body += struct.pack(">i", coordinator_epoch)
    return body + (b"" if transaction_version is None else struct.pack(">b", transaction_version)) + NO_TAGS


def write_markers(client, markers, version=1):
    """Sorted (producer id, topic, partition, error code)."""
    reader = client.call_flexible(WRITE_TXN_MARKERS, version, compact_list(markers) + NO_TAGS)
    found = []
    for _ in range(reader.count()):
        producer = reader.take("q")
        for _ in range(reader.count()):
            topic = reader.compact_text()
            for _ in range(reader.count()):
                found.append((producer, topic, reader.take("i"), reader.take("h")))
                reader.tags()
            reader.tags()
        reader.tags()
    return sorted(found)


def stable(client, topic):
    """(high watermark, last stable offset, aborted transactions) as a reader of committed records learns them."""
    body = struct.pack(">iiiibi", -1, 0, 0, 1 << 20, 1, 1) + wire.text(topic) + struct.pack(">iiqi", 1, 0, 0, 1 << 20)
    reader = client.call(FETCH, 4, body)
    reader.take("i")
    reader.take("i")
    reader.text()
    reader.take("i")
    reader.take("i")
    peer.equal("error of fetch", reader.take("h"), 0)
    ends = reader.take("q"), reader.take("q")
    return (*ends, [(reader.take("q"), reader.take("q")) for _ in range(max(0, reader.take("i")))])


def transactional(client, topic, producer, epoch, sequence, *values):
    batch = records.batch(values, attributes=TRANSACTIONAL, producer=(producer, epoch, sequence))
    return records.produce(client, topic, batch, transactional_id="peers")


def story(broker, topic):
    """What a leader says to markers of every kind: (what, answer), in order."""
    told = []
    with broker.client() as old, cluster_wire.Client(broker.bootstrap) as client:
        def tell(what, answer):
            told.append((what, answer))

        def mark(what, *markers, version=1):
            tell(what, write_markers(client, list(markers), version))
            tell("then", stable(old, topic))

        here = {topic: [0]}
        tell("no markers", write_markers(client, []))
        tell("without an id", records.produce(old, topic, records.batch((b"none",), attributes=TRANSACTIONAL, producer=(7000, 0, 0))))
        tell("begun", transactional(old, topic, 7001, 0, 0, b"one", b"two"))
        tell("begun", transactional(old, topic, 7002, 3, 0, b"three"))
        tell("outside", records.produce(old, topic, records.batch((b"four",))))
        tell("stable", stable(old, topic))
        mark("aborted", marker(7001, 0, False, here, 4))
        mark("aborted again", marker(7001, 0, False, here, 4))
        mark("an older coordinator", marker(7001, 0, True, here, 3))
        mark("an older epoch", marker(7002, 2, True, here))
        mark("a newer epoch", marker(7002, 5, False, here))
        tell("the old producer", transactional(old, topic, 7002, 3, 1, b"five"))
        mark("nobody knows the producer", marker(7003, 1, True, here))
        mark("unknown", marker(7001, 0, True, {"nowhere": [0], topic: [0, 1]}, 4))
        tell("begun", transactional(old, topic, 7004, 1, 0, b"six"))
        mark("version 2, the same epoch", marker(7004, 1, True, here, 1, 2), version=2)
        mark("version 2, the next epoch", marker(7004, 2, True, here, 1, 2), version=2)
        mark("version 2, again", marker(7004, 2, True, here, 1, 2), version=2)
        tell("begun", transactional(old, topic, 7005, 0, 0, b"seven"))
        tell("begun", transactional(old, topic, 7006, 0, 0, b"eight"))
        mark("two at once", marker(7005, 0, True, here), marker(7006, 0, False, here))
    return told


@peer.check("transactions/markers", timeout=200)
def markers(context):
    """Raw markers, sound and not, have the same answers and effects from both leaders; Kafka's tool reads what was written."""
    told = {}
    for program in (context.subject, context.reference):
        broker = context.own_broker(f"markers-{program.name}", program, **UNVERIFIED).start()
        try:
            with broker.client() as client:
                client.create_topic("marked", 1)
                peer.wait_until("the topic has a leader", lambda c=client: c.metadata(["marked"])[1]["marked"] == (0, 1))
            told[program.name] = story(broker, "marked")
            broker.stop()
            told[program.name].append(("written", kinds(dump(context, "--deep-iteration", "--print-data-log", "--files",
                                                            broker.data / "marked-0" / f"{0:020}.log"))))
        finally:
            broker.kill()
    ours, theirs = told[context.subject.name], told[context.reference.name]
    for mine, wanted in zip(ours, theirs):
        peer.equal(wanted[0], mine, wanted)
    peer.equal("steps", len(ours), len(theirs))
    codes = {code for _what, answer in theirs if isinstance(answer, list) for *_where, code in answer if isinstance(code, int)}
    peer.expect({NO_ERROR, UNKNOWN_TOPIC_OR_PARTITION, INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED} <= codes, f"codes seen: {codes}")
    return f"{len(ours)} steps"


def kinds(text):
    """Of each record that dump-log prints: whether data or a marker, and which."""
    found = []
    for line in text.splitlines():
        if line.startswith("| offset:"):
            found.append(line.split("endTxnMarker: ")[1].split(" ")[0] if "endTxnMarker: " in line else "data")
    return found


@peer.check("transactions/abort-tool", timeout=200)
def abort_tool(context):
    """Kafka's operators' tool finds a transaction that hangs and ends it, and readers of committed records go on."""
    broker = context.own_broker("hanging", **UNVERIFIED).start()
    try:
        with broker.client() as client:
            client.create_topic("hung", 1)
            peer.wait_until("the topic has a leader", lambda: client.metadata(["hung"])[1]["hung"] == (0, 1))
            peer.equal("produced", transactional(client, "hung", 7001, 0, 0, b"never seen"), (0, 0))
            peer.equal("produced", records.produce(client, "hung", records.batch((b"seen",))), (0, 1))
            peer.equal("stable", stable(client, "hung")[1], 0)
            listed = context.tool("transactions", "describe-producers", "--topic", "hung", "--partition", "0", program=context.reference, broker=broker)
            peer.expect("7001" in listed.text, listed.text)
            context.tool("transactions", "abort", "--topic", "hung", "--partition", "0", "--start-offset", "0", program=context.reference, broker=broker)
            peer.equal("stable", stable(client, "hung"), (3, 3, [(7001, 0)]))
        for program in (context.subject, context.reference):
            read = context.tool("console-consumer", "--topic", "hung", "--partition", "0", "--offset", "earliest", "--max-messages", "1", "--timeout-ms",
                                "20000", "--isolation-level", "read_committed", program=program, broker=broker)
            peer.equal(f"what {program.name}'s consumer reads", read.out, b"seen\n")
        broker.stop()
    finally:
        broker.kill()
