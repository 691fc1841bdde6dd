"""The few requests that the fixtures themselves send, in versions old enough to need no tagged fields."""
import socket
import struct

import peer

API_VERSIONS, METADATA, LIST_OFFSETS, CREATE_TOPICS = 18, 3, 2, 19


def text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        size = struct.calcsize(">" + form)
        value = struct.unpack(">" + form, self.data[self.at:self.at + size])
        self.at += size
        return value[0]

    def text(self):
        size = self.take("h")
        if size < 0:
            return None
        self.at += size
        return self.data[self.at - size:self.at].decode()


class Client:
    def __init__(self, bootstrap, timeout=10):
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise ConnectionError("closed by the peer")
            data += piece
        return data

    def call(self, key, version, body):
        self.correlation += 1
        frame = struct.pack(">hhi", key, version, self.correlation) + text("peers") + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        reader = Reader(self.receive(struct.unpack(">i", self.receive(4))[0]))
        peer.equal("correlation id", reader.take("i"), self.correlation)
        return reader

    def api_versions(self):
        """{key: (oldest, newest)}"""
        reader = self.call(API_VERSIONS, 0, b"")
        peer.equal("ApiVersions error code", reader.take("h"), 0)
        return {reader.take("h"): (reader.take("h"), reader.take("h")) for _ in range(reader.take("i"))}

    def metadata(self, topics=()):
        """(brokers, {topic: (error code, partitions with a leader)}); no topic named asks for none."""
        reader = self.call(METADATA, 1, struct.pack(">i", len(topics)) + b"".join(map(text, topics)))
        brokers = []
        for _ in range(reader.take("i")):
            node, host, port, _rack = reader.take("i"), reader.text(), reader.take("i"), reader.text()
            brokers.append((node, host, port))
        reader.take("i")
        found = {}
        for _ in range(reader.take("i")):
            error, name, _internal = reader.take("h"), reader.text(), reader.take("b")
            led = 0
            for _ in range(reader.take("i")):
                code, _index, leader = reader.take("h"), reader.take("i"), reader.take("i")
                led += code == 0 and leader >= 0
                for _ in range(2):
                    for _ in range(reader.take("i")):
                        reader.take("i")
            found[name] = (error, led)
        return brokers, found

    def create_topic(self, name, partitions=1, configs=None):
        configs = configs or {}
        body = struct.pack(">i", 1) + text(name) + struct.pack(">ihi", partitions, 1, 0) + struct.pack(">i", len(configs))
        body += b"".join(text(key) + text(str(value)) for key, value in configs.items())
        reader = self.call(CREATE_TOPICS, 2, body + struct.pack(">ib", 30000, 0))
        reader.take("i")
        reader.take("i")
        got, code, message = reader.text(), reader.take("h"), reader.text()
        peer.equal(f"creating topic {name}", (got, code, message), (name, 0, message))

    def offset(self, topic, partition=0, timestamp=-1):
        """ListOffsets: -1 the end, -2 the start, else the first record at or after a time."""
        body = struct.pack(">ii", -1, 1) + text(topic) + struct.pack(">iiq", 1, partition, timestamp)
        reader = self.call(LIST_OFFSETS, 1, body)
        reader.take("i")
        reader.text()
        reader.take("i")
        reader.take("i")
        peer.equal(f"ListOffsets of {topic}-{partition}", reader.take("h"), 0)
        reader.take("q")
        return reader.take("q")


def answers(bootstrap):
    """True when the broker there answers ApiVersions and knows at least one broker."""
    try:
        with Client(bootstrap, 5) as client:
            client.api_versions()
            return bool(client.metadata()[0])
    except (OSError, struct.error):
        return False
