"""Trials on small file systems of their own: one that is full to the last byte, one that goes away under the broker.

Every record is random bytes; what was acknowledged must come back to kcat and to klamm's console-consumer with the same
checksum, and a record that was refused must not be there."""
import errno
import json
import os
import subprocess
import sys
import time
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))

import peer  # noqa: E402
import records  # noqa: E402
from broker import Broker  # noqa: E402
from klamm import Klamm  # noqa: E402

KAFKA_STORAGE_ERROR = 56
RECORD = 20_000  # characters
TO_START = 256 << 10  # bytes that a start after a crash is given: indexes are written anew
QUICK = {"log.segment.bytes": 1 << 20, "log.retention.check.interval.ms": 300, "log.segment.delete.delay.ms": 100, "log.initial.task.delay.ms": 100,
         "log.flush.offset.checkpoint.interval.ms": 500, "log.flush.start.offset.checkpoint.interval.ms": 500,
         "replica.high.watermark.checkpoint.interval.ms": 500}


class RamDisk:
    """A small file system of its own, or Skip where it may not be mounted."""

    def __init__(self, folder, megabytes, name="disk"):
        self.path = folder / name
        self.path.mkdir(parents=True)
        self.filler = self.path / "filler"
        try:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(self.path)], check=True, capture_output=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            raise peer.Skip("a file system may not be mounted here") from None

    def fill(self):
        """No byte is free afterwards."""
        descriptor = os.open(self.filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            while os.write(descriptor, b"\0" * 65536):
                pass
        except OSError as full:
            peer.equal("what the full disk says", full.errno, errno.ENOSPC)
        finally:
            os.close(descriptor)

    def leave(self, size):
        """Gives back `size` bytes of what fill() took."""
        os.truncate(self.filler, self.filler.stat().st_size - size)

    def end(self):
        subprocess.run(["umount", "-l", str(self.path)], check=False, capture_output=True, timeout=10)


class Ledger:
    """Sends records to one partition, and knows what was acknowledged."""

    def __init__(self, broker, topic, partition=0):
        self.broker, self.topic, self.partition = broker, topic, partition
        self.lines = {}  # by offset
        self.count = 0

    def send(self):
        """The error code of one record's produce."""
        self.count += 1
        line = f"{self.topic}-{self.partition} {self.count} {os.urandom(RECORD // 2).hex()}"
        with self.broker.client() as client:
            code, offset = records.produce(client, self.topic, records.batch((line.encode(),), timestamp=int(time.time() * 1000)), partition=self.partition)
        if code == 0:
            self.lines[offset] = line
        return code

    def send_ok(self, count):
        for _ in range(count):
            peer.equal(f"error of a produce to {self.topic}-{self.partition}", self.send(), 0)

    def check(self, start=0):
        """Both consumers read exactly what was acknowledged from offset `start` on."""
        wanted = [line for offset, line in sorted(self.lines.items()) if offset >= start]
        wanted = peer.sha256("".join(line + "\n" for line in wanted).encode())
        got = peer.run([peer.program("kcat"), "-C", "-e", "-q", "-b", self.broker.bootstrap, "-t", self.topic, "-p", self.partition, "-o", "beginning"], timeout=60)
        peer.equal(f"what kcat reads of {self.topic}-{self.partition}", peer.sha256(got.out), wanted)
        got = peer.run(Klamm().command("console-consumer", "--bootstrap-server", self.broker.bootstrap, "--topic", self.topic, "--partition", self.partition,
                                       "--from-beginning", "--max-messages", sum(offset >= start for offset in self.lines)), timeout=60)
        peer.equal(f"what klamm's consumer reads of {self.topic}-{self.partition}", peer.sha256(got.out), wanted)


def make_broker(folder, data, **more):
    broker = Broker(Klamm(), folder)
    broker.data = data[0]
    broker.properties.update({"log.dirs": ",".join(map(str, data)), **{key: str(value) for key, value in QUICK.items()}, **more})
    broker.file.write_text("".join(f"{key}={value}\n" for key, value in broker.properties.items()), encoding="utf-8")
    return broker


def tool(broker, name, *arguments):
    return peer.run(Klamm().command(name, "--bootstrap-server", broker.bootstrap, *arguments), timeout=60)


def delete_before(broker, folder, topic, offset):
    wanted = folder / "delete.json"
    wanted.write_text(json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": offset}]}), encoding="utf-8")
    tool(broker, "delete-records", "--offset-json-file", wanted)


def full_disk(folder):
    """Data and metadata on a disk without a free byte: produces refused, the rest goes on; two starts; then room."""
    disk = RamDisk(folder, 24)
    broker = make_broker(folder / "broker", [disk.path / "data"])
    try:
        broker.start()
        with broker.client() as client:
            client.create_topic("full")
            client.create_topic("spare")
            peer.wait_until("the topics have leaders", lambda: all(client.metadata([name])[1][name] == (0, 1) for name in ("full", "spare")))
        full, spare = Ledger(broker, "full"), Ledger(broker, "spare")
        full.send_ok(300)
        spare.send_ok(60)
        disk.fill()
        peer.wait_until("a produce is refused", lambda: full.send() != 0)
        refused = 0
        end = time.monotonic() + 2  # several times as long as what the metadata log is idle at most
        while time.monotonic() < end:
            code = full.send()
            peer.expect(code in (0, KAFKA_STORAGE_ERROR), f"a produce to a full disk gives {code}")
            refused += code != 0
        peer.expect(refused and broker.server.alive(), f"{refused} refused; {broker.server.tail()}")
        full.check()
        for end_it in (broker.kill, broker.stop):
            end_it()
            disk.leave(TO_START)
            broker.start()
            disk.fill()
            full.check()
            spare.check()
            peer.wait_until("a produce is refused again", lambda: full.send() != 0)
        delete_before(broker, folder, "full", 200)
        peer.wait_until("deleted records make room", lambda: full.send() == 0)
        full.check(200)
        peer.wait_until("there is no room again", lambda: full.send() != 0)
        tool(broker, "topics", "--delete", "--topic", "spare")
        peer.wait_until("a deleted topic makes room", lambda: full.send() == 0)
        disk.filler.unlink()
        full.send_ok(100)
        full.check(200)
        broker.stop()
        broker.start()
        full.check(200)
        broker.stop()
        return f"{len(full.lines)} acknowledged, {full.count - len(full.lines)} refused"
    finally:
        broker.kill()
        disk.end()


def lost_directory(folder):
    """Three directories: the second is renamed away, the third as well, with a file in its place, so that even the next
    start finds it broken; the first serves on. Later all are back."""
    second, third = RamDisk(folder, 24, "second"), None
    broker = None
    try:
        third = RamDisk(folder, 24, "third")
        data = [folder / "first", second.path / "data", third.path / "data"]
        broker = make_broker(folder / "broker", data)
        broker.start()
        with broker.client() as client:
            client.create_topic("jbod", 6)
            peer.wait_until("the topic has leaders", lambda: client.metadata(["jbod"])[1]["jbod"] == (0, 6))
        ledgers = [Ledger(broker, "jbod", partition) for partition in range(6)]
        homes = {partition: index for index, path in enumerate(data) for partition in range(6) if (path / f"jbod-{partition}").exists()}
        peer.equal("partitions in each directory", sorted(homes.values()), [0, 0, 1, 1, 2, 2])
        for ledger in ledgers:
            ledger.send_ok(10)

        def goes_offline(index):
            lost = [ledger for ledger in ledgers if homes[ledger.partition] == index]
            for ledger in lost:
                # A write to a file that is open may still go well; then the directory's checkpoints tell.
                peer.wait_until(f"jbod-{ledger.partition} is offline", lambda one=ledger: one.send() != 0)
            report = tool(broker, "log-dirs", "--describe").text
            report = json.loads(next(line for line in report.splitlines() if line.startswith("{")))
            errors = {one["logDir"]: one["error"] for one in report["brokers"][0]["logDirs"]}
            peer.expect(errors[str(data[index])] is not None, f"log-dirs says {errors}")

        (second.path / "data").rename(second.path / "away")
        goes_offline(1)
        peer.expect(not data[1].exists(), "the directory that was taken away is there again")
        (third.path / "data").rename(third.path / "away")
        data[2].write_text("no directory", encoding="utf-8")
        goes_offline(2)
        first = [ledger for ledger in ledgers if homes[ledger.partition] == 0]
        for ledger in first:
            ledger.send_ok(5)
            ledger.check()
        peer.expect(broker.server.alive(), broker.server.tail())
        (second.path / "away").rename(data[1])
        broker.stop()
        broker.start()
        for ledger in ledgers:
            if homes[ledger.partition] == 2:
                peer.expect(ledger.send() != 0, "a partition of a broken directory takes records")
                peer.expect(not any((path / f"jbod-{ledger.partition}").exists() for path in data[:2]), "an empty log takes the place of one that is offline")
            else:
                ledger.send_ok(5)
        broker.kill()
        data[2].unlink()
        (third.path / "away").rename(data[2])
        broker.start()
        for ledger in ledgers:
            ledger.send_ok(5)
            ledger.check()
        broker.stop()
        return f"{sum(len(ledger.lines) for ledger in ledgers)} records"
    finally:
        if broker:
            broker.kill()
        for disk in (second, third):
            if disk:
                disk.end()


TRIALS = {"full_disk": full_disk, "lost_directory": lost_directory}
