"""Coordinators of a cluster where some brokers have none: klamm tells of those of Apache Kafka's brokers as Kafka does,
groups work through it, and what would fall to itself is refused in words."""
import struct

import cluster_wire
import peer
import wire
from checks.cluster import running
from cluster_wire import NO_TAGS, compact_list, compact_text

FIND_COORDINATOR = 10
GROUP, TRANSACTION, SHARE = 0, 1, 2
NONE, UNSUPPORTED_VERSION = 0, 35
INTERNAL = ("__consumer_offsets", "__transaction_state", "__share_group_state")
PARTITIONS = 6
SIZES = {"offsets_topic_num_partitions": PARTITIONS, "transaction_state_log_num_partitions": PARTITIONS,
         "share_coordinator_state_topic_num_partitions": PARTITIONS}
KEYS = ["g-classic", "tx1", "polygenelubricants", "", " ", "\u00e4\u20ac\U0001f600", *(f"group-{number}" for number in range(12))]
TOPIC_ID = "KxbOlWRYQAuk-cm7mfRaeA"
SHARE_KEYS = [*(f"group-{number}:{TOPIC_ID}:{number}" for number in range(6)), f"g:{TOPIC_ID}:+3", f"g:{TOPIC_ID}:-3", f"a:b:{TOPIC_ID}:0", f":{TOPIC_ID}:0",
              f" :{TOPIC_ID}:0", "g:nothing:0", f"g:{TOPIC_ID}:x", f"g:{TOPIC_ID}:", f"g:{TOPIC_ID}:4294967296", "g:0", "", "::"]


def ask(address, version, kind, keys):
    """[(key, node, host, port, error code, words)]: of words for an error, which are each program's own, only whether there are any."""
    with cluster_wire.Client(address) as client:
        if version >= 4:
            return list(answers(client.call_flexible(FIND_COORDINATOR, version, struct.pack(">b", kind) + compact_list(list(map(compact_text, keys))) + NO_TAGS)))
        found = []
        for key in keys:
            if version == 3:
                reader = client.call_flexible(FIND_COORDINATOR, version, compact_text(key) + struct.pack(">b", kind) + NO_TAGS)
            else:
                reader = client.call(FIND_COORDINATOR, version, wire.text(key) + (struct.pack(">b", kind) if version >= 1 else b""))
            found.append(answer(version, key, reader))
        return found


def told(code, words):
    return words if code == NONE else bool(words)


def answer(version, key, reader):
    text = reader.compact_text if version == 3 else reader.text
    if version >= 1:
        peer.equal("throttle", reader.take("i"), 0)
    code = reader.take("h")
    words = text() if version >= 1 else ""
    return key, reader.take("i"), text(), reader.take("i"), code, told(code, words)


def answers(reader):
    peer.equal("throttle", reader.take("i"), 0)
    for _ in range(reader.count()):
        key, node, host, port, code = reader.compact_text(), reader.take("i"), reader.compact_text(), reader.take("i"), reader.take("h")
        yield key, node, host, port, code, told(code, reader.compact_text())
        reader.tags()


def one_answer(address, kind, key):
    """(node, error code, message), by version 4."""
    with cluster_wire.Client(address) as client:
        reader = client.call_flexible(FIND_COORDINATOR, 4, struct.pack(">b", kind) + compact_list([compact_text(key)]) + NO_TAGS)
        reader.take("i")
        peer.equal("answers", reader.count(), 1)
        peer.equal("key", reader.compact_text(), key)
        node, _host, _port = reader.take("i"), reader.compact_text(), reader.take("i")
        return node, reader.take("h"), reader.compact_text()


def compare(subject, reference):
    asked = 0
    for version in range(7):
        for kind in (GROUP,) if version == 0 else (GROUP, TRANSACTION, SHARE, 3, -1):
            for key in SHARE_KEYS if kind == SHARE else KEYS:
                mine, theirs = ask(subject.address, version, kind, [key]), ask(reference.address, version, kind, [key])
                peer.equal(f"FindCoordinator {version} of {kind} {key!r}", mine, theirs)
                asked += 1
        if version >= 4:
            peer.equal(f"FindCoordinator {version} of many", ask(subject.address, version, GROUP, KEYS), ask(reference.address, version, GROUP, KEYS))
            peer.equal(f"FindCoordinator {version} of none", ask(subject.address, version, GROUP, []), ask(reference.address, version, GROUP, []))
    return asked


def consume(program, broker, topic, group, records):
    """A console consumer of a group, which knows one broker."""
    done = peer.run(program.command("console-consumer", "--bootstrap-server", broker.address, "--topic", topic, "--group", group, "--from-beginning",
                                    "--max-messages", str(records), "--timeout-ms", "60000"), timeout=90)
    peer.equal(f"records of {group}", len(done.text.splitlines()), records)


@peer.check("coordinators/mixed", timeout=300)
def mixed(context):
    klamm, kafka = context.subject, context.reference
    cluster = running(context, "coordinators", "standalone", [(1, "broker,controller", kafka), (2, "broker", kafka), (3, "broker", klamm)], **SIZES)
    try:
        for name in INTERNAL:
            cluster.create_topic(name, assignment=[[1, 2], [2, 1]] * (PARTITIONS // 2), cleanup_policy="compact")
            cluster.wait_in_sync(name)
        asked = compare(cluster.nodes[3], cluster.nodes[2])

        topic = cluster.create_topic("records", assignment=[[3], [1], [2]])
        cluster.wait_in_sync(topic)
        lines = "".join(f"{number}\n" for number in range(300)).encode()
        peer.run([peer.program("kcat"), "-P", "-b", cluster.nodes[3].address, "-t", topic, "-X", "batch.num.messages=10"], stdin=lines, timeout=60)
        for group in ("of-java-0", "of-java-1"):
            consume(kafka, cluster.nodes[3], topic, group, 300)
        done = peer.run([peer.program("kcat"), "-b", cluster.nodes[3].address, "-G", "of-kcat", "-c", "300", "-q", "-X", "auto.offset.reset=earliest", topic], timeout=90)
        peer.equal("records of the group of kcat", len(done.text.splitlines()), 300)
        described = peer.run(kafka.command("consumer-groups", "--bootstrap-server", cluster.nodes[3].address, "--describe", "--group", "of-kcat"), timeout=60).text
        peer.expect("of-kcat" in described, described)

        if klamm is not kafka:
            for kind, name in ((GROUP, INTERNAL[0]), (TRANSACTION, INTERNAL[1])):
                cluster.reassign(name, {index: [3] for index in range(PARTITIONS)})
                node, code, message = one_answer(cluster.nodes[3].address, kind, "g-classic")
                peer.equal(f"refusal of {name}", (node, code), (-1, UNSUPPORTED_VERSION))
                peer.expect(f"broker 3 leads {name}-" in message and "Apache Kafka" in message, message)
        return f"{asked} questions"
    finally:
        cluster.kill()
