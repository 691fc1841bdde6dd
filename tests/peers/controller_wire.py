"""Requests to a controller's listener, in the versions that 4.3 speaks there: compact strings, tagged fields and all."""
import struct

import wire

ALLOCATE_PRODUCER_IDS, ASSIGN_REPLICAS_TO_DIRS, DESCRIBE_CLUSTER, ENVELOPE = 67, 73, 60, 58
BROKER_REGISTRATION, BROKER_HEARTBEAT, LIST_REASSIGNMENTS = 62, 63, 46
NO_TAGS = b"\0"
# As a 4.3.1 broker registers with them.
FEATURES = {"metadata.version": (7, 30), "kraft.version": (0, 1), "transaction.version": (0, 2), "group.version": (0, 1),
            "eligible.leader.replicas.version": (0, 1), "share.version": (0, 1), "streams.version": (0, 1)}


def uvarint(number):
    data = b""
    while number >= 128:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


def text(value):
    return uvarint(0) if value is None else uvarint(len(value.encode()) + 1) + value.encode()


def data(value):
    return uvarint(0) if value is None else uvarint(len(value) + 1) + value


def array(elements):
    return uvarint(0) if elements is None else uvarint(len(elements) + 1) + b"".join(elements)


def header(key, version, correlation, client="peers"):
    """A flexible request's header."""
    return struct.pack(">hhi", key, version, correlation) + wire.text(client) + NO_TAGS


class Controller(wire.Client):
    """One connection; each call gives the response's reader behind its header."""

    def ask(self, key, version, body):
        self.correlation += 1
        frame = header(key, version, self.correlation) + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        reader = wire.Reader(self.receive(struct.unpack(">i", self.receive(4))[0]))
        assert reader.take("i") == self.correlation
        assert reader.take("b") == 0
        return reader

    def register(self, cluster, broker=77, incarnation=bytes(15) + b"\1", directories=(bytes(8) + b"direct-7",), features=None, zk=False):
        """(error code, broker epoch)"""
        features = FEATURES if features is None else features
        listener = text("PLAINTEXT") + text("127.0.0.1") + struct.pack(">Hh", 29177, 0) + NO_TAGS
        body = struct.pack(">i", broker) + text(cluster) + incarnation + array([listener])
        body += array([text(name) + struct.pack(">hh", *bounds) + NO_TAGS for name, bounds in features.items()])
        body += text(None) + struct.pack(">b", zk) + array(list(directories)) + struct.pack(">q", -1) + NO_TAGS
        reader = self.ask(BROKER_REGISTRATION, 4, body)
        reader.take("i")
        return reader.take("h"), reader.take("q")

    def heartbeat(self, epoch, offset, fence=False, shut_down=False, broker=77, version=1):
        """(error code, is caught up, is fenced, should shut down)"""
        body = struct.pack(">iqqbb", broker, epoch, offset, fence, shut_down) + NO_TAGS
        reader = self.ask(BROKER_HEARTBEAT, version, body)
        reader.take("i")
        return reader.take("h"), reader.take("b"), reader.take("b"), reader.take("b")

    def allocate_producer_ids(self, epoch, broker=77):
        """(error code, first id, how many)"""
        reader = self.ask(ALLOCATE_PRODUCER_IDS, 0, struct.pack(">iq", broker, epoch) + NO_TAGS)
        reader.take("i")
        return reader.take("h"), reader.take("q"), reader.take("i")

    def assign_directories(self, epoch, broker=77):
        reader = self.ask(ASSIGN_REPLICAS_TO_DIRS, 0, struct.pack(">iq", broker, epoch) + array([]) + NO_TAGS)
        reader.take("i")
        return reader.take("h")

    def describe_cluster(self, endpoint_type, version=1):
        """(error code, endpoint type)"""
        reader = self.ask(DESCRIBE_CLUSTER, version, struct.pack(">bb", 0, endpoint_type) + NO_TAGS)
        reader.take("i")
        return reader.take("h")

    def envelope(self, request, principal=b"\0\0" + text("User") + text("ANONYMOUS") + b"\0" + NO_TAGS, address=b"\x7f\0\0\1"):
        """(error code, whether there is an answer)"""
        reader = self.ask(ENVELOPE, 0, data(request) + data(principal) + data(address) + NO_TAGS)
        size = reader.take("B")
        if size > 0:
            assert size < 128
            reader.at += size - 1
        return reader.take("h"), size > 0


def list_reassignments(version=0):
    return header(LIST_REASSIGNMENTS, version, 5) + struct.pack(">i", 1000) + array(None) + NO_TAGS
