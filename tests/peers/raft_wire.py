"""Raw requests of the metadata quorum and of its controller, field by field, and the error codes of their answers."""
import struct

import cluster_wire
from cluster_wire import compact_list, compact_text, unsigned

TOPIC = cluster_wire.METADATA_TOPIC
TOPIC_ID = bytes(15) + b"\1"
NO_TAGS = b"\0"
NO_ID = bytes(16)
FETCH, METADATA, ELECT_LEADERS, REASSIGN, VOTE, BEGIN, END, ALTER_PARTITION, UPDATE_FEATURES, FETCH_SNAPSHOT = 1, 3, 43, 45, 52, 53, 54, 56, 57, 59
UNREGISTER, REGISTER_CONTROLLER, ASSIGN, ADD_VOTER, REMOVE_VOTER, UPDATE_VOTER = 64, 70, 73, 80, 81, 82


def text(value):
    return b"\0" if value is None else compact_text(value)


def tags(fields):
    return unsigned(len(fields)) + b"".join(unsigned(number) + unsigned(len(data)) + data for number, data in sorted(fields.items()))


def listeners(endpoints):
    return compact_list([text(name) + text(host) + struct.pack(">H", port) + NO_TAGS for name, host, port in endpoints])


def one_topic(name, partition):
    return compact_list([name + compact_list([partition + NO_TAGS]) + NO_TAGS])


class Quorum(cluster_wire.Client):
    """Each call gives the code of the whole and that of the partition, None where the answer has none."""

    def nested(self, key, version, body, throttle=False, after=None, name=None):
        """`after`: what stands behind the whole's code; `name` reads what names the topic."""
        reader = self.call_flexible(key, version, body + NO_TAGS)
        if throttle:
            reader.take("i")
        whole = reader.take("h")
        if after:
            reader.take(after)
        if reader.count() == 0:
            return whole, None
        if name is None:
            reader.compact_text()
        else:
            reader.at += name
        if reader.count() == 0:
            return whole, None
        reader.take("i")
        return whole, reader.take("h")

    def topic_id(self, name):
        """16 bytes."""
        topics = compact_list([NO_ID + text(name) + NO_TAGS])
        reader = self.call_flexible(METADATA, 12, topics + b"\0\0" + NO_TAGS)
        reader.take("i")
        for _ in range(reader.count()):
            reader.take("i"), reader.compact_text(), reader.take("i"), reader.compact_text(), reader.tags()
        reader.compact_text(), reader.take("i"), reader.count(), reader.take("h"), reader.compact_text()
        return reader.data[reader.at:reader.at + 16]

    def plain(self, key, version, body):
        reader = self.call_flexible(key, version, body + NO_TAGS)
        reader.take("i")
        return reader.take("h")

    def vote(self, cluster, voter, epoch, candidate, candidate_directory=NO_ID, voter_directory=NO_ID, last_epoch=0, end=0, pre=False, topic=TOPIC):
        part = struct.pack(">iii", 0, epoch, candidate) + candidate_directory + voter_directory + struct.pack(">iqb", last_epoch, end, pre)
        return self.nested(VOTE, 2, text(cluster) + struct.pack(">i", voter) + one_topic(text(topic), part))

    def begin(self, cluster, voter, leader, epoch, voter_directory=NO_ID, endpoints=()):
        part = struct.pack(">i", 0) + voter_directory + struct.pack(">ii", leader, epoch)
        return self.nested(BEGIN, 1, text(cluster) + struct.pack(">i", voter) + one_topic(text(TOPIC), part) + listeners(endpoints))

    def end(self, cluster, leader, epoch, candidates=(), endpoints=()):
        part = struct.pack(">iii", 0, leader, epoch)
        part += compact_list([struct.pack(">i", number) + directory + NO_TAGS for number, directory in candidates])
        return self.nested(END, 1, text(cluster) + one_topic(text(TOPIC), part) + listeners(endpoints))

    def fetch(self, cluster, epoch, offset, last_epoch, replica=-1, directory=NO_ID, wait_ms=0, topic=TOPIC_ID):
        part = struct.pack(">iiqiqi", 0, epoch, offset, last_epoch, -1, 1 << 20) + tags({0: directory})
        topics = compact_list([topic + compact_list([part]) + NO_TAGS])
        body = struct.pack(">iiibii", wait_ms, 0, 1 << 20, 0, 0, -1) + topics + compact_list([]) + text("")
        of_whole = {1: struct.pack(">iq", replica, -1) + NO_TAGS}
        if cluster is not None:
            of_whole[0] = text(cluster)
        reader = self.call_flexible(FETCH, 17, body + tags(of_whole))
        reader.take("i")
        whole = reader.take("h")
        reader.take("i")
        if reader.count() == 0:
            return whole, None
        reader.at += 16
        reader.count()
        reader.take("i")
        return whole, reader.take("h")

    def fetch_snapshot(self, cluster, epoch, snapshot, position=0, replica=-1, directory=NO_ID, topic=TOPIC, partition=0):
        part = struct.pack(">iiqi", partition, epoch, *snapshot) + NO_TAGS + struct.pack(">q", position) + tags({0: directory})
        topics = compact_list([text(topic) + compact_list([part]) + NO_TAGS])
        of_whole = {} if cluster is None else {0: text(cluster)}
        reader = self.call_flexible(FETCH_SNAPSHOT, 1, struct.pack(">ii", replica, 1 << 20) + topics + tags(of_whole))
        reader.take("i")
        whole = reader.take("h")
        if reader.count() == 0:
            return whole, None
        reader.compact_text()
        reader.count()
        reader.take("i")
        return whole, reader.take("h")

    def add_voter(self, cluster, voter, directory, endpoints, timeout_ms=1000):
        return self.plain(ADD_VOTER, 1, text(cluster) + struct.pack(">ii", timeout_ms, voter) + directory + listeners(endpoints) + b"\1")

    def remove_voter(self, cluster, voter, directory):
        return self.plain(REMOVE_VOTER, 0, text(cluster) + struct.pack(">i", voter) + directory)

    def update_voter(self, cluster, epoch, voter, directory, endpoints, versions=(0, 1)):
        body = text(cluster) + struct.pack(">ii", epoch, voter) + directory + listeners(endpoints)
        return self.plain(UPDATE_VOTER, 0, body + struct.pack(">hh", *versions) + NO_TAGS)

    def alter_partition(self, broker, broker_epoch, topic, partition, leader_epoch, isr, partition_epoch, recovery=0):
        part = struct.pack(">ii", partition, leader_epoch)
        part += compact_list([struct.pack(">iq", *member) + NO_TAGS for member in isr]) + struct.pack(">bi", recovery, partition_epoch)
        body = struct.pack(">iq", broker, broker_epoch) + one_topic(topic, part)
        return self.nested(ALTER_PARTITION, 3, body, throttle=True, name=16)

    def assign(self, broker, broker_epoch, directory, topic):
        parts = one_topic(topic, struct.pack(">i", 0))
        return self.plain(ASSIGN, 0, struct.pack(">iq", broker, broker_epoch) + compact_list([directory + parts + NO_TAGS]))

    def unregister(self, broker):
        return self.plain(UNREGISTER, 0, struct.pack(">i", broker))

    def register_controller(self, controller, incarnation, endpoints, features=(("metadata.version", 7, 30),)):
        found = [text(name) + text(host) + struct.pack(">Hh", port, 0) + NO_TAGS for name, host, port in endpoints]
        ranges = [text(name) + struct.pack(">hh", *bounds) + NO_TAGS for name, *bounds in features]
        return self.plain(REGISTER_CONTROLLER, 0, struct.pack(">i", controller) + incarnation + b"\0" + compact_list(found) + compact_list(ranges))

    def elect(self, kind, topic, partition):
        """The whole's code, and the partition's."""
        topics = compact_list([text(topic) + compact_list([struct.pack(">i", partition)]) + NO_TAGS])
        return self.nested(ELECT_LEADERS, 2, struct.pack(">b", kind) + topics + struct.pack(">i", 1000), throttle=True)

    def reassign(self, topic, partition, replicas):
        wanted = b"\0" if replicas is None else compact_list([struct.pack(">i", replica) for replica in replicas])
        body = struct.pack(">i", 1000) + one_topic(text(topic), struct.pack(">i", partition) + wanted)
        reader = self.call_flexible(REASSIGN, 0, body + NO_TAGS)
        reader.take("i")
        whole = reader.take("h")
        reader.compact_text()
        if reader.count() == 0:
            return whole, None
        reader.compact_text()
        reader.count()
        reader.take("i")
        return whole, reader.take("h")

    def update_features(self, *updates, validate_only=False):
        changes = [text(name) + struct.pack(">hb", level, kind) + NO_TAGS for name, level, kind in updates]
        return self.plain(UPDATE_FEATURES, 2, struct.pack(">i", 1000) + compact_list(changes) + struct.pack(">b", validate_only))
