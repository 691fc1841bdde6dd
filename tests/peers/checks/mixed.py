"""Nodes of both programs in one cluster: swapped in place, partitions and voters moved from one kind to the other and back,
under load, and every acknowledged record compared in the end."""
import contextlib
import json
import re
import time

import load
import peer
from checks.cluster import QUICK, running
from cluster import Cluster

SPREAD = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]


class Loaded:
    """A started cluster with a topic under load, and the check of what was acknowledged."""

    def __init__(self, cluster, programs, assignment=None, min_insync_replicas=2):
        self.cluster = cluster
        self.topic = cluster.create_topic("records", assignment=assignment or SPREAD, min_insync_replicas=min_insync_replicas)
        self.senders, self.programs = [], programs

    def begin(self):
        for number, program in enumerate(self.programs, 1):
            self.senders.append(load.Sender(self.cluster, self.topic, program, number, rate=500))
        self.go_on()

    def go_on(self):
        for sender in self.senders:
            sender.wait_more()

    def lose(self, node):
        """Kills it under load; the others lead its partitions, and it comes back into every ISR."""
        node.kill()
        witness = next(one for one in self.cluster.brokers() if one.running())
        peer.wait_until(f"partitions of the killed node {node.number} are led by others", lambda: all(
            leader not in (-1, node.number) for leader, _replicas, _isr in self.cluster.partitions(self.topic, witness).values()), 40)
        self.go_on()
        node.start()
        self.cluster.wait_in_sync(self.topic)

    def check(self):
        return load.check(self.cluster, self.topic, self.senders)


@contextlib.contextmanager
def loaded(context, stem, quorum, nodes, programs, **topic):
    cluster = running(context, stem, quorum, nodes)
    one = None
    try:
        one = Loaded(cluster, programs, **topic)
        one.begin()
        yield one
    finally:
        for sender in one.senders if one else []:
            sender.kill()
        cluster.kill()


@peer.check("mixed/three-klamm", timeout=400)
def three_klamm(context):
    """Three combined nodes of the program under test: one leader each where the tool places them, kill -9 of each in turn."""
    klamm, kafka = context.subject, context.reference
    nodes = [(number, "broker,controller", klamm) for number in (1, 2, 3)]
    with loaded(context, "three-klamm", "initial", nodes, [klamm]) as one:
        for program in (klamm, kafka):
            name = f"placed-by-{program.name}"
            one.cluster.tool("topics", "--create", "--topic", name, "--partitions", "3", "--replication-factor", "3", program=program)
            one.cluster.wait_in_sync(name)
            peer.equal(f"leaders of {name}", sorted(leader for leader, _replicas, _isr in one.cluster.partitions(name).values()), [1, 2, 3])
        for number in (1, 2, 3):
            one.lose(one.cluster.nodes[number])
        return one.check()


def caught_up(cluster, number):
    """The voter has what is committed."""
    found = cluster.quorum()
    return found is not None and found[3].get(number, -1) >= found[2]


@peer.check("mixed/swapped", timeout=400)
def swapped(context):
    """Each of three nodes of Apache Kafka becomes klamm on its directory, then Kafka again, one at a time."""
    klamm, kafka = context.subject, context.reference
    with loaded(context, "swapped", "initial", [(number, "broker,controller", kafka) for number in (1, 2, 3)], [kafka, klamm]) as one:
        for program in (klamm, kafka):
            for number in (1, 2, 3):
                one.cluster.nodes[number].restart(program)
                one.cluster.wait_in_sync(one.topic)
                peer.wait_until(f"voter {number} ({program.name}) has caught up", lambda voter=number: caught_up(one.cluster, voter), 60)
                one.go_on()
            name = one.cluster.create_topic(f"made-on-{program.name}", assignment=SPREAD)
            peer.equal(f"leaders of {name}", [one.cluster.partitions(name)[index][0] for index in range(3)], [1, 2, 3])
        peer.expect(one.cluster.partitions("made-on-klamm"), "the topic that was made on klamm's nodes is gone")
        return one.check()


def move(one, program, assignment):
    """Has the program's tools reassign the topic and make the first replicas leaders."""
    plan = one.cluster.folder / f"plan-{program.name}.json"
    parts = [{"topic": one.topic, "partition": index, "replicas": replicas} for index, replicas in enumerate(assignment)]
    plan.write_text(json.dumps({"version": 1, "partitions": parts}), encoding="utf-8")
    one.cluster.tool("reassign-partitions", "--execute", "--reassignment-json-file", plan, program=program)
    one.go_on()
    one.cluster.wait_in_sync(one.topic, assignment)
    verified = one.cluster.tool("reassign-partitions", "--verify", "--reassignment-json-file", plan, program=program).text
    peer.equal("partitions that are done", verified.count(" is completed."), len(assignment))
    one.cluster.tool("leader-election", "--election-type", "preferred", "--all-topic-partitions", program=program)
    for index, replicas in enumerate(assignment):
        one.cluster.wait_leader(one.topic, index, replicas[0])
    one.go_on()


@peer.check("mixed/reassigned", timeout=400)
def reassigned(context):
    """Partitions go from Kafka's brokers onto klamm's by Kafka's tools, and off again by klamm's; a broker of each kind that
    leads is shut down in order meanwhile."""
    klamm, kafka = context.subject, context.reference
    nodes = [(1, "broker,controller", kafka), (2, "broker", kafka), (3, "broker", klamm), (4, "broker", klamm)]
    with loaded(context, "reassigned", "standalone", nodes, [kafka, klamm], assignment=[[1, 2], [2, 1]], min_insync_replicas=1) as one:
        for program, assignment in ((kafka, [[3, 4], [4, 3]]), (klamm, [[2, 1], [1, 2]])):
            move(one, program, assignment)
            leaving = assignment[0][0]
            one.cluster.nodes[leaving].stop()
            one.cluster.wait_leader(one.topic, 0, assignment[0][1])
            one.go_on()
            one.cluster.nodes[leaving].start()
            one.cluster.wait_in_sync(one.topic)
        return one.check()

@peer.check("mixed/throttled", timeout=300)
def throttled(context):
    """A reassignment with a throttle takes its time by bytes, between two klamm brokers and off them, and verifying takes the
    throttle away."""
    klamm, kafka = context.subject, context.reference
    size, rate = 8_000_000, 1_000_000
    cluster = running(context, "throttled", "standalone", [(1, "broker,controller", kafka), (2, "broker", klamm), (3, "broker", klamm)])
    try:
        topic = cluster.create_topic("large", assignment=[[2]])
        records = context.file("records", b"".join(b"%07d" % number + b"x" * 992 + b"\n" for number in range(size // 1000)))
        peer.run([peer.program("kcat"), "-b", cluster.bootstrap, "-P", "-t", topic, "-l", records])
        took = []
        for program, target in ((klamm, 3), (kafka, 1)):
            plan = context.file("plan.json", json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": [target]}]}).encode())
            begin = time.monotonic()
            cluster.tool("reassign-partitions", "--execute", "--throttle", str(rate), "--reassignment-json-file", plan, program=program)
            cluster.wait_in_sync(topic, [[target]])
            took.append(time.monotonic() - begin)
            # A second's worth may come at once, and a fetch of 1 MB beyond what is left.
            peer.expect(took[-1] > (size - 2 * rate - 1_048_576) / rate, f"{size} bytes at {rate} bytes a second took {took[-1]:.1f} s")
            cluster.tool("reassign-partitions", "--verify", "--reassignment-json-file", plan, program=program)
            left = cluster.tool("configs", "--describe", "--topic", topic, program=program).text + cluster.tool("configs", "--describe", "--entity-type", "brokers", program=program).text
            peer.expect("throttled" not in left, left)
        peer.equal("records", len(load.read(cluster, topic)[0]), size // 1000)
        return " and ".join(f"{seconds:.1f} s" for seconds in took)
    finally:
        cluster.kill()


def snapshots(node):
    """{name: content} of the metadata snapshots that are more than what the node was formatted with."""
    found = {}
    for path in (node.data / "__cluster_metadata-0").glob("*.checkpoint"):
        if int(path.name.split("-")[0]) > 0:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile, as there is a newer one
                found[path.name] = path.read_bytes()
    return found


def make_snapshot(cluster, node, stem):
    """Has the metadata grow until the node has written a snapshot beyond those it has."""
    before = set(snapshots(node))
    for number in range(40):
        cluster.create_topic(f"{stem}-{number}", assignment=[[1]])
        if set(snapshots(node)) - before:
            return
    peer.wait_until(f"node {node.number} ({node.program.name}) writes a snapshot", lambda: set(snapshots(node)) - before, 20)


def quorum(cluster):
    """(leader, its voters, observers); without a leader nobody."""
    found = cluster.quorum()
    return (found[0], set(found[3]), set(found[4])) if found else (None, set(), set())


def succeed(cluster, old, new, tool):
    """The new controller, which has nothing yet, takes the leader's snapshot, becomes a voter, and the only one."""
    make_snapshot(cluster, old, f"before-{new.number}")
    new.start()
    peer.wait_until("the new controller follows", lambda: new.number in quorum(cluster)[2], 60)
    peer.wait_until(f"{new.program.name} has a snapshot of {old.program.name}'s", lambda: set(snapshots(old).items()) & set(snapshots(new).items()), 30)
    cluster.tool("metadata-quorum", "--command-config", new.folder / "server.properties", "add-controller", program=tool)
    peer.wait_until(f"{new.number} is a voter", lambda: new.number in quorum(cluster)[1], 30)
    identity = re.search(r"^directory\.id=(\S+)$", (old.data / "meta.properties").read_text(encoding="utf-8"), re.M)[1]
    cluster.tool("metadata-quorum", "remove-controller", "--controller-id", str(old.number), "--controller-directory-id", identity, program=tool)
    peer.wait_until(f"{new.number} leads alone", lambda: quorum(cluster)[:2] == (new.number, {new.number}), 60)


@peer.check("mixed/voters", timeout=400)
def voters(context):
    """The quorum passes from Kafka to klamm and to Kafka again: each takes the snapshot of the one before, is added as a voter
    and leads, while the one before is removed; first with Kafka's tool, then with klamm's."""
    klamm, kafka = context.subject, context.reference
    cluster = Cluster(context.path("voters"), "standalone", **QUICK, metadata_log_max_record_bytes_between_snapshots=2000)
    one = None
    try:
        first = cluster.add(1, "broker,controller", kafka)
        second = cluster.add(2, "controller", klamm)
        third = cluster.add(3, "controller", kafka)
        first.start()
        one = Loaded(cluster, [klamm], assignment=[[1]], min_insync_replicas=1)
        one.begin()
        succeed(cluster, first, second, kafka)
        one.go_on()
        succeed(cluster, second, third, klamm)
        one.go_on()
        return one.check()
    finally:
        for sender in one.senders if one else []:
            sender.kill()
        cluster.kill()
