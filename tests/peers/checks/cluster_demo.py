"""`klamm cluster demo`: a cluster to try out, used by kcat; what it refuses, and that it leaves nothing behind then."""
import re
import signal
import socket
import subprocess

import peer
import wire


def only_klamm(context):
    if context.subject.name != "klamm":
        raise peer.Skip("Kafka's tool has no demo")


class Demo:
    def __init__(self, context, name, *words):
        self.out, errors = context.path(f"{name}.out"), context.path(f"{name}.err")
        with open(self.out, "wb") as out, open(errors, "wb") as err:
            self.process = subprocess.Popen([str(word) for word in context.subject.command("cluster", "demo", *words)], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err)

        def told():
            peer.expect(self.process.poll() is None, f"the demo ended: {errors.read_text(encoding='utf-8', errors='replace')}")
            return "Ctrl-C" in self.text()
        try:
            peer.wait_until("the demo is ready", told, 60)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.bootstrap = re.search(r"^Bootstrap servers: (\S+)$", self.text(), re.M)[1]

    def text(self):
        return self.out.read_text(encoding="utf-8")

    def end(self, number):
        self.process.send_signal(number)
        try:
            peer.equal("exit status of the demo", self.process.wait(30), 0)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


def run_commands(context, demo):
    """The commands that it says to try."""
    commands = [line.split()[1:] for line in demo.text().splitlines() if line.startswith("  klamm ")]
    peer.equal("commands to try", [words[0] for words in commands], ["topics", "console-producer", "console-consumer"])
    peer.run(context.subject.command(*commands[0]))
    peer.run(context.subject.command(*commands[1]), stdin=b"tea\ncake\n")
    read = peer.run(context.subject.command(*commands[2], "--max-messages", 2))
    peer.equal("what is read", sorted(read.text.split()), ["cake", "tea"])


@peer.check("cluster-demo/tried-out")
def tried_out(context):
    only_klamm(context)
    data = context.path("data")
    demo = Demo(context, "first", "--directory", data)
    try:
        peer.equal("bootstrap servers", len(demo.bootstrap.split(",")), 3)
        for address in demo.bootstrap.split(","):
            with wire.Client(address) as client:
                peer.equal("brokers", len(client.metadata()[0]), 3)
        run_commands(context, demo)
        read = peer.run([peer.program("kcat"), "-b", demo.bootstrap, "-C", "-q", "-e", "-t", "hello", "-o", "beginning"])
        peer.equal("what kcat reads", sorted(read.text.split()), ["cake", "tea"])
    finally:
        demo.end(signal.SIGINT)
    peer.equal("directories", sorted(path.name for path in data.iterdir()), ["node-1", "node-2", "node-3"])
    again = Demo(context, "second", "--directory", data)
    try:
        read = peer.run([peer.program("kcat"), "-b", again.bootstrap, "-C", "-q", "-e", "-t", "hello", "-o", "beginning"])
        peer.equal("what kcat reads of the second start", sorted(read.text.split()), ["cake", "tea"])
        ran = peer.run(context.subject.command("cluster", "demo", "--directory", data), status=1)
        peer.expect("is locked by another process" in ran.errors or "in use" in ran.errors, ran.errors)
    finally:
        again.end(signal.SIGTERM)
    ran = peer.run(context.subject.command("cluster", "demo", "--directory", data, "--brokers", 2), status=1)
    peer.expect("holds a cluster of 3 nodes, not 2" in ran.errors, ran.errors)


@peer.check("cluster-demo/refused")
def refused(context):
    only_klamm(context)
    data = context.path("never")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for words, wanted in ((["--brokers", 0], "0 nodes"), (["--brokers", 17], "17 nodes"), (["--brokers", "x"], "x"), (["--port", 0], "--port 0"),
                              (["--port", 65_535], "65535"), (["--port", port], f"127.0.0.1:{port}"), (["--override", "one"], "--override one"),
                              (["--override", "node.id=4"], "node.id"), (["--override", "num.partitions=x"], "num.partitions"), (["--id", 3], "--id")):
            ran = peer.run(context.subject.command("cluster", "demo", "--directory", data, *words), status=1)
            peer.expect(wanted in ran.errors and len(ran.errors.splitlines()) <= 2, f"{words}: {ran.errors}")
            peer.expect(not data.exists(), f"{words} left {data}")
    letter = context.path("letters")
    letter.mkdir()
    (letter / "letter.txt").write_text("dear", encoding="utf-8")
    ran = peer.run(context.subject.command("cluster", "demo", "--directory", letter), status=1)
    peer.expect("letter.txt" in ran.errors and [path.name for path in letter.iterdir()] == ["letter.txt"], ran.errors)
    ran = peer.run(context.subject.command("cluster", "cluster-id", "--bootstrap-server", "127.0.0.1:1", "--brokers", 3), status=1)
    peer.expect("--brokers is for demo only" in ran.errors, ran.errors)
