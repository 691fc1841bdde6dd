"""The tools for a cluster: the same command line to Kafka's tool and to the one under test, on three Apache Kafka nodes.
What a command changes is changed by both, each on a topic, feature or node of its own."""
import re

import peer
from checks.cluster import running
from checks.tools_compare import canonical

TRACE = re.compile(r"^(\s+(at |\.\.\. \d+ more)|Caused by: |java\.|org\.apache\.kafka\.\S+(Exception|Error)\b)")
NORMAL = ((re.compile(r"\b\d+ ms ago"), "N ms ago"), (re.compile(r"\b(HighWatermark|MaxFollowerLag|MaxFollowerLagTimeMs): +\d+"), r"\1: N"), (re.compile(r"Epoch: \d+"), "Epoch: N"))


def lines_of(program, arguments, tool, words=()):
    """(exit status, lines of output without Java's stack traces and what differs from run to run)"""
    ran = peer.run(program.command(tool, *arguments), status=None, timeout=120)
    lines = []
    for line in ran.text.splitlines():
        if TRACE.match(line):
            continue
        for word, stands_for in words:
            line = line.replace(word, stands_for)
        line = canonical(line)
        for pattern, normal in NORMAL:
            line = pattern.sub(normal, line)
        lines.append(line)
    while lines and not lines[-1]:  # before or after a stack trace
        lines.pop()
    return ran.status, lines


class Pair:
    """Kafka's tool and the one under test on one cluster; {topic} is the program's own."""

    def __init__(self, context, cluster, topics):
        self.context, self.cluster, self.topics, self.count = context, cluster, topics, 0

    def same(self, tool, line, controllers=False, files=None, server=True, texts=True, wanted=None):
        """`wanted`: the assignment that the topic comes to before the other tool runs, which would set throttles also for
        what the first one has begun and not ended."""
        self.count += 1
        seen = []
        for program, topic in zip((self.context.reference, self.context.subject), self.topics):
            made = {name: str(self.context.file(f"{name}.json", text.replace("TOPIC", topic).encode())) for name, text in (files or {}).items()}
            arguments = [word.format(topic=topic, **made) for word in line.split()]
            if server:
                arguments = self.cluster.tool_words(tool, arguments, controllers)
            seen.append(lines_of(program, arguments, tool, [(topic, "TOPIC"), *((path, name) for name, path in made.items())]))
            if wanted is not None:
                self.cluster.wait_in_sync(topic, wanted)
        what = f"{tool} {line}{' of controllers' if controllers else ''}"
        peer.equal(f"{what}: exit status", seen[1][0], seen[0][0])
        if not texts:
            return
        for number, (mine, theirs) in enumerate(zip(seen[1][1], seen[0][1]), 1):
            peer.equal(f"{what}: line {number}", mine, theirs)
        peer.equal(f"{what}: lines", seen[1][1], seen[0][1])


def three_nodes(context, stem):
    cluster = running(context, stem, "initial", [(number, "broker,controller", context.reference) for number in (1, 2, 3)])
    topics = []
    for owner in ("theirs", "mine"):
        topics.append(cluster.create_topic(f"{stem}-{owner}"[:40], assignment=[[1, 2], [2, 3], [3, 1]]))
    return cluster, Pair(context, cluster, topics)


PLAN = '{"version":1,"partitions":[{"topic":"TOPIC","partition":0,"replicas":[3,1]},{"topic":"TOPIC","partition":1,"replicas":[2,1]}]}'
BACK = '{"version":1,"partitions":[{"topic":"TOPIC","partition":0,"replicas":[1,2]},{"topic":"TOPIC","partition":1,"replicas":[2,3]}]}'
REFUSED = {
    "empty": '{"version":1,"partitions":[]}',
    "version": '{"version":2,"partitions":[]}',
    "no_json": "nonsense",
    "no_replicas": '{"partitions":[{"topic":"TOPIC","partition":0,"replicas":[]}]}',
    "twice": '{"partitions":[{"topic":"TOPIC","partition":0,"replicas":[1,2]},{"topic":"TOPIC","partition":0,"replicas":[1,2]}]}',
    "same_broker": '{"partitions":[{"topic":"TOPIC","partition":0,"replicas":[1,1]}]}',
    "unknown_broker": '{"partitions":[{"topic":"TOPIC","partition":0,"replicas":[1,77]}]}',
    "unknown_topic": '{"partitions":[{"topic":"no-such-topic","partition":0,"replicas":[1,2]}]}',
    "unknown_partition": '{"partitions":[{"topic":"TOPIC","partition":9,"replicas":[1,2]}]}',
    "log_dirs": '{"partitions":[{"topic":"TOPIC","partition":0,"replicas":[1,2],"log_dirs":["any"]}]}',
}


@peer.check("compare-cluster/reassign-partitions", timeout=600)
def reassign(context):
    cluster, pair = three_nodes(context, "reassign")
    try:
        for line in ("--list", "--list --verify", "", "--execute", "--verify --throttle 1"):
            pair.same("reassign-partitions", line)
        pair.same("reassign-partitions", "--list", controllers=True)
        for name, text in REFUSED.items():
            pair.same("reassign-partitions", f"--execute --reassignment-json-file {{{name}}}", files={name: text}, texts=name != "no_json")
        pair.same("reassign-partitions", "--verify --reassignment-json-file {missing}", files={"missing": REFUSED["unknown_topic"]})
        pair.same("reassign-partitions", "--verify --reassignment-json-file {plan}", files={"plan": PLAN})
        more = '{"partitions":[{"topic":"TOPIC","partition":0,"replicas":[1,2,3]}]}'
        pair.same("reassign-partitions", "--execute --reassignment-json-file {more} --disallow-replication-factor-change", files={"more": more})
        for name, text, words, wanted in (("plan", PLAN, "--throttle 10000000", [[3, 1], [2, 1], [3, 1]]),
                                          ("back", BACK, "--replica-alter-log-dirs-throttle 5000000 --throttle 9000000", [[1, 2], [2, 3], [3, 1]])):
            pair.same("reassign-partitions", f"--execute --reassignment-json-file {{{name}}} --additional {words}", files={name: text}, wanted=wanted)
            pair.same("configs", "--describe --topic {topic}")
            pair.same("reassign-partitions", f"--verify --preserve-throttles --reassignment-json-file {{{name}}}", files={name: text})
            pair.same("configs", "--describe --topic {topic}")
            pair.same("reassign-partitions", f"--verify --reassignment-json-file {{{name}}}", files={name: text})
            pair.same("configs", "--describe --topic {topic}")
            pair.same("configs", "--describe --entity-type brokers")
        pair.same("reassign-partitions", "--list")
        return f"{pair.count} command lines"
    finally:
        cluster.kill()


@peer.check("compare-cluster/leader-election", timeout=300)
def leader_election(context):
    cluster, pair = three_nodes(context, "election")
    try:
        one = '{"partitions":[{"topic":"TOPIC","partition":1},{"topic":"TOPIC","partition":7}]}'
        for line in ("--election-type preferred --topic {topic} --partition 0", "--election-type unclean --topic {topic} --partition 0",
                     "--election-type preferred --topic no-such-topic --partition 0", "--election-type preferred --topic {topic} --partition 9",
                     "--election-type preferred --topic {topic}", "--election-type preferred --partition 0", "--election-type preferred",
                     "--election-type preferred --topic {topic} --partition 0 --all-topic-partitions", "--election-type nonsense --all-topic-partitions",
                     "--all-topic-partitions", "--election-type preferred --all-topic-partitions"):
            pair.same("leader-election", line)
        for name, text in (("some", one), ("empty", "{}"), ("broken", "nonsense"), ("twice", one.replace("7", "1"))):
            pair.same("leader-election", f"--election-type PREFERRED --path-to-json-file {{{name}}}", files={name: text})
        cluster.nodes[1].restart()  # others lead for it
        for topic in pair.topics:
            cluster.wait_in_sync(topic)
            peer.expect(cluster.partitions(topic)[0][0] == 2, "the restarted broker leads still")
        pair.same("leader-election", "--election-type preferred --topic {topic} --partition 0")
        pair.same("leader-election", "--election-type preferred --topic {topic} --partition 0")
        return f"{pair.count} command lines"
    finally:
        cluster.kill()


FACTS = (
    ("metadata-quorum", "describe --status"), ("metadata-quorum", "describe --status --human-readable"), ("metadata-quorum", "add-controller"),
    ("metadata-quorum", "remove-controller --controller-id 9"), ("metadata-quorum", "remove-controller -i 9 -d AAAAAAAAAAAAAAAAAAAABA"),
    ("metadata-quorum", "remove-controller -i 9 -d xx"), ("metadata-quorum", "remove-controller -i 9 -d AAAAAAAAAAAAAAAAAAAABA --dry-run"),
    ("cluster", "list-endpoints"), ("cluster", "list-endpoints --include-fenced-brokers"), ("cluster", "unregister --id 77"),
    ("features", "describe --node-id 2"), ("features", "describe --node-id -1"), ("features", "upgrade"), ("features", "upgrade --feature share.version=9"),
    ("features", "upgrade --release-version 4.3 --dry-run"), ("features", "downgrade --release-version 4.0"), ("features", "downgrade --feature foo=1"),
    ("features", "upgrade --feature foo"), ("features", "disable --feature share.version --dry-run"), ("features", "upgrade --metadata 4.2-IV1"),
    ("configs", "--describe --entity-type brokers"), ("configs", "--alter --broker-defaults --add-config log.cleaner.threads=2"),
    ("configs", "--describe --broker-defaults"), ("configs", "--alter --broker 2 --add-config log.cleaner.threads=2"), ("configs", "--describe --broker 2"),
    ("configs", "--alter --broker 2 --delete-config log.cleaner.threads"), ("configs", "--alter --broker 2 --add-config node.id=7"),
    ("configs", "--describe --broker-logger 2"), ("configs", "--describe --broker-logger 77"),
)
FACTS_OF_CONTROLLERS = (
    ("metadata-quorum", "describe --status"), ("metadata-quorum", "remove-controller -i 9 -d AAAAAAAAAAAAAAAAAAAABA"), ("cluster", "cluster-id"),
    ("cluster", "list-endpoints"), ("cluster", "list-endpoints --include-fenced-brokers"), ("cluster", "unregister --id 77"), ("features", "describe"),
    ("features", "upgrade --release-version 4.3 --dry-run"), ("configs", "--describe --entity-type brokers"), ("configs", "--describe --broker-defaults"),
    ("configs", "--alter --broker 2 --add-config log.cleaner.threads=2"), ("configs", "--alter --broker 2 --delete-config log.cleaner.threads"),
)


@peer.check("compare-cluster/facts", timeout=600)
def facts(context):
    """metadata-quorum describe, features, cluster, configs of brokers: by brokers and by controllers."""
    cluster, pair = three_nodes(context, "facts")
    try:
        for tool, line in FACTS:
            pair.same(tool, line)
        for tool, line in FACTS_OF_CONTROLLERS:
            pair.same(tool, line, controllers=True)
        for line in ("feature-dependencies --feature transaction.version=2 --feature metadata.version=30 --feature eligible.leader.replicas.version=1",
                     "feature-dependencies --feature foo=2", "feature-dependencies --feature share.version=9", "feature-dependencies", "version-mapping"):
            pair.same("features", line, server=False)
        pair.same("storage", "feature-dependencies --feature eligible.leader.replicas.version=1 --feature kraft.version=1", server=False)
        replication(context, cluster)
        return f"{pair.count} command lines"
    finally:
        cluster.kill()


def replication(context, cluster):
    """Offsets and times are of the moment: the nodes, their directories and states are compared."""
    for words in ((), ("--human-readable",)):
        tables = []
        for program in (context.reference, context.subject):
            text = cluster.tool("metadata-quorum", "describe", "--replication", *words, program=program).text
            tables.append([[row.split("\t")[column].strip() for column in (0, 1, 6)] for row in text.splitlines()])
            peer.expect(("ms ago" in text) == bool(words), text)
        peer.equal("replication", tables[1], tables[0])


@peer.check("compare-cluster/voters", timeout=400)
def voters(context):
    """A controller is added and removed by the tool under test, then by Kafka's; what both print is compared."""
    kafka = context.reference
    cluster = running(context, "voters", "standalone", [(1, "broker,controller", kafka)])
    try:
        fourth = cluster.add(4, "controller", kafka)
        fourth.start()
        said = []
        for program in (kafka, context.subject):
            peer.wait_until("the observer follows", lambda: 4 in cluster.quorum()[4], 60)
            file = fourth.folder / "server.properties"
            added = cluster.tool("metadata-quorum", "--command-config", file, "add-controller", program=program)
            peer.wait_until("four is a voter", lambda: 4 in cluster.quorum()[3], 30)
            again = cluster.tool("metadata-quorum", "--command-config", file, "add-controller", program=program, status=1)
            peer.expect(again.errors, "nothing was said of the voter that is one already")
            identity = re.search(r"^directory\.id=(\S+)$", (fourth.data / "meta.properties").read_text(encoding="utf-8"), re.M)[1]
            removed = cluster.tool("metadata-quorum", "remove-controller", "--controller-id", "4", "--controller-directory-id", identity, program=program,
                                   controllers=True)
            peer.wait_until("four is none", lambda: 4 not in cluster.quorum()[3], 30)
            said.append((added.text, removed.text))
        peer.equal("added and removed", said[1], said[0])
    finally:
        cluster.kill()


@peer.check("compare-cluster/unregister", timeout=300)
def unregister(context):
    """A broker that is gone is listed as fenced, and taken out of the metadata."""
    cluster = running(context, "unregister", "static", [(1, "broker,controller", context.reference), (2, "broker", context.reference),
                                                        (3, "broker", context.reference)])
    try:
        for number in (2, 3):
            cluster.nodes[number].stop()
        cluster.wait_brokers()
        listed = [cluster.tool("cluster", "list-endpoints", "--include-fenced-brokers", program=program).text for program in (context.reference, context.subject)]
        peer.equal("endpoints", listed[1], listed[0])
        peer.equal("fenced", listed[0].count(" fenced "), 2)
        said = [cluster.tool("cluster", "unregister", "--id", number, program=program).text.replace(number, "N")
                for number, program in (("2", context.reference), ("3", context.subject))]
        peer.equal("unregistered", said[1], said[0])
        left = cluster.tool("cluster", "list-endpoints", "--include-fenced-brokers", program=context.subject).text
        peer.equal("endpoints that are left", len(left.splitlines()), 2)
    finally:
        cluster.kill()


def watch(program, cluster, topic, enough):
    """The replica-verification of a program until it has said what is waited for; what it said."""
    log = cluster.folder / f"verification-{program.name}-{topic}.log"
    server = peer.Server(program.command("replica-verification", "--broker-list", cluster.bootstrap, "--topics-include", topic, "--time", "-2",
                                         "--report-interval-ms", "500", "--max-wait-ms", "100"), log)
    try:
        peer.wait_until(f"{program.name} says what is waited for", lambda: enough(log.read_text(encoding="utf-8", errors="replace")), 60)
    except peer.Failure as failure:
        raise peer.Failure(f"{failure}: {server.tail(800)}") from None
    finally:
        server.kill()
    return log.read_text(encoding="utf-8", errors="replace")


@peer.check("compare-cluster/replica-verification", timeout=300)
def replica_verification(context):
    """Both tools find that replicas are alike; and of a replica whose bytes were changed on its disk, that they are not."""
    cluster = running(context, "verify", "initial", [(number, "broker,controller", context.reference) for number in (1, 2, 3)])
    try:
        topics = {name: cluster.create_topic(name, assignment=[[1, 2, 3], [2, 3, 1]]) for name in ("alike", "changed")}
        for topic in topics:
            for partition in ("0", "1"):
                for _ in range(3):
                    peer.run([peer.program("kcat"), "-b", cluster.bootstrap, "-P", "-t", topic, "-p", partition, "-X", "acks=all"], stdin=b"".join(b"line %d\n" % i for i in range(100)))
        head = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: verification process is started$", re.M)
        report = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: max lag is 0 for partition alike-\d at offset 300 among 2 partitions$", re.M)
        for program in (context.reference, context.subject):
            text = watch(program, cluster, "alike", report.search)
            peer.expect(head.search(text), text)
            peer.expect("checksum" not in text and "doesn't match" not in text, text)
        file = next((cluster.nodes[2].data / "changed-0").glob("*.log"))
        with open(file, "r+b") as log:  # the checksum of the first batch
            log.seek(17)
            byte = log.read(1)[0]
            log.seek(17)
            log.write(bytes([byte ^ 0x55]))
        found = watch(context.subject, cluster, "changed", lambda text: "replica 2" in text)
        peer.expect("changed-0" in found and "changed-1" not in found.split("max lag")[0].replace("for partition changed-1", ""), found)
    finally:
        cluster.kill()
