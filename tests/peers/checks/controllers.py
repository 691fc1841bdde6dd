"""The controller's listener: raw requests of brokers, right and wrong ones, get what Kafka's controller answers, and Kafka's
tools work with --bootstrap-controller."""
import os
import struct

import peer
from controller_wire import FEATURES, Controller, header, list_reassignments
from checks.tools_compare import canonical


def controller_of(broker):
    return broker.properties["controller.quorum.bootstrap.servers"]


def cluster_id(broker):
    lines = (broker.data / "meta.properties").read_text(encoding="utf-8").splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))


def closed(address, key, version):
    """True if the request ends its connection."""
    with Controller(address) as client:
        try:
            client.ask(key, version, b"")
        except (ConnectionError, OSError):
            return True
    return False


def registrations(address, cluster):
    """[(what, codes)]: a broker's life as far as the controller sees it."""
    found = []
    directories = [os.urandom(16)]
    with Controller(address) as client:
        def register(what, **changes):
            code, epoch = client.register(changes.pop("cluster", cluster), **{"directories": directories, **changes})
            found.append((f"register {what}", code))
            return epoch

        register("in another cluster", cluster="AAAAAAAAAAAAAAAAAAAAAA")
        register("without features", features={})
        for name in ("metadata.version", "kraft.version", "transaction.version", "group.version", "eligible.leader.replicas.version"):
            register(f"without {name}", features={key: value for key, value in FEATURES.items() if key != name})
        register("with an old metadata.version", features={**FEATURES, "metadata.version": (7, 29)})
        register("without directories", directories=[])
        register("with a directory twice", directories=directories * 2)
        register("with a reserved directory", directories=[bytes(15) + b"\5"])
        register("as a ZooKeeper broker", zk=True)
        found.append(("heartbeat of nobody", client.heartbeat(1, 1, broker=78)))
        first = register("first")
        second = register("another incarnation of one that never spoke", incarnation=os.urandom(16))
        peer.expect(second > first > 0, f"epochs {first}, {second}")
        epoch = register("again")
        found.append(("heartbeat of before", client.heartbeat(epoch - 1, epoch)))
        found.append(("heartbeat of later", client.heartbeat(epoch + 1, epoch)))
        found.append(("heartbeat behind", client.heartbeat(epoch, epoch - 1)))
        found.append(("another incarnation", client.register(cluster, incarnation=os.urandom(16), directories=directories)[0]))
        found.append(("heartbeat that wants to be fenced", client.heartbeat(epoch, epoch, fence=True)))
        found.append(("heartbeat", client.heartbeat(epoch, epoch)))
        found.append(("heartbeat version 0", client.heartbeat(epoch, epoch, version=0)))
        found.append(("heartbeat version 2", client.heartbeat(epoch, epoch, version=2)))
        code, start, count = client.allocate_producer_ids(epoch)
        found.append(("producer ids", (code, start % 1000, count)))
        found.append(("the next producer ids", (*client.allocate_producer_ids(epoch)[::2], client.allocate_producer_ids(epoch)[1] - start)))
        found.append(("producer ids of before", client.allocate_producer_ids(epoch - 1)[0]))
        found.append(("no directories", client.assign_directories(epoch)))
        found.append(("no directories, of before", client.assign_directories(epoch - 1)))
        found.append(("shutdown", client.heartbeat(epoch, epoch, shut_down=True)))
        found.append(("shutdown again", client.heartbeat(epoch, epoch, shut_down=True)))
        found.append(("another incarnation after it", client.register(cluster, incarnation=os.urandom(16), directories=directories)[0]))
    return found


def envelopes(address):
    good = list_reassignments()
    cases = {
        "good": {"request": good},
        "from IPv6": {"request": good, "address": bytes(15) + b"\1"},
        "without principal": {"request": good, "principal": None},
        "with an empty principal": {"request": good, "principal": b""},
        "with a principal of another version": {"request": good, "principal": b"\0\1"},
        "with three bytes of address": {"request": good, "address": b"\1\2\3"},
        "without address": {"request": good, "address": b""},
        "empty": {"request": b""},
        "with half a header": {"request": b"\0\x2e"},
        "with an unknown API": {"request": struct.pack(">hhih", 999, 0, 1, -1)},
        "with a heartbeat": {"request": header(63, 1, 5)},
        "with Metadata": {"request": header(3, 12, 5)},
        "with Fetch": {"request": header(1, 17, 5)},
        "with a version that nobody knows": {"request": list_reassignments(9)},
        "with half a body": {"request": good[:-4]},
    }
    with Controller(address) as client:
        return [(f"envelope {what}", client.envelope(**case)) for what, case in cases.items()]


def same(got, wanted):
    for (what, mine), (_, theirs) in zip(got, wanted, strict=True):
        peer.equal(what, mine, theirs)


@peer.check("controllers/requests", timeout=60)
def requests(context):
    broker, reference = context.broker, context.kafka
    got, wanted = ([*registrations(controller_of(each), cluster_id(each)), *envelopes(controller_of(each))] for each in (broker, reference))
    same(got, wanted)
    return f"{len(got)} requests"


@peer.check("controllers/listener", timeout=60)
def listener(context):
    """What is the controller's is not served by the broker's listener, nor the other way round."""
    broker = context.broker
    for key, version in ((0, 9), (3, 12), (74, 1)):
        peer.expect(closed(controller_of(broker), key, version), f"API {key} is served by the controller's listener")
    for key, version in ((62, 4), (63, 1), (58, 0), (52, 2)):
        peer.expect(closed(broker.bootstrap, key, version), f"API {key} is served by the broker's listener")
    with Controller(controller_of(broker)) as controllers, Controller(broker.bootstrap) as brokers:
        peer.equal("a controller asked for controllers", controllers.describe_cluster(2), 0)
        peer.equal("a controller asked for brokers", controllers.describe_cluster(1), 114)
        peer.equal("a controller asked for what nobody knows", controllers.describe_cluster(3), 115)
        peer.equal("a broker asked for controllers", brokers.describe_cluster(2), 114)
        peer.equal("a broker asked for brokers", brokers.describe_cluster(1), 0)


@peer.check("controllers/tools", timeout=60)
def tools(context):
    """Kafka's own tools against the controller's listener."""
    broker = context.broker
    address = controller_of(broker)

    def run(tool, *arguments, status=0):
        where = ["--bootstrap-controller", address]
        words = [*arguments, *where] if tool == "cluster" else [*where, *arguments]  # some want it before their command, one behind
        ran = peer.run(context.reference.command(tool, *words), status=status, timeout=30)
        return [canonical(line) for line in ran.text.splitlines()]

    status = run("metadata-quorum", "describe", "--status")
    peer.expect("LeaderId:               1" in status, status)
    peer.expect(any("metadata.version" in line and "4.3-IV0" in line for line in run("features", "describe")), "no metadata.version")
    endpoints = run("cluster", "list-endpoints")
    peer.equal("endpoints", endpoints[1].split(), ["1", *address.split(":"), "null", "controller"])
    peer.equal("configs", run("configs", "--alter", "--entity-type", "brokers", "--entity-default", "--add-config", "log.retention.ms=777000"),
               ["Completed updating default config for brokers in the cluster."])
    described = run("configs", "--describe", "--entity-type", "brokers", "--entity-default")
    peer.expect(any("log.retention.ms=777000" in line for line in described), described)
    run("configs", "--alter", "--entity-type", "brokers", "--entity-default", "--delete-config", "log.retention.ms")
    peer.equal("configs of one", run("configs", "--alter", "--broker", "1", "--add-config", "log.retention.ms=888000"), ["Completed updating config for broker 1."])
    run("configs", "--alter", "--broker", "1", "--delete-config", "log.retention.ms")
    run("cluster", "unregister", "--id", "999", status=1)
