"""Record batches of magic 2 by hand, right or wrong on purpose, and the Produce request (version 3) that carries them."""
import struct

import peer
import wire

PRODUCE, FETCH = 0, 1
GZIP = 1


def _table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(value):
    value = (value << 1) ^ (value >> 63)
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def record(offset_delta, value, key=None, headers=0):
    body = b"\0" + varint(0) + varint(offset_delta) + (varint(-1) if key is None else varint(len(key)) + key)
    body += varint(len(value)) + value + varint(headers)
    return varint(len(body)) + body


def batch(values=(b"hello",), *, section=None, count=None, attributes=0, magic=2, crc=None, base_offset=0, last_delta=None, timestamp=1_700_000_000_000,
          producer=(-1, -1, -1), length=None):
    """`section` replaces the encoded records; the other words replace single fields."""
    if section is None:
        section = b"".join(record(index, value) for index, value in enumerate(values))
    count = len(values) if count is None else count
    last_delta = count - 1 if last_delta is None else last_delta
    checked = struct.pack(">hiqqqhii", attributes, last_delta, timestamp, timestamp, *producer, count) + section
    crc = crc32c(checked) if crc is None else crc
    length = len(checked) + 9 if length is None else length
    return struct.pack(">qiibI", base_offset, length, -1, magic, crc) + checked


def produce_body(topic, records, *, partition=0, acks=-1, timeout_ms=10000, transactional_id=None):
    body = struct.pack(">h", -1) if transactional_id is None else wire.text(transactional_id)
    body += struct.pack(">hi", acks, timeout_ms)
    body += struct.pack(">i", 1) + wire.text(topic) + struct.pack(">ii", 1, partition)
    return body + struct.pack(">i", -1 if records is None else len(records)) + (records or b"")


def produced(reader):
    """(error code, base offset) of the one partition of a Produce answer."""
    reader.take("i")
    reader.text()
    reader.take("i")
    reader.take("i")
    return reader.take("h"), reader.take("q")


def produce(client, topic, records, **options):
    return produced(client.call(PRODUCE, 3, produce_body(topic, records, **options)))


def fetch_body(topic, *, partition=0, offset=0, max_wait_ms=0, min_bytes=1, max_bytes=1 << 20):
    return struct.pack(">iiiibi", -1, max_wait_ms, min_bytes, max_bytes, 0, 1) + wire.text(topic) + struct.pack(">iiqi", 1, partition, offset, max_bytes)


def fetch(client, topic, **options):
    """(error code, high watermark, bytes of records) of one partition, Fetch version 4."""
    reader = client.call(FETCH, 4, fetch_body(topic, **options))
    reader.take("i")
    peer.equal("topics fetched", reader.take("i"), 1)
    reader.text()
    reader.take("i")
    reader.take("i")
    error, high_watermark, _stable = reader.take("h"), reader.take("q"), reader.take("q")
    for _ in range(max(0, reader.take("i"))):
        reader.take("q")
        reader.take("q")
    size = reader.take("i")
    return error, high_watermark, reader.data[reader.at:reader.at + max(0, size)]
