"""Clusters of several nodes. Run `--against kafka`, those of klamm alone show that the harness itself tells the truth."""
import load
import peer
from cluster import Cluster

QUICK = {"broker_session_timeout_ms": 6000, "broker_heartbeat_interval_ms": 1000, "replica_lag_time_max_ms": 10000}


def running(context, stem, quorum, nodes, **properties):
    """A started cluster; `nodes` are (number, roles, program)."""
    cluster = Cluster(context.path(stem), quorum, **{**QUICK, **properties})
    for number, roles, program in nodes:
        cluster.add(number, roles, program)
    try:
        return cluster.start()
    except BaseException:
        cluster.kill()
        raise


def through_trouble(context, cluster, brokers):
    """Records through a moved leader, a kill -9, a pause and a restart of brokers; every acknowledged one is compared in the end."""
    kafka = context.reference
    senders, readers = [], []
    try:
        first, second, third = brokers
        topic = cluster.create_topic("records", assignment=[[first, second, third], [second, third, first], [third, first, second]],
                                     min_insync_replicas=2)
        senders = [load.Sender(cluster, topic, kafka, 1), load.KcatSender(cluster, topic, 2), load.Sender(cluster, topic, context.subject, 3)]
        for sender in senders:
            sender.wait_more()
        readers = [load.Reader(cluster, topic, 0, kafka)]
        cluster.move_leader(topic, 0, third)
        senders[0].wait_more()
        if len(cluster.controllers()) > 1:
            victim = cluster.active_controller()
            victim.kill()
            peer.expect(cluster.active_controller() is not victim, "the killed controller leads")
            senders[0].wait_more()
            victim.start()
            cluster.wait_in_sync(topic)
        cluster.nodes[second].restart(kill=True)
        cluster.wait_in_sync(topic)
        other, witness = cluster.nodes[third], cluster.nodes[first]
        other.pause()
        peer.wait_until("the paused node's partitions are led by others", lambda: all(
            leader not in (-1, other.number) for leader, _replicas, _isr in cluster.partitions(topic, witness).values()), 60)
        other.resume()
        cluster.wait_in_sync(topic)
        for number in brokers:
            cluster.nodes[number].restart()
            cluster.wait_in_sync(topic)
            senders[2].wait_more()
        return load.check(cluster, topic, senders, readers)
    finally:
        for one in senders:
            one.kill()
        for one in readers:
            one.stop()
        cluster.kill()


def combined(name, quorum, programs):
    """Three nodes that are broker and controller; `programs` chooses of the context what each is."""
    @peer.check(f"cluster/{name}", timeout=400)
    def check(context):
        nodes = [(number, "broker,controller", getattr(context, which)) for number, which in enumerate(programs, 1)]
        return through_trouble(context, running(context, name, quorum, nodes), [1, 2, 3])
    return check


def apart(name, quorum, brokers, controllers):
    """Three brokers, and controllers that are nothing else."""
    @peer.check(f"cluster/{name}", timeout=400)
    def check(context):
        nodes = [(number, "broker", getattr(context, which)) for number, which in enumerate(brokers, 1)]
        nodes += [(number, "controller", getattr(context, which)) for number, which in enumerate(controllers, 4)]
        return through_trouble(context, running(context, name, quorum, nodes), [1, 2, 3])
    return check


combined("klamm-alone", "static", ["subject"] * 3)
combined("klamm-alone-dynamic", "initial", ["subject"] * 3)
combined("two-klamm-one-kafka", "static", ["subject", "reference", "subject"])
combined("one-klamm-two-kafka", "initial", ["reference", "subject", "reference"])
apart("brokers-under-kafka", "standalone", ["subject", "reference", "subject"], ["reference"])
apart("kafka-brokers-under-klamm", "static", ["reference", "reference", "subject"], ["subject"] * 3)


class Said:
    """A sender that says what it is told to."""

    def __init__(self, number, acknowledged, presumed=0):
        self.number, self.said, self.presumes = number, acknowledged, presumed

    def acknowledged(self):
        return self.said

    def presumed(self):
        return self.presumes


@peer.check("cluster/comparison")
def comparison(_context):
    """The comparison itself fails where it must."""
    log = {0: [(0, "1.0"), (1, "1.1"), (2, "2.0")], 1: [(0, "1.2")]}
    said = [Said(1, {"1.0": (0, 0), "1.1": (0, 1), "1.2": (1, 0)}), Said(2, {"2.0": None})]
    load.compare(log, said)
    load.compare(log, [*said, Said(3, {"3.0": None}, presumed=1)])
    wrong = {
        "lost": (log, [Said(1, {"1.3": (1, 1)})]),
        "lost, more than was presumed": (log, [Said(1, {"1.3": None, "1.4": None}, presumed=1)]),
        "moved": (log, [Said(1, {"1.1": (0, 2)})]),
        "twice": ({**log, 1: [(0, "1.2"), (1, "2.0")]}, said),
        "disordered": ({**log, 0: [(0, "1.1"), (1, "1.0"), (2, "2.0")]}, [Said(1, {})]),
        "foreign": ({0: [(0, "nobody's")]}, []),
    }
    for what, (records, senders) in wrong.items():
        try:
            load.compare(records, senders)
        except peer.Failure:
            continue
        raise peer.Failure(f"records that are {what} pass")
