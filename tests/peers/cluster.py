"""A KRaft cluster of any number of nodes, each Apache Kafka or klamm, each controller, broker or both.

    cluster = Cluster(folder)                       # quorum="static", "standalone" or "initial"
    cluster.add(1, "controller", kafka)             # a program has command(tool, argument...), as Kafka() and Klamm()
    cluster.add(2, "broker", klamm)
    cluster.start()                                 # formats what is not formatted, starts all, waits until all are there
    ...
    cluster.nodes[2].kill(); cluster.nodes[2].start(kafka)    # the other program on the same directory
    cluster.close()

Node n listens at 127.0.0.(10 + n), on ports below those that the system gives to clients. Nothing sleeps: what takes its
time is waited for by a condition. `static` sets controller.quorum.voters; `standalone` formats the first controller with
--standalone and the others with --no-initial-controllers (they stay observers until they are added as voters);
`initial` formats all controllers with --initial-controllers.
"""
import base64
import itertools
import os
import pathlib
import signal
import socket
import struct
import uuid

import cluster_wire
import peer

# Several JVMs on one machine; a heap of this size does for some thousand partitions.
HEAP = {"-Xms128m": "-Xms64m", "-Xmx768m": "-Xmx256m"}
COMMON = {
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CLIENT:PLAINTEXT",
    "num.partitions": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "8388608",
}
FIRST_PORT, LAST_PORT = 16000, 32000
_ports = itertools.count(FIRST_PORT + os.getpid() * 61 % (LAST_PORT - FIRST_PORT))


def free_port(host):
    for number in _ports:
        port = FIRST_PORT + (number - FIRST_PORT) % (LAST_PORT - FIRST_PORT)
        with socket.socket() as one:
            try:
                one.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("the counter is endless")


def new_id():
    """A random id as Kafka writes it, without a dash that could stand first."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "k")


class Node:
    """One process and its directory; start() may come again after stop() or kill(), with another program."""

    def __init__(self, cluster, number, roles, program, properties):
        self.cluster, self.number, self.roles, self.program = cluster, number, roles, program
        self.folder = cluster.folder / f"node-{number}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.directory_id = new_id()
        self.host = f"127.0.0.{10 + number}"
        self.server = None
        self.paused = False
        self.proxy = self.client_address = None
        self.own = {key.replace("_", "."): str(value) for key, value in properties.items()}
        self.address = f"{self.host}:{free_port(self.host)}" if "broker" in roles else None
        self.controller = f"{self.host}:{free_port(self.host)}" if "controller" in roles else None

    def behind(self, proxy):
        """Clients are sent through this proxy from the next start on; brokers and controllers talk as before."""
        self.proxy = proxy
        self.client_address = f"{self.host}:{free_port(self.host)}"
        proxy.target = self.client_address
        return proxy

    def is_broker(self):
        return self.address is not None

    def is_controller(self):
        return self.controller is not None

    def properties(self):
        listeners = [f"PLAINTEXT://{self.address}"] if self.address else []
        listeners += [f"CONTROLLER://{self.controller}"] if self.controller else []
        found = {**COMMON, "process.roles": self.roles, "node.id": self.number, "listeners": ",".join(listeners), "log.dirs": self.data,
                 **self.cluster.quorum_properties(), **self.cluster.replication()}
        if self.address:
            found["inter.broker.listener.name"] = "PLAINTEXT"
        if self.proxy:
            found["advertised.listeners"] = f"CLIENT://{self.proxy.address},PLAINTEXT://{self.address}"
            found["listeners"] += f",CLIENT://{self.client_address}"
            if self.controller:
                found["advertised.listeners"] += f",CONTROLLER://{self.controller}"
        return {**found, **self.cluster.common, **self.own}

    def write_properties(self):
        path = self.folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in self.properties().items()), encoding="utf-8")
        return path

    def format(self, program=None):
        words = ["format", "-t", self.cluster.id, "-c", self.write_properties(), *self.cluster.format_words(self)]
        return peer.run((program or self.program).command("storage", *words))

    def launch(self, program=None):
        """Starts the process and does not wait for it."""
        peer.expect(self.server is None, f"node {self.number} runs already")
        self.program = program or self.program
        if not (self.data / "meta.properties").exists():
            self.format()
        command = [HEAP.get(word, word) for word in self.program.command("server", str(self.write_properties()))]
        self.server = peer.Server(command, self.folder / f"{self.program.name}.log", cwd=self.folder)
        return self

    def start(self, program=None, timeout=90):
        self.launch(program)
        self.wait_ready(timeout)
        return self

    def ready(self):
        """A controller answers; a broker answers, and is not fenced."""
        server = self.server
        peer.expect(server is not None and server.alive(),
                    f"node {self.number} ({self.program.name}) ended while starting: {server.tail() if server else 'not started'}")
        try:
            if self.controller:
                with cluster_wire.Client(self.controller, 5) as client:
                    client.api_versions()
            if self.address:
                with cluster_wire.Client(self.address, 5) as client:
                    return self.number in client.describe([])[0]
        except (OSError, struct.error):
            return False
        return True

    def wait_ready(self, timeout=90):
        peer.wait_until(f"node {self.number} ({self.program.name}) is ready", self.ready, timeout)

    def signal(self, which):
        self.server.process.send_signal(which)

    def pause(self):
        """SIGSTOP."""
        self.signal(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        """SIGCONT."""
        self.signal(signal.SIGCONT)
        self.paused = False

    def stop(self, timeout=60):
        """SIGTERM; Failure when it ends by anything but that signal's status or success, or had ended by itself."""
        if self.server is None:
            return
        if self.paused:
            self.resume()
        server, self.server = self.server, None
        died = not server.alive()
        status = server.stop(timeout)
        peer.expect(not died and status in (0, 143), f"node {self.number} ({self.program.name}) ended with {status}{' by itself' if died else ''}: {server.tail()}")

    def kill(self):
        """SIGKILL."""
        if self.server is not None:
            self.server.kill()
            self.server, self.paused = None, False

    def restart(self, program=None, kill=False, timeout=90):
        """Stops or kills it and starts it again, with another program if one is given, on the same directory."""
        if kill:
            self.kill()
        else:
            self.stop()
        return self.start(program, timeout)

    def running(self):
        return self.server is not None and self.server.alive() and not self.paused

    def client(self):
        return cluster_wire.Client(self.address or self.controller)


class Cluster:
    def __init__(self, folder, quorum="static", **properties):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.quorum_kind = quorum
        self.common = {key.replace("_", "."): str(value) for key, value in properties.items()}
        self.nodes = {}
        self.id = new_id()

    def add(self, number, roles, program, **properties):
        """A node, not yet started. All controllers of the first quorum are added before any node is started."""
        self.nodes[number] = Node(self, number, roles, program, properties)
        return self.nodes[number]

    def controllers(self):
        return [node for node in self.nodes.values() if node.is_controller()]

    def brokers(self):
        return [node for node in self.nodes.values() if node.is_broker()]

    @property
    def bootstrap(self):
        """For clients: through the proxies, where there are any."""
        return ",".join(node.proxy.address if node.proxy else node.address for node in self.brokers())

    @property
    def bootstrap_controllers(self):
        return ",".join(node.controller for node in self.controllers())

    def quorum_properties(self):
        if self.quorum_kind == "static":
            return {"controller.quorum.voters": ",".join(f"{node.number}@{node.controller}" for node in self.controllers())}
        return {"controller.quorum.bootstrap.servers": self.bootstrap_controllers}

    def replication(self):
        factor = max(1, min(3, len(self.brokers())))
        return {"offsets.topic.replication.factor": factor, "transaction.state.log.replication.factor": factor,
                "transaction.state.log.min.isr": max(1, factor - 1), "share.coordinator.state.topic.replication.factor": factor,
                "share.coordinator.state.topic.min.isr": max(1, factor - 1), "default.replication.factor": factor}

    def format_words(self, node):
        if self.quorum_kind == "static":
            return []
        if not node.is_controller():
            return ["--no-initial-controllers"]
        if self.quorum_kind == "initial" and node.directory_id is not None:
            return ["--initial-controllers", ",".join(f"{one.number}@{one.controller}:{one.directory_id}" for one in self.controllers() if one.directory_id)]
        return ["--standalone"] if self.quorum_kind == "standalone" and node is self.controllers()[0] else ["--no-initial-controllers"]

    def start(self, timeout=120):
        """Starts all nodes that do not run, controllers first, and waits until each is ready and brokers know each other."""
        fresh = [node for node in self.nodes.values() if node.server is None]
        for node in sorted(fresh, key=lambda one: not one.is_controller()):
            node.launch()
        for node in fresh:
            node.wait_ready(timeout)
        self.wait_brokers(timeout)
        return self

    def wait_brokers(self, timeout=60):
        """Until every running broker knows every running broker, and no other."""
        running = {node.number for node in self.brokers() if node.running()}

        def agreed():
            for number in running:
                with self.nodes[number].client() as client:
                    if set(client.describe([])[0]) != running:
                        return False
            return True
        peer.wait_until(f"brokers {sorted(running)} know each other", lambda: quietly(agreed), timeout)

    def close(self):
        """Ends all processes: brokers before controllers, each in order. Raises the first Failure after all have ended."""
        wrong = []
        for node in sorted(self.nodes.values(), key=lambda one: one.is_controller()):
            try:
                if node.paused:
                    node.resume()
                node.stop()
            except peer.Failure as failure:
                wrong.append(failure)
        if wrong:
            raise wrong[0]

    def kill(self):
        for node in self.nodes.values():
            node.kill()
            if node.proxy:
                node.proxy.close()

    # -- what the cluster says of itself; each asks the first running broker unless told which

    def client(self, node=None):
        if node is None:
            node = next((one for one in self.brokers() if one.running()), None)
            peer.expect(node is not None, "no broker runs")
        return node.client()

    def partitions(self, topic, node=None):
        """{partition: (leader, replicas, isr)} as that broker knows it; empty if there is no such topic."""
        with self.client(node) as client:
            return client.describe([topic])[1].get(topic, {})

    def quorum(self):
        """As cluster_wire.Client.quorum, of the first controller or broker that answers; None without a leader."""
        for node in self.nodes.values():
            if not node.running():
                continue
            for address in filter(None, (node.controller, node.address)):
                found = quietly(lambda where=address: ask_quorum(where))
                if found:
                    return found
        return None

    def active_controller(self, timeout=30):
        """The node that leads the quorum and runs."""
        def leader():
            found = self.quorum()
            node = self.nodes.get(found[0]) if found else None
            return node if node is not None and node.running() else None
        return peer.wait_until("the quorum has a leader", leader, timeout)

    def create_topic(self, name, partitions=1, replicas=None, assignment=None, **configs):
        """A topic whose partitions are led, with all replicas in sync; spread over the brokers as they are numbered, unless
        `assignment` says it."""
        numbers = sorted(node.number for node in self.brokers())
        replicas = replicas or min(3, len(numbers))
        assignment = assignment or [[numbers[(index + step) % len(numbers)] for step in range(replicas)] for index in range(partitions)]
        with self.client() as client:
            client.create(name, assignment, {key.replace("_", "."): value for key, value in configs.items()})
        self.wait_in_sync(name, assignment)
        return name

    def wait_in_sync(self, topic, assignment=None, timeout=60):
        """Until each partition is led, with every replica in sync; with `assignment`, until its replicas are these."""
        def done():
            found = self.partitions(topic)
            if assignment is not None and [found.get(index, (0, None, 0))[1] for index in range(len(assignment))] != assignment:
                return False
            return bool(found) and all(leader >= 0 and sorted(replicas) == sorted(isr) for leader, replicas, isr in found.values())
        peer.wait_until(f"{topic} is in sync", lambda: quietly(done), timeout)

    def wait_leader(self, topic, partition, leader, timeout=60):
        peer.wait_until(f"{topic}-{partition} is led by {leader}",
                        lambda: quietly(lambda: self.partitions(topic).get(partition, (None,))[0] == leader), timeout)

    def reassign(self, topic, targets, wait=True, timeout=120):
        """Moves partitions to these replicas: {partition: [broker...]}."""
        with self.client() as client:
            ended = client.reassign(topic, targets)
        peer.equal(f"reassignment of {topic}", ended, {partition: (0, None) for partition in targets})
        if wait:
            def done():
                found = self.partitions(topic)
                return all(found[partition][1] == replicas and sorted(found[partition][2]) == sorted(replicas) for partition, replicas in targets.items())
            peer.wait_until(f"{topic} is reassigned", lambda: quietly(done), timeout)

    def move_leader(self, topic, partition, leader, timeout=60):
        """Makes a replica the preferred leader, and elects it."""
        _now, replicas, _isr = self.partitions(topic)[partition]
        self.reassign(topic, {partition: [leader, *(replica for replica in replicas if replica != leader)]}, timeout=timeout)

        def elected():
            with self.client() as client:
                return client.elect(topic, [partition]).get(partition) in (0, 84)
        peer.wait_until(f"{leader} is elected for {topic}-{partition}", lambda: quietly(elected), timeout)
        self.wait_leader(topic, partition, leader, timeout)

    def tool(self, tool, *words, program, controllers=False, **options):
        """A tool of that program with --bootstrap-server, or --bootstrap-controller."""
        return peer.run(program.command(tool, *self.tool_words(tool, words, controllers)), **options)

    def tool_words(self, tool, words, controllers=False):
        """With the address where this tool of Kafka's takes it: `cluster` after its command, the others before."""
        server = ["--bootstrap-controller", self.bootstrap_controllers] if controllers else ["--bootstrap-server", self.bootstrap]
        return [*words[:1], *server, *words[1:]] if tool == "cluster" else [*server, *words]


def ask_quorum(address):
    with cluster_wire.Client(address, 5) as client:
        return client.quorum()


def quietly(condition):
    """The condition's value; None where a broker went away meanwhile."""
    try:
        return condition()
    except (OSError, struct.error, KeyError):
        return None
