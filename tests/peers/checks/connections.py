"""Limits on connections, and clients that vanish, never read, push too much, or come in thousands."""
import contextlib
import pathlib
import resource
import socket
import struct
import subprocess
import sys
import time

import peer
import records
import wire

API_VERSIONS = struct.pack(">ihhih", 14, 18, 0, 1, 4) + b"peer"
MANY = 10_000
PRODUCE_ANSWER = 4 + 4 + 4 + 2 + len("piped") + 4 + 4 + 2 + 8 + 8 + 4  # bytes, of version 3 for one partition


class LowLimit:
    """A program whose shell has set the soft limit of descriptors to 1024, as most systems do."""

    def __init__(self, program):
        self.program = program
        self.name = program.name

    def command(self, *words):
        return ["sh", "-c", 'ulimit -Sn 1024; exec "$@"', "sh", *self.program.command(*words)]


@contextlib.contextmanager
def broker_with(context, name, program=None, **properties):
    broker = context.own_broker(name, program, **properties)
    broker.start()
    try:
        yield broker
        broker.stop()
    finally:
        broker.kill()


def connect(broker, source="127.0.0.1", timeout=10):
    host, port = broker.bootstrap.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout, source_address=(source, 0))


def answered(connection, timeout):
    """True when ApiVersions is answered in time, False when it is not; None when the connection is closed."""
    connection.settimeout(timeout)
    try:
        connection.sendall(API_VERSIONS)
        size = connection.recv(4)
        if not size:
            return None
        missing = struct.unpack(">i", size)[0]
        while missing:
            missing -= len(connection.recv(missing))
        return True
    except (ConnectionResetError, BrokenPipeError):
        return None
    except TimeoutError:
        return False


def closed_after(connection, timeout):
    """Seconds until the broker closes it."""
    start = time.monotonic()
    connection.settimeout(timeout)
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        raise peer.Failure(f"still open after {timeout} s") from None
    return time.monotonic() - start


def status_of(broker, key):
    with open(f"/proc/{broker.server.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key + ":"))


def descriptors(broker):
    return len(list(pathlib.Path(f"/proc/{broker.server.process.pid}/fd").iterdir()))


@peer.check("connections/max")
def max_connections(context):
    """Beyond max.connections clients wait until others go."""
    with broker_with(context, "max", max_connections=5) as broker:
        peer.wait_until("the starting connections are gone", lambda: answered(connect(broker), 5))
        open_ones = [connect(broker) for _ in range(5)]
        peer.wait_until("five are served", lambda: all(answered(one, 5) for one in open_ones))
        late = connect(broker)
        peer.expect(answered(late, 1) is False, "a sixth connection is served")
        for one in open_ones[1:]:
            peer.equal("an old connection is served", answered(one, 5), True)
        open_ones[0].close()
        late.settimeout(10)
        peer.expect(late.recv(4), "the waiting connection was closed")  # what it asked before is answered now
        for one in (*open_ones, late):
            one.close()


@peer.check("connections/max_per_ip")
def max_per_ip(context):
    with broker_with(context, "per-ip", max_connections_per_ip=3, max_connections_per_ip_overrides="127.0.0.3:1") as broker:
        for source, allowed in (("127.0.0.2", 3), ("127.0.0.3", 1), ("127.0.0.4", 3)):
            good = [connect(broker, source) for _ in range(allowed)]
            for one in good:
                peer.equal(f"one of the first {allowed} from {source}", answered(one, 5), True)
            over = connect(broker, source)
            peer.equal(f"number {allowed + 1} from {source}", answered(over, 5), None)
            for one in good:
                peer.equal("the others afterwards", answered(one, 5), True)
            good[0].close()

            def again():
                with connect(broker, source) as one:
                    return answered(one, 5)
            peer.wait_until("there is room again", again)
            for one in good:
                one.close()


@peer.check("connections/limits-at-run-time")
def limits_at_run_time(context):
    """What Kafka's tool sets holds from the next connection on."""
    with broker_with(context, "run-time") as broker:
        def set_limit(*change):
            context.tool("configs", "--alter", "--entity-type", "brokers", "--entity-default", *change, program=context.reference, broker=broker)

        def fourth():
            with connect(broker, "127.0.0.2") as one:
                return answered(one, 5)

        good = [connect(broker, "127.0.0.2") for _ in range(3)]
        set_limit("--add-config", "max.connections.per.ip=3")
        peer.wait_until("a fourth connection is refused", lambda: fourth() is None)
        for one in good:
            peer.equal("one of the first three", answered(one, 5), True)
        set_limit("--delete-config", "max.connections.per.ip")
        peer.wait_until("a fourth connection is served", lambda: fourth() is True)
        for one in good:
            one.close()


@peer.check("connections/limits-of-a-listener")
def limits_of_a_listener(context):
    """A listener's own max.connections holds for it alone, from the file and as changed at run time."""
    broker = context.own_broker("listener")
    port = peer.free_ports(1)[0]
    broker.properties.update({
        "listeners": f"{broker.properties['listeners']},INSIDE://127.0.0.1:{port}",
        "listener.security.protocol.map": f"{broker.properties['listener.security.protocol.map']},INSIDE:PLAINTEXT",
        "listener.name.inside.max.connections": "2"})
    broker.file.write_text("".join(f"{key}={value}\n" for key, value in broker.properties.items()), encoding="utf-8")

    def set_limit(*change, status=0):
        return context.tool("configs", "--alter", "--entity-type", "brokers", "--entity-name", "1", *change, program=context.reference, broker=broker,
                            status=status)

    def inside():
        return socket.create_connection(("127.0.0.1", port), 5)

    broker.start()
    try:
        good = [inside() for _ in range(2)]
        for one in good:
            peer.equal("one of the first two", answered(one, 5), True)
        waiting = inside()
        peer.equal("a third", answered(waiting, 1), False)
        others = [connect(broker) for _ in range(3)]
        for one in others:
            peer.equal("one of another listener", answered(one, 5), True)
        set_limit("--add-config", "listener.name.inside.max.connections=3")
        waiting.settimeout(10)
        peer.expect(waiting.recv(4), "the third was closed")
        bad = set_limit("--add-config", "listener.name.inside.max.connections=-1", status=None)
        peer.expect("Invalid value -1 for configuration max.connections: Value must be at least 0" in bad.text + bad.errors, f"{bad.text} {bad.errors}")
        bad = set_limit("--add-config", "listener.name.inside.num.network.threads=99", status=None)
        peer.expect("value should not be greater than double the current value 3" in bad.text + bad.errors, f"{bad.text} {bad.errors}")
        for one in (*good, waiting, *others):
            one.close()
        broker.stop()
    finally:
        broker.kill()


@peer.check("connections/creation_rate")
def creation_rate(context):
    """What is over the rate is served later, not refused: ten seconds' worth at once, then the rate."""
    with broker_with(context, "rate", max_connection_creation_rate=10) as broker:
        start = time.monotonic()
        connections = [connect(broker) for _ in range(130)]
        for one in connections:
            peer.equal("a connection", answered(one, 30), True)
        took = time.monotonic() - start
        for one in connections:
            one.close()
        peer.expect(took > 1.5, f"130 connections came in {took:.1f} s")
        return f"130 connections at 10 a second in {took:.1f} s"


@peer.check("connections/idle")
def idle(context):
    """A client that vanished without a word (half-open), half a request, and a client that does not read."""
    with broker_with(context, "idle", connections_max_idle_ms=2000) as broker:
        lively = connect(broker)
        half = connect(broker)
        half.sendall(API_VERSIONS[:9])
        silent = connect(broker)
        peer.equal("a connection that asks once", answered(silent, 5), True)
        took = closed_after(silent, 20)
        peer.expect(1.5 < took < 3.9, f"closed after {took:.1f} s")
        closed_after(half, 20)
        deaf = connect(broker)
        waiting = connect(broker)
        with broker.client() as client:
            client.create_topic("empty")
            peer.wait_until("it has a leader", lambda: client.metadata(["empty"])[1]["empty"] == (0, 1))
        body = struct.pack(">hhih", records.FETCH, 4, 1, 0) + records.fetch_body("empty", max_wait_ms=2**31 - 1)
        waiting.sendall(struct.pack(">i", len(body)) + body)
        deaf.setblocking(False)
        try:
            for _ in range(100_000):
                deaf.sendall(API_VERSIONS * 100)
        except BlockingIOError:
            pass
        deaf.settimeout(10)
        peer.expect(answered(lively, 5) is None, "an idle connection is still served")
        lively = connect(broker)
        start = time.monotonic()
        while time.monotonic() - start < 5:
            peer.equal("a lively connection", answered(lively, 5), True)
            if descriptors_of_peers(broker) <= 1:
                break
        peer.wait_until("all but the lively one are closed", lambda: answered(lively, 5) and descriptors_of_peers(broker) <= 1, 20)
        for one in (deaf, waiting, lively):
            one.close()


def descriptors_of_peers(broker):
    """Sockets of the broker but the listening ones."""
    count = 0
    port = int(broker.bootstrap.rsplit(":", 1)[1])
    inodes = set()
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{broker.server.process.pid}/net/{name}", encoding="ascii") as table:
            for line in table.readlines()[1:]:
                words = line.split()
                if int(words[1].rsplit(":", 1)[1], 16) == port and words[3] != "0A":
                    inodes.add(words[9])
    for entry in pathlib.Path(f"/proc/{broker.server.process.pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            count += 1
    return count


@peer.check("connections/never_reads")
def never_reads(context):
    """Clients that ask for much and read nothing: memory stays bounded, others are served."""
    with broker_with(context, "deaf") as broker:
        with broker.client() as client:
            client.create_topic("large", 500)
            peer.wait_until("it has leaders", lambda: client.metadata(["large"])[1]["large"] == (0, 500))
            client.create_topic("data")
            peer.wait_until("it has a leader", lambda: client.metadata(["data"])[1]["data"] == (0, 1))
            payload = records.batch([b"x" * 400_000])
            for _ in range(20):
                peer.equal("producing", records.produce(client, "data", payload)[0], 0)
            before = status_of(broker, "VmRSS")
            body = struct.pack(">hhih", wire.METADATA, 1, 1, 0) + struct.pack(">i", 1) + wire.text("large")
            metadata = struct.pack(">i", len(body)) + body
            body = struct.pack(">hhih", records.FETCH, 4, 1, 0) + records.fetch_body("data", max_bytes=50 << 20)
            fetch = struct.pack(">i", len(body)) + body
            deaf = [connect(broker) for _ in range(60)]
            for number, one in enumerate(deaf):
                one.setblocking(False)
                try:
                    for _ in range(1000):
                        one.sendall((metadata if number % 2 else fetch) * 20)
                except BlockingIOError:
                    pass
            start = time.monotonic()
            for _ in range(200):
                client.metadata(["data"])
            took = time.monotonic() - start
            grown = (status_of(broker, "VmRSS") - before) // 1024
            peer.expect(grown < 300, f"60 clients that do not read: the broker grew by {grown} MB")
            peer.expect(took < 10, f"200 requests of another client took {took:.1f} s")
            for one in deaf:
                one.close()
            peer.wait_until("their connections are gone", lambda: descriptors_of_peers(broker) <= 1)
            return f"the broker grew by {grown} MB"


@peer.check("connections/pipelined")
def pipelined(context):
    """More requests at once than queued.max.request.bytes allows, in one connection and in many: all are served, in order."""
    limit = 2 << 20
    with broker_with(context, "pipelined", queued_max_request_bytes=limit, socket_request_max_bytes=limit, klamm_request_memory_max_bytes=limit) as broker:
        with broker.client() as client:
            client.create_topic("piped")
            peer.wait_until("it has a leader", lambda: client.metadata(["piped"])[1]["piped"] == (0, 1))
            before = status_of(broker, "VmRSS")
            number = 0
            connections = [connect(broker) for _ in range(8)]
            wanted = []
            for one in connections:
                burst = b""
                for size in [300_000] * 6 + [1000] * 100 + [900_000] * 2:
                    body = struct.pack(">hhih", records.PRODUCE, 3, number, 0) + records.produce_body("piped", records.batch([b"p" * size]))
                    burst += struct.pack(">i", len(body)) + body
                    number += 1
                wanted.append(burst)
            position = [0] * len(connections)
            answers = [b""] * len(connections)
            deadline = time.monotonic() + 60
            for one in connections:
                one.setblocking(False)
            while any(len(answer) < 108 * PRODUCE_ANSWER for answer in answers):
                peer.expect(time.monotonic() < deadline, f"answers so far: {[len(answer) for answer in answers]}")
                for index, one in enumerate(connections):
                    with contextlib.suppress(BlockingIOError):
                        position[index] += one.send(wanted[index][position[index]:position[index] + 200_000])
                    with contextlib.suppress(BlockingIOError):
                        piece = one.recv(65536)
                        peer.expect(piece, "a connection was closed")
                        answers[index] += piece
            grown = (status_of(broker, "VmRSS") - before) // 1024
            for index, answer in enumerate(answers):
                reader, ids, errors = wire.Reader(answer), [], set()
                while reader.at < len(answer):
                    end = reader.at + 4 + struct.unpack_from(">i", answer, reader.at)[0]
                    reader.at += 4
                    ids.append(reader.take("i"))
                    errors.add(records.produced(reader)[0])
                    reader.at = end
                peer.equal("order of the answers", ids, list(range(index * 108, (index + 1) * 108)))
                peer.equal("their errors", errors, {0})
            peer.equal("records", client.offset("piped"), number)
            oversize = connect(broker)
            oversize.sendall(struct.pack(">i", limit + 1) + b"x" * 100)
            peer.expect(closed_after(oversize, 5) < 5, "a frame over socket.request.max.bytes")
            for one in connections:
                one.close()
            return f"{number} requests, {sum(map(len, wanted)) >> 20} MB through {limit >> 20} MB; the broker grew by {grown} MB"


@peer.check("connections/half_sent")
def half_sent(context):
    """Large requests that are announced and never sent do not keep others from being served."""
    limit = 4 << 20
    with broker_with(context, "half", socket_request_max_bytes=limit, klamm_request_memory_max_bytes=2 * limit) as broker:
        with broker.client() as client:
            client.create_topic("through")
            peer.wait_until("it has a leader", lambda: client.metadata(["through"])[1]["through"] == (0, 1))
            holding = [connect(broker) for _ in range(20)]
            for one in holding:
                one.sendall(struct.pack(">i", limit - 10) + b"x" * 20)
            peer.equal("a small request", records.produce(client, "through", records.batch([b"small"]))[0], 0)
            client.socket.settimeout(40)
            start = time.monotonic()
            peer.equal("a large request", records.produce(client, "through", records.batch([b"L" * 900_000]))[0], 0)
            took = time.monotonic() - start
            for one in holding:
                one.close()
            return f"a large request waited {took:.1f} s"


@peer.check("connections/stop_with_waiting_clients", timeout=60)
def stop_with_waiting_clients(context):
    """A stop in order does not wait for clients that wait for data."""
    with broker_with(context, "stop") as broker:
        with broker.client() as client:
            client.create_topic("empty")
            peer.wait_until("it has a leader", lambda: client.metadata(["empty"])[1]["empty"] == (0, 1))
        waiting = [connect(broker) for _ in range(20)]
        body = struct.pack(">hhih", records.FETCH, 4, 1, 0) + records.fetch_body("empty", max_wait_ms=600_000)
        for one in waiting:
            one.sendall(struct.pack(">i", len(body)) + body)
        for one in waiting[:5]:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
        start = time.monotonic()
        broker.stop()
        took = time.monotonic() - start
        peer.expect(took < 10, f"stopping took {took:.1f} s")
        for one in waiting:
            one.close()


def many_connections(broker):
    """(seconds to open, MB and descriptors while they are open)"""
    host, port = broker.bootstrap.rsplit(":", 1)
    start = time.monotonic()
    with subprocess.Popen([sys.executable, str(peer.HERE / "many_connections.py"), host, port, str(MANY)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as crowd:
        try:
            peer.equal("the crowd's first word", crowd.stdout.readline(), f"open {MANY}\n")
            took = time.monotonic() - start
            with broker.client() as client:
                peer.equal("another client", len(client.metadata()[0]), 1)
            crowd.stdin.write("\n")
            crowd.stdin.flush()
            peer.equal("the crowd's second word", crowd.stdout.readline(), f"served {MANY}\n")
            during = status_of(broker, "VmRSS"), descriptors(broker)
        finally:
            crowd.stdin.close()
            crowd.wait(30)
    peer.equal("the crowd's exit status", crowd.returncode, 0)
    return took, *during


@peer.check("connections/ten_thousand", timeout=240)
def ten_thousand(context):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < MANY + 200:
        raise peer.Skip(f"the hard limit of descriptors is {hard}")
    with broker_with(context, "many", LowLimit(context.subject)) as broker:
        with broker.client() as bystander:
            bystander.create_topic("kept")
            before = status_of(broker, "VmRSS"), descriptors(broker)
            took, rss, open_files = many_connections(broker)
            peer.expect(open_files > MANY, f"only {open_files} descriptors")
            peer.wait_until("descriptors are given back", lambda: descriptors(broker) <= before[1] + 8)
            after_first = status_of(broker, "VmRSS")
            _, second, _ = many_connections(broker)
            peer.wait_until("descriptors are given back again", lambda: descriptors(broker) <= before[1] + 8)
            after = status_of(broker, "VmRSS")
            peer.equal("the old connection", len(bystander.metadata()[0]), 1)
        words = (f"opened in {took:.1f} s; resident {before[0] >> 10} MB before, {rss >> 10} with all, {after_first >> 10} after, "
                 f"{second >> 10} with all again, {after >> 10} after")
        if context.subject.name == "klamm":
            peer.expect(rss - before[0] < 120 << 10 and second - rss < 8 << 10 and after - before[0] < 32 << 10, words)
        return words
