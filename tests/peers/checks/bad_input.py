"""What is no request, or a wrong one: its sender gets a clear answer or the end of the connection, everybody else goes on,
and nothing of it is written."""
import gzip
import os
import random
import socket
import struct

import peer
import records
import wire

UNKNOWN_TOPIC_OR_PARTITION, MESSAGE_TOO_LARGE, CORRUPT_MESSAGE, INVALID_TOPIC, INVALID_REQUIRED_ACKS = 3, 10, 2, 17, 21
UNSUPPORTED_COMPRESSION, INVALID_TIMESTAMP, INVALID_RECORD, UNKNOWN_SERVER_ERROR = 76, 32, 87, -1


def frame(key, version, body=b"", correlation=7):
    content = struct.pack(">hhi", key, version, correlation) + wire.text("odd") + body
    return struct.pack(">i", len(content)) + content


def connect(context, receive_buffer=None):
    host, port = context.broker.bootstrap.rsplit(":", 1)
    odd = socket.socket()
    if receive_buffer:
        odd.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    odd.settimeout(10)
    odd.connect((host, int(port)))
    return odd


def ended(odd):
    """True when the broker has closed the connection without a byte of answer."""
    try:
        return odd.recv(1) == b""
    except ConnectionResetError:
        return True


class Bystander:
    """A connection that was there before and a topic whose content must not change."""

    def __init__(self, context):
        self.topic = context.topic("bystander")
        self.client = context.broker.client()
        self.content = records.batch([b"one", b"two"])
        peer.equal("producing", records.produce(self.client, self.topic, self.content), (0, 0))

    def check(self, what):
        """The connection still serves; what was written is there, and nothing else."""
        error, high_watermark, content = records.fetch(self.client, self.topic)
        peer.equal(f"after {what}: fetching", (error, high_watermark), (0, 2))
        peer.equal(f"after {what}: records", content[17:], self.content[17:])


def rss_kb(context):
    with open(f"/proc/{context.broker.server.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


NO_REQUESTS = {
    "a negative frame length": struct.pack(">i", -1),
    "the least frame length": struct.pack(">i", -2**31),
    "an oversize frame length": struct.pack(">i", 104857601) + b"x" * 1000,
    "the greatest frame length": struct.pack(">i", 2**31 - 1) + b"x" * 1000,
    "an empty frame": struct.pack(">i", 0),
    "a header cut short": struct.pack(">i", 3) + b"abc",
    "an unknown API key": frame(9999, 0),
    "a negative API key": frame(-1, 0),
    "an unknown version": frame(wire.METADATA, 99),
    "a negative version": frame(wire.METADATA, -1),
    "a body that is missing": frame(wire.METADATA, 1),
    "an array longer than the frame": frame(wire.METADATA, 1, b"\x7f\xff\xff\xff"),
    "a negative array where none may be": frame(records.FETCH, 4, struct.pack(">iiiibi", -1, 0, 1, 1 << 20, 0, -1)),
    "a string longer than the frame": frame(wire.METADATA, 1, struct.pack(">ih", 1, 32767) + b"abc"),
    "a client id longer than the frame": struct.pack(">ihhih", 10, wire.METADATA, 1, 7, 32767),
    "records longer than the frame": frame(records.PRODUCE, 3, records.produce_body("x", b"y" * 100)[:-90]),
    "noise": random.Random(1).randbytes(70000),
    "another protocol": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a TLS greeting": bytes.fromhex("16030100ba010000b60303") + random.Random(2).randbytes(180),
}


@peer.check("bad_input/no_requests")
def no_requests(context):
    bystander = Bystander(context)
    for what, content in NO_REQUESTS.items():
        with connect(context) as odd:
            try:
                odd.sendall(content)
            except (BrokenPipeError, ConnectionResetError):
                pass  # closed before all of it had gone
            peer.expect(ended(odd), f"{what}: an answer came")
        bystander.check(what)
    return f"{len(NO_REQUESTS)} kinds"


@peer.check("bad_input/random")
def random_bytes(context):
    """Bytes from a seed, raw and as well-framed bodies of real APIs, and well-formed requests with a byte changed."""
    bystander = Bystander(context)
    seed = int(os.environ.get("KLAMM_SEED", "1"))
    draw = random.Random(seed)
    whole = [frame(wire.METADATA, 1, struct.pack(">i", 1) + wire.text("bystander")),
             frame(records.PRODUCE, 3, records.produce_body("nowhere", records.batch())),
             frame(records.FETCH, 4, records.fetch_body("nowhere")),
             frame(wire.CREATE_TOPICS, 2, struct.pack(">i", 0) + struct.pack(">ib", 100, 1))]
    for number in range(600):
        kind = number % 3
        if kind == 0:
            content = draw.randbytes(draw.randrange(1, 3000))
        elif kind == 1:
            key, version = draw.randrange(0, 93), draw.randrange(0, 19)
            # Not those that may change something by chance: CreateTopics and friends are drawn with validate_only below.
            if key in (4, 5, 6, 7, 19, 20, 21, 33, 37, 44, 45, 57, 64):
                continue
            content = frame(key, version, draw.randbytes(draw.randrange(0, 300)))
        else:
            content = bytearray(draw.choice(whole))
            at = draw.randrange(8, len(content))
            content[at] ^= 1 << draw.randrange(8)
        with connect(context) as odd:
            try:
                odd.sendall(bytes(content))
                odd.shutdown(socket.SHUT_WR)
                while odd.recv(65536):
                    pass
            except OSError:
                pass
        if number % 50 == 49:
            bystander.check(f"seed {seed}, bytes number {number}")
    return f"seed {seed}"


@peer.check("bad_input/cut_requests")
def cut_requests(context):
    """A Produce request cut at every length: the connection ends or is reset, and nothing is written."""
    bystander = Bystander(context)
    topic = context.topic("cut")
    request = frame(records.PRODUCE, 3, records.produce_body(topic, records.batch([b"never"])))
    for size in range(len(request)):
        with connect(context) as odd:
            odd.sendall(request[:size])
            if size % 2:  # otherwise: a plain end
                odd.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    bystander.check("cut requests")
    with context.broker.client() as client:
        peer.equal("end of the topic", client.offset(topic), 0)
        # Sent whole but nobody there to read the answer: it counts.
        with connect(context) as odd:
            odd.sendall(request)
        peer.wait_until("the whole request is served", lambda: client.offset(topic) == 1)


def wrong_batches():
    good = records.batch([b"a", b"b"])
    one = records.record(0, b"value")
    bomb = records.varint(1) + b"\0" * 100
    return {
        "a corrupt CRC": (records.batch(crc=12345), CORRUPT_MESSAGE),
        "a changed byte": (good[:-1] + b"\xff", CORRUPT_MESSAGE),
        "magic 0": (records.batch(magic=0), INVALID_RECORD),
        "magic 1": (records.batch(magic=1), INVALID_RECORD),
        "magic 3": (records.batch(magic=3), CORRUPT_MESSAGE),
        "a batch over the limit": (records.batch([b"x" * 1_100_000], crc=0), MESSAGE_TOO_LARGE),
        "a batch cut short": (good[:-3], INVALID_RECORD),
        "a length below the least": (records.batch(length=5), CORRUPT_MESSAGE),
        "a negative length": (records.batch(length=-1), CORRUPT_MESSAGE),
        "no batch": (b"", INVALID_RECORD),
        "records that are null": (None, None),
        "more records than are there": (records.batch([b"a"], count=5), INVALID_RECORD),
        "fewer records than are there": (records.batch([b"a", b"b", b"c"], count=2), INVALID_RECORD),
        "a count that does not fit the offsets": (records.batch([b"a", b"b"], last_delta=7), INVALID_RECORD),
        "no records": (records.batch([], last_delta=0), INVALID_RECORD),
        "a negative count": (records.batch([b"a"], count=-3, last_delta=0), INVALID_RECORD),
        "a record longer than the batch": (records.batch(section=records.varint(5000) + one[1:], count=1), INVALID_RECORD),
        "a record of negative length": (records.batch(section=records.varint(-7) + one[1:], count=1), INVALID_RECORD),
        "a varint without end": (records.batch(section=b"\xff" * 12, count=1), INVALID_RECORD),
        "a value longer than its record": (records.batch(section=one.replace(records.varint(5) + b"value", records.varint(99) + b"value"), count=1),
                                           INVALID_RECORD),
        "headers that are not there": (records.batch(section=records.record(0, b"value", headers=1000), count=1), INVALID_RECORD),
        "a control batch": (records.batch(attributes=32), INVALID_RECORD),
        "bytes that are no gzip": (records.batch(section=random.Random(3).randbytes(500), count=1, attributes=records.GZIP), UNKNOWN_SERVER_ERROR),
        "bytes that are no snappy": (records.batch(section=b"\xff" * 500, count=1, attributes=2), UNKNOWN_SERVER_ERROR),
        "bytes that are no lz4": (records.batch(section=random.Random(4).randbytes(500), count=1, attributes=3), UNKNOWN_SERVER_ERROR),
        "zstd before its version": (records.batch(section=b"\xff" * 500, count=1, attributes=4), UNSUPPORTED_COMPRESSION),
        "an unknown codec": (records.batch(attributes=7), UNKNOWN_SERVER_ERROR),
        "gzip cut short": (records.batch(section=gzip.compress(one * 50)[:-10], count=50, attributes=records.GZIP), UNKNOWN_SERVER_ERROR),
        "a small bomb": (records.batch(section=gzip.compress(bomb * 1000), count=1, attributes=records.GZIP), INVALID_RECORD),
        "two batches": (good + good, INVALID_RECORD),
    }


@peer.check("bad_input/batches")
def batches(context):
    bystander = Bystander(context)
    topic = context.topic("wrong")
    with context.broker.client() as client:
        for what, (content, wanted) in wrong_batches().items():
            try:
                error, offset = records.produce(client, topic, content)
            except (ConnectionError, struct.error, TimeoutError) as failure:  # Kafka ends the connection for some, or is silent
                # Records that are null: Kafka's broker never answers. klamm says that they are no batch.
                peer.expect(context.subject.name != "klamm", f"{what}: no answer, {failure}")
                client.socket.close()
                client.__init__(context.broker.bootstrap)
                error, offset = "closed", -1
            peer.expect(error != 0 and offset == -1, f"{what}: it was taken: error {error}, offset {offset}")
            # A length of a record that is no number ends Kafka's request with an unexpected fault; klamm names the records.
            differs = what == "a varint without end" and context.subject.name == "kafka"
            if wanted is not None and not differs:
                peer.equal(f"{what}: error code", error, wanted)
        for acks in (2, -2, 100):
            peer.equal(f"acks {acks}", records.produce(client, topic, records.batch(), acks=acks), (INVALID_REQUIRED_ACKS, -1))
        for name, partition in (("no-such-topic-here", 0), (topic, 1), (topic, -1), (topic, 2**31 - 1), ("", 0), ("bad topic!", 0)):
            error, _ = records.produce(client, name, records.batch(), partition=partition)
            peer.expect(error in (UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC), f"{name!r}-{partition}: error {error}")
            error, _, _ = records.fetch(client, name, partition=partition)
            peer.expect(error in (UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC), f"fetching {name!r}-{partition}: error {error}")
        peer.equal("end of the topic", client.offset(topic), 0)
        peer.equal("a right one afterwards", records.produce(client, topic, records.batch()), (0, 0))
    bystander.check("wrong batches")
    return f"{len(wrong_batches())} kinds"


@peer.check("bad_input/refused_without_answer")
def refused_without_answer(context):
    """acks=0: there is no answer to carry the error, so the connection ends, as Kafka does it."""
    bystander = Bystander(context)
    topic = context.topic("silent")
    with connect(context) as odd:
        odd.sendall(frame(records.PRODUCE, 3, records.produce_body(topic, records.batch(crc=1), acks=0)))
        peer.expect(ended(odd), "an answer came")
    bystander.check("a refused batch without acks")


@peer.check("bad_input/bomb")
def bomb(context):
    """A batch of less than a megabyte that unpacks to 400: memory stays bounded, and others are served."""
    bystander = Bystander(context)
    topic = context.topic("bomb")
    before = rss_kb(context)
    size = 400 << 20
    head = records.varint(size + 10) + b"\0" + records.varint(0) + records.varint(0) + records.varint(-1) + records.varint(size)
    packed = gzip.compress(head, 1) + gzip.compress(b"\0" * (size + 1), 9)  # members one after the other are one stream
    content = records.batch(section=packed, count=1, attributes=records.GZIP, crc=0)
    checked = content[21:]
    content = content[:17] + struct.pack(">I", records.crc32c(checked)) + checked
    with context.broker.client() as client:
        client.socket.settimeout(60)
        client.socket.sendall(frame(records.PRODUCE, 3, records.produce_body(topic, content), 1))
        bystander.client.socket.settimeout(60)
        bystander.check("the bomb was sent")
        reader = wire.Reader(client.receive(struct.unpack(">i", client.receive(4))[0]))
        reader.take("i")
        error, _ = records.produced(reader)
    grown = (rss_kb(context) - before) // 1024
    if context.subject.name == "klamm":
        peer.expect(grown < 100, f"the broker grew by {grown} MB")
    bystander.check("the bomb")
    return f"{len(content)} bytes that unpack to {size}: error {error}, the broker grew by {grown} MB"


@peer.check("bad_input/topic_names")
def topic_names(context):
    with context.broker.client() as client:
        for name in ("", ".", "..", "a/b", "a b", "../../etc", "tab\there", "x" * 250, "\u00e4", "nul\0", "a:b"):
            body = struct.pack(">i", 1) + wire.text(name) + struct.pack(">ihi", 1, 1, 0) + struct.pack(">iib", 0, 10000, 0)
            reader = client.call(wire.CREATE_TOPICS, 2, body)
            reader.take("i")
            reader.take("i")
            got, error = reader.text(), reader.take("h")
            peer.equal(f"creating {name!r}", (got, error), (name, INVALID_TOPIC))
            _, found = client.metadata([name])  # version 1 creates what is missing, if it may
            peer.equal(f"asking for {name!r}", found[name], (INVALID_TOPIC, 0))
        for partitions, replicas, wanted in ((0, 1, 37), (-5, 1, 37), (1, 0, 38), (1, 5, 38), (2**31 - 1, 1, None)):
            body = struct.pack(">i", 1) + wire.text("never-made") + struct.pack(">ihi", partitions, replicas, 0) + struct.pack(">iib", 0, 10000, 0)
            reader = client.call(wire.CREATE_TOPICS, 2, body)
            reader.take("i")
            reader.take("i")
            reader.text()
            error = reader.take("h")
            peer.expect(error != 0 and wanted in (None, error), f"{partitions} partitions, {replicas} replicas: error {error}")
    if context.subject.name == "klamm":
        left = [path.name for path in context.broker.data.iterdir() if path.name.startswith(("never", "nul", "etc", "tab"))]
        peer.equal("directories made", left, [])
