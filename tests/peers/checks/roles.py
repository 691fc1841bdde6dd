"""A node of one role beside one of the other program: a broker joins a controller, serves, and leaves in order."""
import peer
import wire

CLUSTER = "AAAAAAAAQUCAAAAAAAAAAQ"
COMMON = {"controller.listener.names": "CONTROLLER", "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
          "offsets.topic.replication.factor": "1"}


class Node:
    def __init__(self, program, folder, **properties):
        self.program, self.folder = program, folder
        folder.mkdir(parents=True)
        self.file = folder / "server.properties"
        settings = {**COMMON, "log.dirs": str(folder / "data"), **{key.replace("_", "."): str(value) for key, value in properties.items()}}
        self.file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
        self.server = None

    def start(self, *format_words):
        peer.run(self.program.command("storage", "format", "-t", CLUSTER, "-c", str(self.file), *format_words))
        self.server = peer.Server(self.program.command("server", str(self.file)), self.folder / "log", cwd=self.folder)

    def alive(self):
        peer.expect(self.server.alive(), f"{self.program.name} ended with {self.server.process.returncode}: {self.server.tail()}")
        return True


def join(context, controller_program, broker_program):
    controller_port, broker_port = peer.free_ports(2)
    bootstrap = f"127.0.0.1:{broker_port}"
    folder = context.path("roles")
    quorum = {"controller_quorum_bootstrap_servers": f"127.0.0.1:{controller_port}"}
    controller = Node(controller_program, folder / "controller", process_roles="controller", node_id=1,
                      listeners=f"CONTROLLER://127.0.0.1:{controller_port}", **quorum)
    broker = Node(broker_program, folder / "broker", process_roles="broker", node_id=2, listeners=f"PLAINTEXT://{bootstrap}", **quorum)
    try:
        controller.start("--standalone")
        broker.start()
        peer.wait_until(f"the broker answers at {bootstrap}", lambda: controller.alive() and broker.alive() and wire.answers(bootstrap), 40)
        with wire.Client(bootstrap) as client:
            client.create_topic("joined", 3)
            peer.wait_until("its partitions have leaders", lambda: client.metadata(["joined"])[1]["joined"] == (0, 3))
        records = b"".join(b"%d\n" % number for number in range(1000))
        peer.run(["kcat", "-b", bootstrap, "-t", "joined", "-p", "1", "-P"], stdin=records)
        read = peer.run(["kcat", "-b", bootstrap, "-t", "joined", "-p", "1", "-C", "-e", "-q"])
        peer.equal("records", read.out, records)
        status = broker.server.stop()
        peer.expect(status in (0, 143), f"the broker ended with {status}: {broker.server.tail()}")
        broker.server = None
        controller.alive()
    finally:
        for node in (broker, controller):
            if node.server is not None:
                node.server.kill()
    return "registered, served 1000 records, left"


@peer.check("roles/broker-under-kafka", timeout=60)
def broker_under_kafka(context):
    return join(context, context.reference, context.subject)


@peer.check("roles/kafka-broker-under", timeout=60)
def kafka_broker_under(context):
    return join(context, context.subject, context.reference)


@peer.check("roles/apart", timeout=60)
def apart(context):
    """Both of the program under test."""
    return join(context, context.subject, context.subject)
