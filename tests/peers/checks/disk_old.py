"""Message sets of magic 0 and 1, as brokers before 0.11 wrote them: served as stored, by whichever program has the directory."""
import gzip
import struct
import zlib

import peer

TIME = 1_500_000_000_000
GZIP = 1
PLAIN_COUNT = 2000


def field(value):
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def message(magic, offset, key, value, attributes=0, timestamp=None):
    body = struct.pack(">bb", magic, attributes) + (struct.pack(">q", timestamp) if magic else b"") + field(key) + field(value)
    return struct.pack(">qiI", offset, len(body) + 4, zlib.crc32(body)) + body


def wrapped(magic, first, entries):
    """A compressed set: magic 0 has absolute offsets inside, magic 1 relative ones; the wrapper has the last offset."""
    inner = b"".join(message(magic, index if magic else first + index, key, value, timestamp=timestamp) for index, (timestamp, key, value) in enumerate(entries))
    return message(magic, first + len(entries) - 1, None, gzip.compress(inner, mtime=0), GZIP, entries[-1][0])


def old_log():
    """(the bytes of a segment, the lines a reader must see): both magics, plain and compressed, with and without key and value."""
    content, lines = b"", []

    def told(timestamp, key, value):  # librdkafka says 0 where there is no time
        text = "" if value is None else value.decode()
        lines.append(f"{len(lines)} {max(timestamp, 0)} {'' if key is None else key.decode()} {-1 if value is None else len(value)} {text}")

    for magic in (0, 1):
        for number in range(PLAIN_COUNT):
            timestamp = TIME + number if magic else -1
            key, value = (None if number % 3 == 0 else b"k%d" % (number % 50)), (None if number % 7 == 1 else b"magic %d, number %d" % (magic, number))
            content += message(magic, len(lines), key, value, timestamp=timestamp)
            told(timestamp, key, value)
        for batch in range(20):
            entries = [(TIME + 10_000 + batch if magic else -1, b"c%d" % index, b"compressed %d.%d" % (batch, index)) for index in range(30)]
            content += wrapped(magic, len(lines), entries)
            for entry in entries:
                told(*entry)
    return content, lines


def kcat_reads(broker, start=0):
    command = [peer.program("kcat"), "-b", broker.bootstrap, "-C", "-q", "-e", "-t", "old", "-p", "0", "-o", str(start), "-f", "%o %T %k %S %s\\n"]
    return peer.run(command).text.splitlines()


def java_reads(context, broker, count):
    properties = [word for name in ("offset", "timestamp", "key") for word in ("--formatter-property", f"print.{name}=true")]
    ran = context.tool("console-consumer", "--topic", "old", "--partition", "0", "--offset", "earliest", "--max-messages", str(count), "--timeout-ms", "30000",
                       *properties, program=context.reference, broker=broker)
    return ran.text.splitlines()


@peer.check("disk/old-magics", timeout=400)
def old_magics(context):
    """A log of magic 0 and 1 goes from klamm to Kafka and back; each serves all of it to librdkafka and to Kafka's client and adds to it."""
    broker = context.own_broker("old")
    content, lines = old_log()
    read_by_java = None
    broker.start()
    try:
        with broker.client() as client:
            client.create_topic("old", 1, {"retention.ms": -1})
            peer.wait_until("the topic has a leader", lambda: client.metadata(["old"])[1]["old"] == (0, 1))
        broker.stop()
        segment = broker.segments("old")[0]
        segment.write_bytes(content)
        for file in broker.segments("old", end="index") + [broker.data / ".kafka_cleanshutdown"]:  # as after a crash: all is recovered
            file.unlink(missing_ok=True)
        old = len(lines)
        for turn, program in enumerate((context.subject, context.reference, context.subject)):
            broker.start(program)
            with broker.client() as client:
                peer.wait_until("the partition is led", lambda: client.metadata(["old"])[1]["old"] == (0, 1))
                peer.equal(f"{program.name}: end offset", client.offset("old"), len(lines))
                peer.equal(f"{program.name}: offset by time in magic 1", client.offset("old", timestamp=TIME + 700), PLAIN_COUNT + 600 + 700)
            read = kcat_reads(broker)
            peer.equal(f"{program.name}: old records", [read[:3], len(read[:old])], [lines[:3], old])
            wrong = [(got, wanted) for got, wanted in zip(read, lines) if got != wanted]
            peer.expect(not wrong and len(read) == len(lines), f"{program.name}: {len(read)} of {len(lines)} records, {len(wrong)} wrong: {wrong[:3]}")
            peer.equal(f"{program.name}: from the midst of a compressed set", kcat_reads(broker, PLAIN_COUNT + 45)[:3], lines[PLAIN_COUNT + 45:PLAIN_COUNT + 48])
            by_java = java_reads(context, broker, old)
            peer.equal("records that Kafka's client reads", len(by_java), old)
            peer.expect(read_by_java in (None, by_java), f"{program.name}: Kafka's client reads something else than from the other")
            read_by_java = by_java
            peer.expect(segment.read_bytes()[:len(content)] == content, f"{program.name} has changed the old bytes")
            added = f"turn {turn}"
            peer.run([peer.program("kcat"), "-b", broker.bootstrap, "-P", "-t", "old", "-p", "0"], stdin=added.encode() + b"\n")
            last = kcat_reads(broker, len(lines))
            peer.expect(len(last) == 1 and last[0].endswith(added), f"{program.name}: what was added is read as {last}")
            lines.append(last[0])
            broker.stop()
    finally:
        broker.kill()
    return f"{old} old records, {len(content)} bytes"
