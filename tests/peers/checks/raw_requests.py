"""Requests that no sound node sends: of other clusters, epochs, directories and places, to a quorum's leader and its controller.
klamm answers each with the code that Apache Kafka gives."""
import base64
import contextlib
import os
import struct

import peer
from controller_wire import Controller
from raft_wire import NO_ID, Quorum

OTHER_CLUSTER = "AAAAAAAAAAAAAAAAAAAAAA"
FAR = 1 << 62
STRANGER = bytes(8) + b"stranger"
# Kafka's refusals of FetchSnapshot lack a field, so that it fails to write them: each comes out as an unknown error. klamm's
# says what is wrong.
KAFKA_FAILS = (-1, None)


class Target:
    """A broker's controller and who it is; `ask` notes what each request gets."""

    def __init__(self, broker):
        self.address = broker.properties["controller.quorum.bootstrap.servers"]
        host, port = self.address.split(":")
        self.endpoint = ("CONTROLLER", host, int(port))
        found = dict(line.partition("=")[::2] for line in (broker.data / "meta.properties").read_text(encoding="utf-8").splitlines())
        self.cluster = found["cluster.id"]
        self.directory = self.uuid(found["directory.id"])
        self.notes = []
        with Quorum(self.address) as client:
            _leader, self.epoch, self.mark = client.quorum()[:3]

    @staticmethod
    def uuid(text):
        return base64.urlsafe_b64decode(text + "==")

    def ask(self, what, function, *arguments, **named):
        try:
            with Quorum(self.address, 20) as client:
                found = getattr(client, function)(*arguments, **named)
        except (OSError, struct.error, ConnectionError):
            found = "closed"
        self.notes.append((f"{function}: {what}", found))


def elections(target):
    cluster, epoch, directory = target.cluster, target.epoch, target.directory
    good = {"cluster": cluster, "voter": 1, "epoch": epoch, "candidate": 9, "candidate_directory": STRANGER, "voter_directory": directory,
            "last_epoch": epoch - 1, "end": FAR}
    for what, change in {
            "from another cluster": {"cluster": OTHER_CLUSTER}, "without a cluster": {"cluster": None}, "of another topic": {"topic": "other"},
            "to another voter": {"voter": 2}, "to another directory": {"voter_directory": STRANGER}, "to no directory": {"voter_directory": NO_ID},
            "of an epoch that is over": {"epoch": epoch - 1, "last_epoch": 0}, "of no epoch": {"epoch": -1, "last_epoch": -1},
            "in the present epoch": {}, "by itself": {"candidate": 1, "candidate_directory": directory}, "by nobody": {"candidate": -1},
            "with a log of later": {"last_epoch": epoch + 1}, "with a log that ends before its start": {"end": -1}, "with a log of no epoch": {"last_epoch": -1},
            "in advance": {"pre": True}, "in advance, of an epoch that is over": {"pre": True, "epoch": epoch - 1, "last_epoch": epoch - 1}}.items():
        target.ask(what, "vote", **{**good, **change})
    # Not of another leader in the present epoch: Kafka's process ends itself at that, as two lead then.
    good = {"cluster": cluster, "voter": 1, "leader": 9, "epoch": epoch, "voter_directory": directory, "endpoints": [target.endpoint]}
    for what, change in {
            "from another cluster": {"cluster": OTHER_CLUSTER}, "without a cluster": {"cluster": None, "epoch": epoch - 1}, "to another voter": {"voter": 2, "epoch": epoch - 1},
            "to another directory": {"voter_directory": STRANGER, "epoch": epoch - 1}, "of an epoch that is over": {"epoch": epoch - 1}, "of no epoch": {"epoch": -1},
            "by nobody": {"leader": -1}, "by itself": {"leader": 1},
            "without an address": {"endpoints": [], "epoch": epoch - 1}}.items():
        target.ask(what, "begin", **{**good, **change})
    good = {"cluster": cluster, "leader": 9, "epoch": epoch, "candidates": [(1, directory)], "endpoints": [target.endpoint]}
    for what, change in {"from another cluster": {"cluster": OTHER_CLUSTER}, "of an epoch that is over": {"epoch": epoch - 1}, "of no epoch": {"epoch": -1},
                         "by nobody": {"leader": -1}, "by itself": {"leader": 1}}.items():
        target.ask(what, "end", **{**good, **change})


def pulls(target):
    good = {"cluster": target.cluster, "epoch": target.epoch, "offset": 1, "last_epoch": target.epoch, "replica": 9, "directory": STRANGER}
    for what, change in {
            "good": {}, "from another cluster": {"cluster": OTHER_CLUSTER}, "without a cluster": {"cluster": None}, "of an epoch that is over": {"epoch": target.epoch - 1},
            "of a later epoch": {"epoch": target.epoch + 1}, "of no epoch": {"epoch": -1}, "before the start": {"offset": -1}, "far behind the end": {"offset": FAR},
            "with a log of later": {"last_epoch": target.epoch + 1}, "with a log of no epoch": {"last_epoch": -1}, "that waits backwards": {"wait_ms": -1},
            "of another topic": {"topic": STRANGER}, "by the voter with another directory": {"replica": 1}, "by the leader itself": {"replica": 1, "directory": target.directory},
            "by a consumer": {"replica": -1}, "of the future and far behind the end": {"offset": FAR, "epoch": target.epoch + 1, "last_epoch": target.epoch + 1}}.items():
        target.ask(what, "fetch", **{**good, **change})
    good = {"cluster": target.cluster, "epoch": target.epoch, "snapshot": (0, 0), "replica": 9, "directory": STRANGER}
    for what, change in {
            "of the bootstrap snapshot": {}, "from another cluster": {"cluster": OTHER_CLUSTER}, "of an epoch that is over": {"epoch": target.epoch - 1}, "of a later epoch": {"epoch": target.epoch + 1},
            "of another topic": {"topic": "other"}, "of another partition": {"partition": 1}, "of a snapshot that is not": {"snapshot": (7, 1)},
            "of a snapshot before the start": {"snapshot": (-1, -1)}, "before its start": {"position": -1}, "far behind its end": {"position": FAR}}.items():
        target.ask(what, "fetch_snapshot", **{**good, **change})


def voters(target):
    cluster, here = target.cluster, [target.endpoint]
    for what, arguments in {
            "to another cluster": (OTHER_CLUSTER, 9, STRANGER, here), "without an id": (cluster, -1, STRANGER, here), "without a directory": (cluster, 9, NO_ID, here),
            "without an address": (cluster, 9, STRANGER, []), "without an address for controllers": (cluster, 9, STRANGER, [("OTHER", *target.endpoint[1:])]),
            "that is one": (cluster, 1, target.directory, here), "that is one with another directory": (cluster, 1, STRANGER, here),
            "that never fetched": (cluster, 8, STRANGER, here), "that cannot be reached": (cluster, 8, STRANGER, [("CONTROLLER", "127.0.0.1", 1)])}.items():
        target.ask(what, "add_voter", *arguments)
    for what, arguments in {
            "of another cluster": (OTHER_CLUSTER, 1, target.directory), "that is none": (cluster, 9, STRANGER), "with another directory": (cluster, 1, STRANGER),
            "without a directory": (cluster, 1, NO_ID), "without an id": (cluster, -1, STRANGER)}.items():
        target.ask(what, "remove_voter", *arguments)
    good = {"cluster": cluster, "epoch": target.epoch, "voter": 1, "directory": target.directory, "endpoints": here}
    for what, change in {
            "of another cluster": {"cluster": OTHER_CLUSTER}, "of an epoch that is over": {"epoch": target.epoch - 1}, "of a later epoch": {"epoch": target.epoch + 1},
            "that is none": {"voter": 9}, "with another directory": {"directory": STRANGER}, "without a directory": {"directory": NO_ID}, "without an id": {"voter": -1},
            "without an address": {"endpoints": []}, "without an address for controllers": {"endpoints": [("OTHER", *target.endpoint[1:])]},
            "of later versions": {"versions": (2, 3)}, "of version 0 only": {"versions": (0, 0)}, "of versions that end before their start": {"versions": (1, 0)}}.items():
        target.ask(what, "update_voter", **{**good, **change})


def cluster_changes(target, topic, topic_id):
    with Controller(target.address) as client:
        code, epoch = client.register(target.cluster, directories=[STRANGER])
        peer.equal("registration", code, 0)
    isr = [(77, epoch)]
    for what, arguments in {
            "by one who does not lead": (77, epoch, topic_id, 0, 0, isr, 0), "of before": (77, epoch - 1, topic_id, 0, 0, isr, 0), "by nobody": (78, 1, topic_id, 0, 0, isr, 0),
            "of another topic": (77, epoch, STRANGER, 0, 0, isr, 0), "of another partition": (77, epoch, topic_id, 7, 0, isr, 0),
            "of an absurd leader epoch": (77, epoch, topic_id, 0, 1 << 30, isr, 0), "of an absurd partition epoch": (77, epoch, topic_id, 0, 0, isr, 1 << 30),
            "before any epoch": (77, epoch, topic_id, 0, -1, isr, -1)}.items():
        target.ask(what, "alter_partition", *arguments)
    for what, arguments in {"of before": (77, epoch - 1, STRANGER, topic_id), "by nobody": (78, 1, STRANGER, topic_id), "of no replica": (77, epoch, STRANGER, topic_id),
                            "of another topic": (77, epoch, STRANGER, STRANGER), "to another directory": (77, epoch, os.urandom(16), topic_id)}.items():
        target.ask(what, "assign", *arguments)
    for kind in (0, 1, 2, -1):
        for what, arguments in {"of a topic": (topic, 0), "of another partition": (topic, 7), "of another topic": ("no-such-topic", 0)}.items():
            target.ask(f"of kind {kind} {what}", "elect", kind, *arguments)
    for what, arguments in {"cancelled": (topic, 0, None), "of another topic": ("no-such-topic", 0, [1]), "of another partition": (topic, 7, [1]), "onto nobody": (topic, 0, []),
                            "onto an unknown broker": (topic, 0, [78]), "onto one twice": (topic, 0, [1, 1]), "onto a negative broker": (topic, 0, [-1]), "onto where it is": (topic, 0, [1])}.items():
        target.ask(what, "reassign", *arguments)
    for update in (("no.such", 1, 1), ("no.such", 0, 2), ("metadata.version", 31, 1), ("metadata.version", 30, 1), ("metadata.version", 6, 2), ("metadata.version", 29, 1), ("metadata.version", -1, 1),
                   ("metadata.version", 30, 0), ("metadata.version", 30, 9), ("metadata.version", 31, 2), ("kraft.version", 1, 1), ("kraft.version", 0, 1), ("kraft.version", 0, 2), ("kraft.version", 0, 3),
                   ("kraft.version", 2, 1), ("transaction.version", 3, 1), ("transaction.version", 2, 2), ("group.version", 1, 3)):
        target.ask(" ".join(map(str, update)), "update_features", update)
    target.ask("the same twice", "update_features", ("group.version", 1, 1), ("group.version", 1, 1))
    target.ask("of nobody", "unregister", 78)
    target.ask("of nobody at all", "unregister", -1)
    target.ask("of one that is fenced", "unregister", 77)
    # Last, as features are not changed any more while there is one that supports none.
    for what, arguments in {"that is none": (9, STRANGER, [target.endpoint]), "without an address": (9, STRANGER, []), "without features": (9, STRANGER, [target.endpoint], ())}.items():
        target.ask(what, "register_controller", *arguments)


def higher_epochs(target):
    """These end the leader's epoch; it takes the next one, as it is alone."""
    target.ask("by a stranger in a later epoch", "vote", target.cluster, 1, target.epoch + 5, 9, STRANGER, target.directory, target.epoch, FAR)

    def again():
        with Quorum(target.address, 5) as client:
            found = client.quorum()
        return found is not None and found[0] == 1 and found[1] > target.epoch + 5
    peer.wait_until("it leads again", lambda: quietly(again), 40)
    target.ask("of the epoch before", "fetch", target.cluster, target.epoch, 1, target.epoch, 9, STRANGER)


def quietly(condition):
    with contextlib.suppress(OSError, struct.error, ConnectionError):
        return condition()
    return False


def answers(broker):
    with broker.client() as client:
        client.create_topic("raw")
    with Quorum(broker.bootstrap) as client:
        topic_id = client.topic_id("raw")
    target = Target(broker)
    elections(target)
    pulls(target)
    voters(target)
    cluster_changes(target, "raw", topic_id)
    higher_epochs(target)
    return target.notes


@peer.check("cluster/raw-requests", timeout=200)
def raw_requests(context):
    notes = []
    for number, program in enumerate((context.subject, context.reference)):
        broker = context.own_broker(f"raw-{number}", program)
        try:
            notes.append(answers(broker.start()))
        finally:
            broker.kill()
    wrong = []
    for (what, mine), (_, theirs) in zip(*notes, strict=True):
        if theirs == KAFKA_FAILS and what.startswith("fetch_snapshot") and mine not in ((0, 0), "closed"):
            continue
        if mine != theirs:
            wrong.append(f"{what}: {mine}, Kafka {theirs}")
    peer.expect(not wrong, "\n".join(wrong))
    return f"{len(notes[0])} requests"
