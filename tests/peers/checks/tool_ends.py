"""How klamm's tools end and what they say when there is no broker, or none of that name; how its server starts without a file."""
import os
import re
import signal
import socket
import subprocess

import peer

AWAY = "127.0.0.1:1"  # nobody listens there
PROMPT = 8            # seconds until a tool must have ended after a signal, on a busy machine


class Tool:
    """A tool of klamm that runs until it is told to end; what it prints goes to one file."""

    def __init__(self, context, *words, stdin=None):
        self.words = words
        self.path = context.path(words[0])
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen([str(word) for word in context.subject.command(*words)], stdin=stdin or subprocess.DEVNULL, stdout=out, stderr=out)

    def text(self):
        return self.path.read_text(encoding="utf-8", errors="replace")

    def wait(self, seconds=PROMPT):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise peer.Failure(f"{' '.join(map(str, self.words))} still runs after {seconds} s: {self.text()}") from None


def only_klamm(context):
    if context.subject.name != "klamm":
        raise peer.Skip("it is about what klamm does otherwise")


@peer.check("tool-ends/signal-without-broker")
def signals(context):
    """Kafka's tools end with 128 and the signal's number; here also soon, and with a word on what was not sent."""
    only_klamm(context)
    lines = context.file("lines", b"one\ntwo\nthree\n")
    tools = (
        ("console-producer", "--topic", "t"),
        ("console-consumer", "--topic", "t"),
        ("console-consumer", "--topic", "t", "--partition", "0"),
        ("producer-perf-test", "--topic", "t", "--num-records", "1000000", "--record-size", "1000", "--throughput", "-1"),
        ("consumer-perf-test", "--topic", "t", "--num-records", "10", "--timeout", "60000"),
    )
    for words in tools:
        for number in (signal.SIGTERM, signal.SIGINT):
            with open(lines, "rb") as stdin:
                tool = Tool(context, *words, "--bootstrap-server", AWAY, stdin=stdin)
            peer.wait_until(f"{words[0]} says that there is no broker", lambda: "WARN" in tool.text(), 10)
            tool.process.send_signal(number)
            peer.equal(f"{words[0]}: exit status", tool.wait(), 128 + number)
            if words[0] == "console-producer":
                peer.expect("Interrupted: 3 record(s) were read from standard input, 3 of them not delivered." in tool.text(), tool.text())
            elif words[0] == "producer-perf-test":
                peer.expect(re.search(r"Interrupted: (\d+) of \1 record\(s\) were not delivered", tool.text()), tool.text())
    return f"{len(tools)} tools, two signals"


@peer.check("tool-ends/signal-with-broker")
def signals_with_broker(context):
    """With a broker, what was read is delivered before the end."""
    only_klamm(context)
    topic = context.topic("ends")
    tool = Tool(context, "console-producer", "--topic", topic, "--bootstrap-server", context.broker.bootstrap, "--timeout", "60000",
                "--request-timeout-ms", "30000", stdin=subprocess.PIPE)
    tool.process.stdin.write(b"one\ntwo\n")
    tool.process.stdin.flush()
    with context.broker.client() as client:
        peer.expect(client.offset(topic) == 0, "nothing was to be sent yet")
    # The tool has looked at its input when it takes more than a pipe holds.
    tool.process.stdin.write(b"x" * 200_000 + b"\n")
    tool.process.stdin.flush()
    tool.process.send_signal(signal.SIGTERM)
    peer.equal("exit status", tool.wait(30), 143)
    tool.process.stdin.close()
    with context.broker.client() as client:
        peer.expect(client.offset(topic) >= 2, tool.text())


@peer.check("tool-ends/timeout-without-broker")
def timeout(context):
    only_klamm(context)
    tool = Tool(context, "consumer-perf-test", "--topic", "t", "--num-records", "10", "--timeout", "1500", "--bootstrap-server", AWAY)
    peer.equal("exit status", tool.wait(15), 0)
    peer.expect("timeout (1500 ms) exceeded" in tool.text(), tool.text())
    return "consumer-perf-test"


@peer.check("tool-ends/no-such-host")
def no_such_host(context):
    only_klamm(context)
    tools = (("topics", "--list"), ("console-producer", "--topic", "t"), ("console-consumer", "--topic", "t"), ("get-offsets",),
             ("producer-perf-test", "--topic", "t", "--num-records", "1", "--record-size", "1", "--throughput", "-1"),
             ("consumer-perf-test", "--topic", "t", "--num-records", "10"))
    for words in tools:
        ran = peer.run(context.subject.command(*words, "--bootstrap-server", "no.such.host.invalid:9092"), status=1, timeout=30)
        peer.expect("No resolvable bootstrap urls given in bootstrap.servers" in ran.errors, ran.errors)
        peer.expect("no.such.host.invalid" in ran.errors, ran.errors)
    return f"{len(tools)} tools"


@peer.check("tool-ends/java-store")
def java_store(context):
    """A store that cannot be read is one error at once, not something to try again until a deadline."""
    only_klamm(context)
    store = context.file("old.jks", b"\xfe\xed\xfe\xed\0\0\0\2")
    settings = context.file("ssl.properties", f"security.protocol=SSL\nssl.truststore.location={store}\nssl.truststore.password=x\n".encode())
    tools = (("topics", "--list"), ("console-producer", "--topic", "t"), ("console-consumer", "--topic", "t"), ("get-offsets", "--topic", "t"),
             ("console-consumer", "--topic", "t", "--partition", "0"),
             ("producer-perf-test", "--topic", "t", "--num-records", "3", "--record-size", "1", "--throughput", "-1"),
             ("consumer-perf-test", "--topic", "t", "--num-records", "10"))
    for words in tools:
        ran = peer.run(context.subject.command(*words, "--bootstrap-server", AWAY, "--command-config", settings), stdin=b"one\n", status=1, timeout=10)
        told = [line for line in (ran.text + ran.errors).splitlines() if "Java's own store format" in line and " WARN " not in line]
        peer.equal(f"{words[0]}: lines", len(told), 1)
        peer.expect(told[0].endswith("set the type to PKCS12"), told[0])
    return f"{len(tools)} tools"


@peer.check("tool-ends/said-once")
def said_once(context):
    only_klamm(context)
    ran = peer.run(context.subject.command("console-producer", "--topic", "t", "--bootstrap-server", AWAY, "--max-block-ms", "1500", "--batch-size", "10"),
                   stdin=b"".join(b"line %d\n" % number for number in range(20)), status=1)
    told = [line for line in ran.errors.splitlines() if "not delivered" in line]
    peer.equal("lines on what was not delivered", len(told), 2)  # the reason, and the sum
    peer.equal("the sum", told[1], "20 of 20 record(s) were not delivered")
    peer.expect(" for t not delivered: t not known in 1500 ms" in told[0].replace("topic t not", "t not") and not told[0].endswith("timed out"), told[0])


@peer.check("tool-ends/reader-gone")
def reader_gone(context):
    """Who reads a tool's output may have seen enough (`| head`); a full disk is another matter."""
    command = context.subject.command("storage", "random-uuid")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        os.close(writing)
    peer.equal("exit status and errors", (ran.returncode, ran.stderr), (0, ""))
    if context.subject.name == "klamm":
        with open("/dev/full", "wb") as full:
            ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        peer.equal("exit status and errors", (ran.returncode, ran.stderr), (1, "standard output could not be written\n"))


@peer.check("tool-ends/partition-pages")
def partition_pages(context):
    topic = context.topic("pages", partitions=5)
    whole = context.tool("topics", "--describe", "--topic", topic)
    for limit in ("1", "2", "0"):
        pages = context.tool("topics", "--describe", "--topic", topic, "--partition-size-limit-per-response", limit)
        peer.equal(f"described with at most {limit} a response", pages.text, whole.text)


def held_port():
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    held.listen(1)
    return held


@peer.check("tool-ends/server-without-file")
def server(context):
    only_klamm(context)
    folder = context.path("server")
    folder.mkdir()
    with held_port() as held:
        port = held.getsockname()[1]
        ran = peer.run(context.subject.command("server", "--override", f"listeners=PLAINTEXT://127.0.0.1:{port}"), status=1, cwd=folder)
        peer.expect("in use" in ran.errors and str(port) in ran.errors, ran.errors)
        peer.equal("left behind", [path.name for path in folder.iterdir()], [])
    port, quorum = peer.free_ports(2)
    listeners = f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://:{quorum}"
    running = peer.Server(context.subject.command("server", "--override", f"listeners={listeners}", "--override",
                                                  f"advertised.listeners=PLAINTEXT://localhost:{port}"), folder / "log", cwd=folder)
    try:
        peer.wait_until("klamm is ready", lambda: "klamm is ready" in running.tail() or not running.alive())
        peer.expect(f"PLAINTEXT://127.0.0.1:{port} (advertised as localhost:{port})" in running.tail(), running.tail())
        described = peer.run(context.subject.command("log-dirs", "--describe", "--bootstrap-server", f"127.0.0.1:{port}"))
        peer.expect(f'"logDir":"{folder.resolve()}/klamm-data"' in described.text, described.text)
        quorum_seen = peer.run(context.subject.command("metadata-quorum", "--bootstrap-server", f"127.0.0.1:{port}", "describe", "--status"))
        peer.expect(f"localhost:{quorum}" in quorum_seen.text or f":{quorum}" in quorum_seen.text, quorum_seen.text)
        peer.equal("exit status", running.stop(), 0)
    finally:
        running.kill()
