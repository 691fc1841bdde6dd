"""Requests about a whole cluster, by hand: who leads what, the metadata quorum, elections, reassignments. Those that have
only flexible versions are written with their compact lists and empty tagged fields here."""
import struct

import peer
import wire

METADATA, CREATE_TOPICS, DELETE_TOPICS, ELECT_LEADERS, ALTER_REASSIGNMENTS, DESCRIBE_QUORUM = 3, 19, 20, 43, 45, 55
METADATA_TOPIC = "__cluster_metadata"
NO_TAGS = b"\0"


def unsigned(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def compact_text(value):
    data = value.encode()
    return unsigned(len(data) + 1) + data


def compact_list(items):
    return unsigned(len(items) + 1) + b"".join(items)


class CompactReader(wire.Reader):
    def unsigned(self):
        value, shift = 0, 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def compact_text(self):
        size = self.unsigned() - 1
        if size < 0:
            return None
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def count(self):
        return max(0, self.unsigned() - 1)

    def tags(self):
        for _ in range(self.unsigned()):
            self.unsigned()
            self.at += self.unsigned()


class Client(wire.Client):
    def call_flexible(self, key, version, body):
        self.correlation += 1
        frame = struct.pack(">hhi", key, version, self.correlation) + wire.text("peers") + NO_TAGS + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        reader = CompactReader(self.receive(struct.unpack(">i", self.receive(4))[0]))
        peer.equal("correlation id", reader.take("i"), self.correlation)
        reader.tags()
        return reader

    def describe(self, topics):
        """({broker id: "host:port"}, {topic: {partition: (leader, replicas, isr)}}); a topic that is not there is left out."""
        reader = self.call(METADATA, 1, struct.pack(">i", len(topics)) + b"".join(map(wire.text, topics)))
        brokers = {}
        for _ in range(reader.take("i")):
            node, host, port, _rack = reader.take("i"), reader.text(), reader.take("i"), reader.text()
            brokers[node] = f"{host}:{port}"
        reader.take("i")
        found = {}
        for _ in range(reader.take("i")):
            error, name, _internal = reader.take("h"), reader.text(), reader.take("b")
            partitions = {}
            for _ in range(reader.take("i")):
                _code, index, leader = reader.take("h"), reader.take("i"), reader.take("i")
                lists = [[reader.take("i") for _ in range(reader.take("i"))] for _ in range(2)]
                partitions[index] = (leader, *lists)
            if error == 0:
                found[name] = partitions
        return brokers, found

    def create(self, name, assignment, configs=None):
        """`assignment`: the replicas of each partition, the preferred leader first."""
        configs = configs or {}
        body = struct.pack(">i", 1) + wire.text(name) + struct.pack(">ihi", -1, -1, len(assignment))
        for index, replicas in enumerate(assignment):
            body += struct.pack(">ii", index, len(replicas)) + b"".join(struct.pack(">i", replica) for replica in replicas)
        body += struct.pack(">i", len(configs)) + b"".join(wire.text(key) + wire.text(str(value)) for key, value in configs.items())
        reader = self.call(CREATE_TOPICS, 2, body + struct.pack(">ib", 30000, 0))
        reader.take("i")
        reader.take("i")
        got, code, message = reader.text(), reader.take("h"), reader.text()
        peer.equal(f"creating topic {name}", (got, code, message), (name, 0, message))

    def delete(self, name):
        reader = self.call(DELETE_TOPICS, 1, struct.pack(">i", 1) + wire.text(name) + struct.pack(">i", 30000))
        reader.take("i")
        reader.take("i")
        got, code = reader.text(), reader.take("h")
        peer.equal(f"deleting topic {name}", (got, code), (name, 0))

    def elect(self, topic, partitions, unclean=False):
        """{partition: error code} of an election of preferred leaders, or of unclean ones; 84 says that none is needed."""
        body = struct.pack(">bi", unclean, 1) + wire.text(topic) + struct.pack(">i", len(partitions))
        body += b"".join(struct.pack(">i", partition) for partition in partitions) + struct.pack(">i", 30000)
        reader = self.call(ELECT_LEADERS, 1, body)
        reader.take("i")
        peer.equal("ElectLeaders error code", reader.take("h"), 0)
        codes = {}
        for _ in range(reader.take("i")):
            reader.text()
            for _ in range(reader.take("i")):
                partition, code, _message = reader.take("i"), reader.take("h"), reader.text()
                codes[partition] = code
        return codes

    def reassign(self, topic, targets):
        """{partition: (error code, message)}; a target of None cancels."""
        one = []
        for partition, replicas in targets.items():
            wanted = b"\0" if replicas is None else compact_list([struct.pack(">i", replica) for replica in replicas])
            one.append(struct.pack(">i", partition) + wanted + NO_TAGS)
        body = struct.pack(">i", 30000) + compact_list([compact_text(topic) + compact_list(one) + NO_TAGS]) + NO_TAGS
        reader = self.call_flexible(ALTER_REASSIGNMENTS, 0, body)
        reader.take("i")
        peer.equal("AlterPartitionReassignments error", (reader.take("h"), reader.compact_text()), (0, None))
        ended = {}
        for _ in range(reader.count()):
            reader.compact_text()
            for _ in range(reader.count()):
                partition, code, message = reader.take("i"), reader.take("h"), reader.compact_text()
                reader.tags()
                ended[partition] = (code, message)
            reader.tags()
        return ended

    def quorum(self):
        """(leader id, leader epoch, high watermark, {voter id: log end offset}, {observer id: log end offset}), or None where
        there is no leader that answers."""
        partition = compact_list([struct.pack(">i", 0) + NO_TAGS])
        reader = self.call_flexible(DESCRIBE_QUORUM, 0, compact_list([compact_text(METADATA_TOPIC) + partition + NO_TAGS]) + NO_TAGS)
        if reader.take("h") != 0:
            return None
        reader.count()
        reader.compact_text()
        reader.count()
        reader.take("i")
        error, leader, epoch, mark = reader.take("h"), reader.take("i"), reader.take("i"), reader.take("q")
        lists = []
        for _ in range(2):
            replicas = {}
            for _ in range(reader.count()):
                replica, end = reader.take("i"), reader.take("q")
                reader.tags()
                replicas[replica] = end
            lists.append(replicas)
        return None if error else (leader, epoch, mark, *lists)
