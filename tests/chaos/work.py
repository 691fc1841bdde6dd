"""Real producers and consumers at work: each line is a record with its producer's name and its number."""
import pathlib
import random
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))

import peer  # noqa: E402
from cluster import TOPIC_PARTITIONS  # noqa: E402

PATIENCE_MS = "180000"  # longer than any run of faults: every record must be acknowledged in the end


def kcat_producer(bootstrap, topic):
    settings = {"enable.idempotence": "true", "acks": "all", "message.timeout.ms": PATIENCE_MS, "socket.timeout.ms": "3000", "request.timeout.ms": "3000",
                "linger.ms": "5", "retry.backoff.ms": "50", "reconnect.backoff.max.ms": "250", "topic.metadata.refresh.interval.ms": "1000"}
    return [peer.program("kcat"), "-P", "-E", "-b", bootstrap, "-t", topic, "-z", "lz4", *options("-X", settings)]


def klamm_producer(program, bootstrap, topic):
    settings = {"enable.idempotence": "true", "acks": "all", "delivery.timeout.ms": PATIENCE_MS, "request.timeout.ms": "3000", "linger.ms": "5",
                "retries": "2147483647", "max.block.ms": PATIENCE_MS, "retry.backoff.ms": "50", "reconnect.backoff.max.ms": "250", "compression.type": "zstd"}
    return [*program.command("console-producer"), "--bootstrap-server", bootstrap, "--topic", topic, "--message-send-max-retries", "2147483647",
            "--max-block-ms", PATIENCE_MS, "--request-timeout-ms", "3000", "--timeout", "5", *options("--command-property", settings)]


def kcat_consumer(bootstrap, topic, *more):
    settings = {"socket.timeout.ms": "3000", "reconnect.backoff.max.ms": "250", "topic.metadata.refresh.interval.ms": "1000", "fetch.wait.max.ms": "100"}
    return [peer.program("kcat"), "-C", "-E", "-q", "-u", "-b", bootstrap, "-t", topic, "-o", "beginning", "-f", "%p %o %s\n", *options("-X", settings), *more]


def klamm_consumer(program, bootstrap, topic):
    settings = {"request.timeout.ms": "3000", "retry.backoff.ms": "50", "reconnect.backoff.max.ms": "250", "fetch.max.wait.ms": "100", "default.api.timeout.ms": PATIENCE_MS}
    shown = {"print.partition": "true", "print.offset": "true", "key.separator": " "}
    return [*program.command("console-consumer"), "--bootstrap-server", bootstrap, "--topic", topic, "--from-beginning",
            *options("--command-property", settings), *options("--formatter-property", shown)]


def options(flag, settings):
    return [word for key, value in settings.items() for word in (flag, f"{key}={value}")]


class Writer:
    """Feeds a producer with lines until it is told to end; knows what it fed."""

    def __init__(self, name, command, seed, folder):
        self.name, self.command, self.seed = name, command, seed
        self.lines = []
        self.ending = threading.Event()
        self.errors = folder / f"{name}.err"
        with open(self.errors, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=err)
        self.thread = threading.Thread(target=self.feed, daemon=True)
        self.thread.start()

    def feed(self):
        draw = random.Random(self.seed)
        try:
            while not self.ending.wait(0.01):  # the pace: about 2,000 lines a second
                block = []
                for _ in range(draw.randrange(40)):
                    size = 30_000 if draw.random() < 0.001 else draw.randrange(10, 400)
                    block.append(f"{self.name} {len(self.lines) + len(block)} {draw.randbytes(size // 2).hex()}")
                self.lines += block
                self.process.stdin.write("".join(line + "\n" for line in block).encode())
                self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return  # it has ended; finish() says how

    def begin_to_end(self):
        self.ending.set()

    def finish(self, timeout):
        """Waits for its end: success means that every line was acknowledged."""
        self.ending.set()
        self.thread.join(timeout)
        peer.expect(not self.thread.is_alive(), f"{self.name} takes no more lines: {self.words()}")
        self.process.stdin.close()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise peer.Failure(f"{self.name} did not deliver everything in {timeout} s: {self.words()}") from None
        peer.equal(f"exit status of {self.name} ({self.words()})", status, 0)
        peer.expect("Delivery failed" not in self.words(), f"{self.name}: {self.words()}")

    def words(self):
        return self.errors.read_bytes()[-600:].decode("utf-8", "replace")

    def kill(self):
        self.ending.set()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Reader:
    """A consumer at work, its output in a file: "partition offset line", or klamm's words for the first two."""

    def __init__(self, name, command, folder):
        self.name = name
        self.path = folder / f"{name}.out"
        self.errors = folder / f"{name}.err"
        with open(self.path, "wb") as out, open(self.errors, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def lines(self):
        content = self.path.read_text(encoding="utf-8")
        return content[:content.rfind("\n") + 1].splitlines()

    def wait_for(self, count, timeout):
        def enough():
            with open(self.path, "rb") as out:
                return sum(piece.count(b"\n") for piece in iter(lambda: out.read(1 << 20), b"")) >= count
        try:
            peer.wait_until(f"{self.name} has {count} records", enough, timeout)
        except peer.Failure as failure:
            raise peer.Failure(f"{failure}; it has {len(self.lines())}; {self.words()}") from None

    def words(self):
        return self.errors.read_bytes()[-600:].decode("utf-8", "replace")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def compare(who, got, writers):
    """Every line of every writer once, and in each partition in the order that it was written; offsets go up."""
    wanted = {writer.name: writer.lines for writer in writers}
    seen = {name: [False] * len(lines) for name, lines in wanted.items()}
    last_number = {}
    last_offset = {}
    for line in got:
        partition, offset, name, number, _ = line.replace("Partition:", "").replace("Offset:", "").split(" ", 4)
        partition, offset, number = int(partition), int(offset), int(number)
        peer.expect(0 <= partition < TOPIC_PARTITIONS and name in wanted and number < len(wanted[name]), f"{who}: nobody wrote {peer.shorten(line, 80)!r}")
        peer.expect(line.endswith(f" {wanted[name][number]}"), f"{who}: record {number} of {name} is changed")
        peer.expect(not seen[name][number], f"{who}: record {number} of {name} is there twice, the second time at {partition}:{offset}")
        seen[name][number] = True
        before = last_number.get((partition, name), -1)
        peer.expect(number > before, f"{who}: record {number} of {name} comes after {before} in partition {partition}, at offset {offset}")
        last_number[partition, name] = number
        peer.expect(offset > last_offset.get(partition, -1), f"{who}: offset {offset} of partition {partition} comes after {last_offset.get(partition)}")
        last_offset[partition] = offset
    for name, all_seen in seen.items():
        missing = [number for number, was_seen in enumerate(all_seen) if not was_seen]
        peer.expect(not missing, f"{who}: {len(missing)} acknowledged records of {name} are lost, the first is {missing[:3]}")


def judge_the_judge():
    """compare() must take what is right and nothing else."""
    class Wrote:
        name, lines = "w", [f"w {number} {number:04x}" for number in range(4)]

    def taken(got):
        try:
            compare("judge", got, [Wrote])
            return True
        except peer.Failure:
            return False

    right = ["0 10 w 0 0000", "1 3 w 1 0001", "0 12 w 2 0002", "1 5 w 3 0003"]
    wrong = {"a lost record": right[:3], "a record twice": [*right, "0 13 w 0 0000"], "a wrong order": [right[2], right[0], right[1], right[3]],
             "an offset twice": [*right[:2], "0 10 w 2 0002", right[3]], "a changed record": [*right[:3], "1 5 w 3 0013"],
             "a record of nobody": [*right, "0 14 x 0 0000"], "a number that was never written": [*right, "0 14 w 4 0004"],
             "a cut record": [*right[:3], "1 5 w 3 000"]}
    peer.expect(taken(right), "the right records are not taken")
    for what, got in wrong.items():
        peer.expect(not taken(got), f"{what} is not noticed")
