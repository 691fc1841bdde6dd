#!/usr/bin/env python3
"""A broker with 1,000 partitions that may have 256 descriptors: takes records for all, restarts, has them still
(KLAMM names the program)."""
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "peers"))
import broker  # noqa: E402
import klamm  # noqa: E402
import peer  # noqa: E402

PARTITIONS = 1000
DESCRIPTORS = 256
TOPIC = "wide"


class Limited:
    """The program with few descriptors for its server."""

    def __init__(self, program):
        self.program = program
        self.name = program.name

    def command(self, tool, *arguments):
        command = self.program.command(tool, *arguments)
        if tool != "server":
            return command
        return ["sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh", *command]


def descriptors(node):
    return len(list(pathlib.Path(f"/proc/{node.server.process.pid}/fd").iterdir()))


def filled(program, node):
    """How many partitions have a record."""
    listed = peer.run(program.command("get-offsets", "--bootstrap-server", node.bootstrap, "--topic", TOPIC)).text
    ends = [int(line.rsplit(":", 1)[1]) for line in listed.splitlines()]
    peer.expect(len(ends) == PARTITIONS, f"get-offsets lists {len(ends)} partitions")
    return sum(end > 0 for end in ends), sum(ends)


def produce(program, node, texts):
    done = subprocess.run(
        program.command("console-producer", "--bootstrap-server", node.bootstrap, "--topic", TOPIC, "--property", "parse.key=true"),
        input="".join(f"{text}\t{text}\n" for text in texts), capture_output=True, text=True, timeout=120, check=False)
    peer.expect(done.returncode == 0, f"console-producer ended with {done.returncode}: {done.stderr}")


def consumed(program, node, count):
    done = subprocess.run(
        program.command("console-consumer", "--bootstrap-server", node.bootstrap, "--topic", TOPIC, "--from-beginning",
                        "--max-messages", str(count), "--timeout-ms", "60000"),
        capture_output=True, text=True, timeout=120, check=False)
    peer.expect(done.returncode == 0, f"console-consumer ended with {done.returncode}: {done.stderr}")
    return sorted(done.stdout.splitlines())


def main():
    program = klamm.Klamm()
    with tempfile.TemporaryDirectory() as work:
        node = broker.Broker(Limited(program), work).start()
        try:
            peer.run(program.command("topics", "--bootstrap-server", node.bootstrap, "--create", "--topic", TOPIC,
                                     "--partitions", str(PARTITIONS)))
            first = [f"a{number}" for number in range(12 * PARTITIONS)]
            produce(program, node, first)
            peer.expect(filled(program, node) == (PARTITIONS, len(first)), f"not every partition has records: {filled(program, node)}")
            peer.expect(descriptors(node) < DESCRIPTORS, f"{descriptors(node)} descriptors")
            node.stop()
            node.start()
            second = [f"b{number}" for number in range(12 * PARTITIONS)]
            produce(program, node, second)
            peer.expect(consumed(program, node, len(first) + len(second)) == sorted(first + second), "other records than were produced")
            log = node.server.tail(100000)
            peer.expect("failed" not in log and "offline" not in log, log)
            node.stop()
        finally:
            node.kill()
    print(f"{PARTITIONS} partitions with {DESCRIPTORS} descriptors passed")


main()
