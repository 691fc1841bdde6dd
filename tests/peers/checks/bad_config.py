"""A server that cannot start says why in one line, and its exit status is not 0. Nothing in its directories changes."""
import hashlib
import os
import re
import socket

import peer


class Case:
    """A formatted broker of its own whose properties or directory are then spoilt."""

    def __init__(self, context, name):
        self.context = context
        self.broker = context.own_broker(name)
        self.broker.format()

    def write(self, **changes):
        """Properties with changes; None takes a key away."""
        wanted = {**self.broker.properties, **{key.replace("_", "."): value for key, value in changes.items()}}
        self.broker.file.write_text("".join(f"{key}={value}\n" for key, value in wanted.items() if value is not None), encoding="utf-8")

    def refused(self, *words, file=None, changes_nothing=True):
        """Starts it; the one line that it says must have all the words."""
        before = self.content()
        ran = peer.run(self.context.subject.command("server", str(file or self.broker.file)), status=None, timeout=40)
        peer.expect(ran.status not in (0, None) and ran.status > 0, f"exit status {ran.status}: {ran.errors}")
        if self.context.subject.name != "klamm":
            return
        lines = [line for line in ran.errors.splitlines() if line and not re.match(r"\[[-0-9 :,]+\] INFO ", line)]
        peer.equal("lines on stdout", ran.text, "")
        peer.expect(len(lines) == 1 and lines[0].startswith("klamm server: "), f"not one line: {ran.errors!r}")
        for word in words:
            peer.expect(str(word) in lines[0], f"{word!r} is not in {lines[0]!r}")
        if changes_nothing:
            peer.equal("files afterwards", self.content(), before)

    def content(self):
        """{path: checksum} of its folder; the lock file's content is nobody's business."""
        files = (path for path in sorted(self.broker.folder.rglob("*")) if path.is_file() and path.name != ".lock")
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@peer.check("bad_config/values")
def values(context):
    case = Case(context, "values")
    for key, value, words in (
            ("num.partitions", "abc", ("num.partitions", "abc")),
            ("num.partitions", "0", ("num.partitions", "0")),
            ("message.max.bytes", "-5", ("message.max.bytes", "-5")),
            ("log.retention.ms", "99999999999999999999", ("log.retention.ms",)),
            ("compression.type", "rar", ("compression.type", "rar")),
            ("auto.create.topics.enable", "maybe", ("auto.create.topics.enable", "maybe")),
            ("node.id", "", ("node.id",)),
            ("node.id", "-3", ("node.id", "-3")),
            ("process.roles", "broker,king", ("process.roles", "king")),
            ("process.roles", "broker", ("CONTROLLER",)),
            ("listeners", "PLAINTEXT://127.0.0.1:notaport,CONTROLLER://127.0.0.1:1", ("listeners", "notaport")),
            ("listeners", "PLAINTEXT://127.0.0.1:70000,CONTROLLER://127.0.0.1:1", ("70000",)),
            ("listeners", "ODD://127.0.0.1:1,CONTROLLER://127.0.0.1:2", ("ODD",)),
            ("controller.listener.names", "ELSEWHERE", ("ELSEWHERE",)),
            ("max.connections.per.ip.overrides", "here", ("max.connections.per.ip.overrides",)),
            ("authorizer.class.name", "no.such.Authorizer", ("authorizer.class.name", "no.such.Authorizer")),
            ("create.topic.policy.class.name", "no.such.Policy", ("create.topic.policy.class.name", "no.such.Policy")),
    ):
        case.write(**{key: value})
        try:
            case.refused(*words)
        except peer.Failure as failure:
            raise peer.Failure(f"{key}={value}: {failure}") from None


@peer.check("bad_config/keys")
def keys(context):
    """klamm refuses a key that nobody knows, naming the nearest one; Kafka passes over it."""
    if context.subject.name != "klamm":
        raise peer.Skip("Kafka passes over unknown keys")
    case = Case(context, "keys")
    case.write(num_partitons="3")
    case.refused("num.partitons", "num.partitions")
    case.write(zookeeper_connect="localhost:2181")
    case.refused("zookeeper.connect")
    case.write(process_roles=None)
    case.refused("process.roles")


@peer.check("bad_config/files")
def files(context):
    case = Case(context, "files")
    case.refused("nowhere.properties", file=case.broker.folder / "nowhere.properties")
    case.refused(case.broker.folder, file=case.broker.folder)
    case.broker.file.write_bytes(b"num.partitions=\\u00zz\n")
    case.refused(case.broker.file)
    if os.geteuid() != 0:  # root reads everything
        case.write()
        case.broker.file.chmod(0)
        case.refused(case.broker.file)


@peer.check("bad_config/directories")
def directories(context):
    case = Case(context, "directories")
    missing = case.broker.folder / "missing"
    case.write(log_dirs=missing)
    case.refused(missing, "storage format")
    a_file = context.file("no-directory", b"x")
    case.write(log_dirs=a_file)
    case.refused(a_file)
    case.write(log_dirs=a_file / "below")
    case.refused(a_file)
    case.write(node_id="7")
    case.refused(case.broker.data, "node 1", "7")

    other = Case(context, "other-cluster")
    case.write(log_dirs=f"{case.broker.data},{other.broker.data}")
    case.refused("cluster", other.broker.data)

    meta = case.broker.data / "meta.properties"
    case.write()
    good = meta.read_text(encoding="utf-8")
    for what, spoilt in (("version 9", good.replace("version=1", "version=9")), ("no cluster id", good.replace("cluster.id=", "cluster=")),
                         ("no words", "\0\0\0\0"), ("empty", ""), ("a node that is no number", good.replace("node.id=1", "node.id=x"))):
        meta.write_text(spoilt, encoding="utf-8")
        try:
            case.refused("meta.properties")
        except peer.Failure as failure:
            raise peer.Failure(f"meta.properties with {what}: {failure}") from None
    meta.write_text(good, encoding="utf-8")
    stranger = case.broker.data / "not-a-partition-at-all"
    stranger.mkdir()
    case.refused(stranger, changes_nothing=False)
    stranger.rmdir()
    case.broker.start()  # and with everything right again, it starts
    case.broker.stop()


@peer.check("bad_config/port_in_use")
def port_in_use(context):
    case = Case(context, "port")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        controller = case.broker.properties["controller.quorum.bootstrap.servers"]
        case.write(listeners=f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://{controller}")
        case.refused(f"127.0.0.1:{port}", "in use")
    case.write(listeners=f"PLAINTEXT://no-such-host.invalid:9092,CONTROLLER://{controller}")
    case.refused("no-such-host.invalid")


@peer.check("bad_config/second_broker")
def second_broker(context):
    """A second broker on the same directory ends at once; the first is not disturbed."""
    if context.subject.name != "klamm":
        raise peer.Skip("a second Kafka spoils the first one's metadata log")
    case = Case(context, "second")
    case.broker.start()
    try:
        ports = peer.free_ports(2)
        second = case.broker.folder / "second.properties"
        properties = {**case.broker.properties, "listeners": f"PLAINTEXT://127.0.0.1:{ports[0]},CONTROLLER://127.0.0.1:{ports[1]}"}
        second.write_text("".join(f"{key}={value}\n" for key, value in properties.items()), encoding="utf-8")
        case.refused(case.broker.data, "in use", file=second, changes_nothing=False)
        with case.broker.client() as client:
            client.create_topic("still-served")
        case.broker.stop()
    finally:
        case.broker.kill()


@peer.check("bad_config/formatted_twice")
def formatted_twice(context):
    """storage format does not touch a formatted directory."""
    case = Case(context, "twice")
    before = case.content()
    ran = peer.run(context.subject.command("storage", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", str(case.broker.file), "--standalone"), status=None)
    peer.expect(ran.status != 0 and re.search("already formatted|Invalid cluster.id", ran.errors + ran.text), f"{ran.status}: {ran.errors} {ran.text}")
    peer.equal("files", case.content(), before)
