"""A single-node KRaft cluster on free ports, of either program: the same server.properties for both."""
import base64
import pathlib
import uuid

import peer
import wire

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
}


class Broker:
    """`program` has command(tool, argument...). The data directory outlives the server: start() may come again."""

    def __init__(self, program, folder, **properties):
        self.program = program
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.server = None
        port, controller = peer.free_ports(2)
        self.bootstrap = f"127.0.0.1:{port}"
        self.properties = {
            **PROPERTIES,
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "log.dirs": str(self.data),
            **{key.replace("_", "."): str(value) for key, value in properties.items()},
        }
        self.file = self.folder / "server.properties"
        self.file.write_text("".join(f"{key}={value}\n" for key, value in self.properties.items()), encoding="utf-8")

    def format(self):
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "k")
        return peer.run(self.program.command("storage", "format", "-t", cluster, "-c", str(self.file), "--standalone"))

    def start(self, program=None):
        """Starts the server, of another program if one is given, and waits until it answers."""
        self.program = program or self.program
        if not (self.data / "meta.properties").exists():
            self.format()
        server = peer.Server(self.program.command("server", str(self.file)), self.folder / f"{self.program.name}.log", cwd=self.folder)
        self.server = server

        def ready():
            peer.expect(server.alive(), f"{self.program.name} ended with {server.process.returncode} while starting: {server.tail()}")
            return wire.answers(self.bootstrap)

        try:
            peer.wait_until(f"{self.program.name} answers at {self.bootstrap}", ready, 60)
        except BaseException:
            server.kill()
            raise
        return self

    def stop(self):
        """Stops it in order; Failure when it ends by anything but SIGTERM's status or success."""
        if self.server is None:
            return
        server, self.server = self.server, None
        died = not server.alive()
        status = server.stop()
        peer.expect(not died and status in (0, 143), f"{self.program.name} ended with {status}{' by itself' if died else ''}: {server.tail()}")

    def kill(self):
        if self.server is not None:
            self.server.kill()
            self.server = None

    def client(self):
        return wire.Client(self.bootstrap)

    def segments(self, topic, partition=0, end=".log"):
        return sorted((self.data / f"{topic}-{partition}").glob(f"*{end}"))
