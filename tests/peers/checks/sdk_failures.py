"""klamm's producer and consumer on a cluster of three Apache Kafka nodes, through what goes wrong there: each record once,
in order, at the offset that was acknowledged. With `--against kafka` Kafka's own clients are the subject."""
import contextlib
import time

import load
import peer
import proxy
from checks.cluster import QUICK
from cluster import Cluster, free_port

SPREAD = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]


@contextlib.contextmanager
def kafka_cluster(context, stem, proxies=False, **properties):
    """Three combined Kafka nodes; with proxies between the brokers and their clients if asked."""
    cluster = Cluster(context.path(stem), "initial", **{**QUICK, **properties})
    for number in (1, 2, 3):
        node = cluster.add(number, "broker,controller", context.reference)
        if proxies:
            host = f"127.0.0.{30 + number}"
            node.behind(proxy.Proxy(host, free_port(host)))
    try:
        yield cluster.start()
    finally:
        cluster.kill()


@contextlib.contextmanager
def under_load(context, cluster, topic, rate=1000, readers=True, **config):
    """A sender of the subject, and a reader of it for each partition; what they did is compared at the end."""
    sender = load.Sender(cluster, topic, context.subject, 1, rate, **config)
    followers = []
    try:
        sender.wait_more(10)
        if readers:
            followers = [load.Reader(cluster, topic, partition, context.subject) for partition in range(len(cluster.partitions(topic)))]
        yield sender
        load.check(cluster, topic, [sender], followers)
    finally:
        sender.kill()
        for one in followers:
            one.stop()


@peer.check("sdk/leaders-move", timeout=400)
def leaders_move(context):
    """Leaders go round, twelve times."""
    with kafka_cluster(context, "sdk-move") as cluster:
        topic = cluster.create_topic("moving", assignment=SPREAD, min_insync_replicas=2)
        with under_load(context, cluster, topic) as sender:
            for turn in range(12):
                leader, replicas, _isr = cluster.partitions(topic)[turn % 3]
                cluster.move_leader(topic, turn % 3, replicas[(replicas.index(leader) + 1) % 3])
                sender.wait_more(200)
        return f"{sender.count()} records"


@peer.check("sdk/brokers-restart", timeout=500)
def brokers_restart(context):
    """Each broker is stopped in order and started again, then each is killed and started again."""
    with kafka_cluster(context, "sdk-restart") as cluster:
        topic = cluster.create_topic("restarting", assignment=SPREAD, min_insync_replicas=2)
        with under_load(context, cluster, topic) as sender:
            for kill in (False, True):
                for node in cluster.nodes.values():
                    (node.kill if kill else node.stop)()
                    sender.wait_more(200)
                    node.start()
                    cluster.wait_in_sync(topic)
                    sender.wait_more(200)
        return f"{sender.count()} records"


@peer.check("sdk/reassigned", timeout=400)
def reassigned(context):
    """Partitions move to brokers that had none of them, and back."""
    with kafka_cluster(context, "sdk-reassigned") as cluster:
        topic = cluster.create_topic("wandering", assignment=[[1], [2], [3]])
        with under_load(context, cluster, topic) as sender:
            for step in (1, 2, 0):
                cluster.reassign(topic, {partition: [(partition + step) % 3 + 1] for partition in range(3)})
                sender.wait_more(300)
        return f"{sender.count()} records"


@peer.check("sdk/lost-answers", timeout=400)
def lost_answers(context):
    """Every 20th answer to Produce is lost with its connection, with five requests in flight; the batches are small."""
    with kafka_cluster(context, "sdk-lost", proxies=True) as cluster:
        topic = cluster.create_topic("lossy", assignment=SPREAD, min_insync_replicas=2)
        with under_load(context, cluster, topic, rate=3000, linger_ms=0, batch_size=500) as sender:
            proxies = [node.proxy for node in cluster.nodes.values()]
            for one in proxies:
                one.lose(proxy.PRODUCE, 20)
            peer.wait_until("60 answers are lost", lambda: sum(one.lost for one in proxies) >= 60, 120)
            for one in proxies:
                one.lose(proxy.PRODUCE, 0)
            sender.wait_more(1000)
        return f"{sender.count()} records, {sum(one.lost for one in proxies)} answers lost"


@peer.check("sdk/rebootstrap", timeout=400)
def rebootstrap(context):
    """All brokers come back at other addresses; only the bootstrap address, a proxy, still leads to one."""
    with kafka_cluster(context, "sdk-rebootstrap") as cluster:
        topic = cluster.create_topic("followed", assignment=SPREAD, min_insync_replicas=2)
        door = proxy.Proxy("127.0.0.40", free_port("127.0.0.40"), cluster.nodes[1].address)
        sender = load.Sender(cluster, topic, context.subject, 1, bootstrap=door.address)
        try:
            sender.wait_more(500)
            for node in cluster.nodes.values():
                node.kill()  # the last of a quorum does not stop in order
                node.address = f"{node.host}:{free_port(node.host)}"
            cluster.start()
            door.target = cluster.nodes[2].address
            sender.wait_more(500, 90)
            return load.check(cluster, topic, [sender])
        finally:
            sender.kill()
            door.close()


@peer.check("sdk/no-retry-storm", timeout=300)
def no_retry_storm(context):
    """The broker that leads alone is gone for ten seconds: few connections are tried, few requests are sent."""
    with kafka_cluster(context, "sdk-storm", proxies=True) as cluster:
        topic = cluster.create_topic("alone", assignment=[[3]])
        sender = load.Sender(cluster, topic, context.subject, 1)
        reader = None
        try:
            sender.wait_more(200)
            reader = load.Reader(cluster, topic, 0, context.subject)
            peer.wait_until("the reader reads", lambda: reader.records())
            cluster.nodes[3].kill()
            peer.wait_until("the others know", lambda: cluster.partitions(topic)[0][0] == -1, 60)
            proxies = [node.proxy for node in cluster.nodes.values()]
            before = sum(sum(count for key, count in one.requests.items() if isinstance(key, int)) for one in proxies), sum(one.connections for one in proxies)
            end = time.monotonic() + 10  # the measure itself: what happens in so long
            peer.wait_until("ten seconds have passed", lambda: time.monotonic() >= end)
            requests = sum(sum(count for key, count in one.requests.items() if isinstance(key, int)) for one in proxies) - before[0]
            connections = sum(one.connections for one in proxies) - before[1]
            cluster.nodes[3].start()
            sender.wait_more(200)
            peer.expect(requests <= 400 and connections <= 100, f"{requests} requests and {connections} connections in 10 s")
            load.check(cluster, topic, [sender], [reader])
            return f"{requests} requests and {connections} connections in 10 s"
        finally:
            sender.kill()
            if reader:
                reader.stop()


@peer.check("sdk/recreated-topic", timeout=300)
def recreated_topic(context):
    """A topic is deleted and comes again under its name: the producer goes on there, the consumer reads the new one from
    its beginning, without a restart of either."""
    with kafka_cluster(context, "sdk-recreated", auto_create_topics_enable="false") as cluster:
        topic = cluster.create_topic("again", assignment=[[1, 2, 3]])
        sender = load.Sender(cluster, topic, context.subject, 1, delivery_timeout_ms=10000)
        reader = load.Reader(cluster, topic, 0, context.subject, auto_offset_reset="earliest")
        try:
            sender.wait_more(500)
            peer.wait_until("the reader reads", lambda: len(reader.records()) > 300)
            with cluster.client() as client:
                client.delete(topic)
            peer.wait_until("the topic is gone", lambda: not cluster.partitions(topic))
            cluster.create_topic(topic, assignment=[[2, 3, 1]])
            sender.wait_more(500, 60)
            old = len(reader.records())
            sender.server.stop(60)
            log = load.read(cluster, topic)[0]
            last = {value: where for value, where in sender.acknowledged().items()}
            for offset, value in log:
                peer.expect(last.get(value) in (None, (0, offset)), f"{value} is at {offset}, acknowledged at {last.get(value)}")
            peer.wait_until("the reader has the new topic's last record", lambda: reader.records()[-1] == log[-1], 60)
            return f"{len(log)} records in the new topic, the reader had {old} of the old one"
        finally:
            sender.kill()
            reader.stop()
