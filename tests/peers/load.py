"""Producers that note every record acknowledged, consumers that read along, and the comparison of both with the log.

    senders = [Sender(cluster, topic, program, 1), Sender(cluster, topic, kafka, 2), KcatSender(cluster, topic, 3)]
    readers = [Reader(cluster, topic, partition, program) for partition in (0, 1, 2)]
    ... trouble ...
    check(cluster, topic, senders, readers)

`check` ends the senders and demands: nothing was refused; what was acknowledged is in the log, at its offset; each record
once; each sender's records of a partition in the order in which they were sent; and each reader saw just the log, in order.
Of librdkafka's as many may be missing as it says that it took for acknowledged without an answer (KcatSender.presumed).
A record is "<sender's number>.<its number from 0 on>"; a Sender is the verifiable-producer of its program, idempotent.
"""
import json
import re
import signal
import subprocess
import threading

import peer

VALUE = re.compile(r"^(\d+)\.(\d+)$")
IMPLICIT = re.compile(r"\|IMPLICITACK\|.* (\d+) message\(s\) implicitly acked by subsequent batch success")
PRODUCER = {"enable.idempotence": "true", "acks": "all", "retries": "2147483647", "delivery.timeout.ms": "240000", "request.timeout.ms": "5000",
            "max.in.flight.requests.per.connection": "5", "linger.ms": "2", "batch.size": "2048", "max.block.ms": "120000"}


class Sender:
    def __init__(self, cluster, topic, program, number, rate=1000, bootstrap=None, **config):
        folder = cluster.folder / f"sender-{number}"
        folder.mkdir(exist_ok=True)
        self.number, self.topic, self.log = number, topic, folder / f"{topic}.log"
        settings = {**PRODUCER, **{key.replace("_", "."): str(value) for key, value in config.items()}}
        file = folder / f"{topic}.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
        self.server = peer.Server(program.command("verifiable-producer", "--bootstrap-server", bootstrap or cluster.bootstrap, "--topic", topic,
                                                  "--throughput", str(rate), "--value-prefix", str(number), "--command-config", str(file)), self.log)

    def lines(self):
        """What it has printed until now."""
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("{") and line.endswith("}"):
                yield json.loads(line)

    def acknowledged(self):
        """{value: (partition, offset)}"""
        return {line["value"]: (line["partition"], line["offset"]) for line in self.lines() if line["name"] == "producer_send_success"}

    def presumed(self):
        return 0

    def refused(self):
        return [line for line in self.lines() if line["name"] == "producer_send_error"]

    def count(self):
        return self.log.read_bytes().count(b'"producer_send_success"')

    def wait_more(self, records=100, timeout=60):
        """Until so many more records than now are acknowledged."""
        wanted = self.count() + records

        def more():
            peer.expect(self.server.alive(), f"sender {self.number} ended: {self.server.tail()}")
            return self.count() >= wanted
        peer.wait_until(f"sender {self.number} goes on", more, timeout)

    def stop(self, timeout=120):
        self.server.stop(timeout)
        peer.equal(f"sender {self.number} was refused", self.refused()[:3], [])

    def kill(self):
        self.server.kill()


class KcatSender:
    """librdkafka; it tells no offsets, only that all was acknowledged in the end.

    It has a flaw that loses records with any broker: told NOT_LEADER_OR_FOLLOWER for a batch while another of its threads begins
    with the next leader, it may send the batch behind first. A leader that does not know the producer takes any sequence, as
    Kafka does, and that success librdkafka takes for the success of all before it (confluent-kafka-go#921).
    """

    def __init__(self, cluster, topic, number, rate=1000, **config):
        self.number, self.sent, self.ended = number, 0, threading.Event()
        settings = {"enable.idempotence": "true", "message.timeout.ms": "240000", "linger.ms": "2", "batch.num.messages": "100",
                    "topic.metadata.refresh.interval.ms": "2000", "debug": "eos", **{key.replace("_", "."): str(value) for key, value in config.items()}}
        words = [word for key, value in settings.items() for word in ("-X", f"{key}={value}")]
        self.errors = cluster.folder / f"kcat-{number}.log"
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen([peer.program("kcat"), "-P", "-E", "-b", cluster.bootstrap, "-t", topic, *words], stdin=subprocess.PIPE, stderr=errors)
        self.thread = threading.Thread(target=self._feed, args=(rate,), daemon=True)
        self.thread.start()

    def _feed(self, rate):
        while not self.ended.wait(0.02):
            lines = "".join(f"{self.number}.{index}\n" for index in range(self.sent, self.sent + max(1, rate // 50)))
            try:
                self.process.stdin.write(lines.encode())
                self.process.stdin.flush()
            except OSError:
                return
            self.sent += lines.count("\n")

    def acknowledged(self):
        return {f"{self.number}.{index}": None for index in range(self.sent)}

    def presumed(self):
        """How many it took for acknowledged because something behind them was."""
        return sum(int(count) for count in IMPLICIT.findall(self.errors.read_text(errors="replace")))

    def wait_more(self, records=100, timeout=60):
        wanted = self.sent + records

        def more():
            peer.expect(self.process.poll() is None, f"kcat sender {self.number} ended: {peer.shorten(self.errors.read_text(errors='replace'), 600)}")
            return self.sent >= wanted
        peer.wait_until(f"kcat sender {self.number} goes on", more, timeout)

    def stop(self, timeout=120):
        self.ended.set()
        self.thread.join(timeout)
        self.process.stdin.close()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise peer.Failure(f"kcat did not deliver all within {timeout} s") from None
        words = self.errors.read_text(errors="replace")
        peer.equal(f"kcat's exit status ({peer.shorten(words, 300)})", status, 0)
        peer.expect("Delivery failed" not in words, f"kcat sender {self.number}: {peer.shorten(words, 600)}")

    def kill(self):
        self.ended.set()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)


class Reader:
    """A console consumer of one partition from its beginning, without a group."""

    def __init__(self, cluster, topic, partition, program, **config):
        folder = cluster.folder / f"reader-{program.name}-{partition}"
        folder.mkdir(exist_ok=True)
        self.partition, self.log = partition, folder / f"{topic}.out"
        file = folder / f"{topic}.properties"
        settings = {"request.timeout.ms": "5000", **{key.replace("_", "."): str(value) for key, value in config.items()}}
        file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
        with open(self.log, "wb") as out, open(folder / f"{topic}.err", "wb") as errors:
            self.process = subprocess.Popen(program.command("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", topic, "--partition",
                                                            str(partition), "--offset", "earliest", "--formatter-property", "print.offset=true",
                                                            "--command-config", str(file)), stdin=subprocess.DEVNULL, stdout=out, stderr=errors)

    def records(self):
        """[(offset, value)...] as they came; the last line only once it is whole."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        lines = text[:text.rfind("\n") + 1].splitlines()
        return [(int(offset.removeprefix("Offset:")), value) for offset, _tab, value in (line.partition("\t") for line in lines)]

    def wait_for(self, records, timeout=60):
        try:
            peer.wait_until(f"the reader of partition {self.partition}", lambda: len(self.records()) >= len(records), timeout)
        except peer.Failure:
            got = self.records()
            raise peer.Failure(f"the reader of partition {self.partition} has {len(got)} of {len(records)} records after {timeout} s; the last: {got[-1:]}") from None
        got = self.records()
        at = next((index for index, pair in enumerate(zip(got, records)) if pair[0] != pair[1]), len(records))
        peer.expect(got == records, f"the reader of partition {self.partition} saw {got[at:at + 3]} where the log has {records[at:at + 3]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)


def read(cluster, topic):
    """{partition: [(offset, value)...]}, by librdkafka."""
    done = peer.run([peer.program("kcat"), "-b", cluster.bootstrap, "-C", "-q", "-e", "-t", topic, "-o", "beginning", "-X", "fetch.wait.max.ms=100",
                     "-f", "%p %o %s\n"], timeout=120)
    found = {}
    for line in done.text.splitlines():
        partition, offset, value = line.split(" ", 2)
        found.setdefault(int(partition), []).append((int(offset), value))
    for records in found.values():
        records.sort()
    return found


def compare(log, senders):
    """Failure unless the log has all that was acknowledged, each record once and in order; a word on how much that was."""
    at, places = {}, {}
    for partition, records in log.items():
        offsets = [offset for offset, _value in records]
        peer.expect(len(set(offsets)) == len(offsets), f"partition {partition} has an offset twice")
        last = {}
        for offset, value in records:
            places.setdefault(value, []).append((partition, offset))
            at[partition, offset] = value
            match = VALUE.match(value)
            peer.expect(match, f"partition {partition} has at {offset} what nobody sent: {value!r}")
            sender, number = int(match[1]), int(match[2])
            peer.expect(number > last.get(sender, -1), f"partition {partition}: {value} at {offset} comes after {sender}.{last.get(sender)}")
            last[sender] = number
    twice = {value: where for value, where in places.items() if len(where) > 1}
    peer.expect(not twice, f"{len(twice)} records are there more than once: {dict(list(twice.items())[:3])}")
    total = 0
    for sender in senders:
        acknowledged = sender.acknowledged()
        total += len(acknowledged)
        lost = {value: where for value, where in acknowledged.items() if value not in places}
        peer.expect(len(lost) <= sender.presumed(), f"{len(lost)} of {len(acknowledged)} acknowledged records of sender {sender.number} are lost: {dict(list(lost.items())[:3])}")
        moved = {value: where for value, where in acknowledged.items() if where is not None and where[1] >= 0 and at.get(where) != value}
        peer.expect(not moved, f"{len(moved)} records of sender {sender.number} are not at the offset that was acknowledged: {dict(list(moved.items())[:3])}")
    return f"{total} records acknowledged"


def check(cluster, topic, senders, readers=()):
    try:
        for sender in senders:
            sender.stop()
        log = read(cluster, topic)
        word = compare(log, senders)
        for reader in readers:
            reader.wait_for(log.get(reader.partition, []))
        return word
    finally:
        for sender in senders:
            sender.kill()
        for reader in readers:
            reader.stop()
