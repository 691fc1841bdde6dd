"""Rounds on a cluster of three nodes, each broker and controller, in a network namespace of its own with a disk of its own.

The verifiable-producers of klamm and of Apache Kafka write with acks=all and min.insync.replicas=2, both idempotent, and klamm's
console consumers read along, while nodes are killed, stopped, paused, cut off, deaf in one direction or out of room, up to two at a
time. When all is healed every partition must come to be in sync, whatever was acknowledged must be there once, in order and at
its offset, each reader must have seen just the log, and the nodes' files must be equal byte for byte.
Where namespaces may not be made the nodes are on loopback addresses, and their links are left alone; without Java klamm's
producer is alone.
"""
import errno
import importlib.util
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

PEERS = pathlib.Path(__file__).resolve().parent.parent / "peers"
sys.path.insert(0, str(PEERS))

import disks  # noqa: E402
import kafka  # noqa: E402
import load  # noqa: E402
import peer  # noqa: E402
from klamm import Klamm  # noqa: E402

_spec = importlib.util.spec_from_file_location("peer_cluster", PEERS / "cluster.py")  # beside tests/chaos/cluster.py
peer_cluster = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(peer_cluster)

NODES = (1, 2, 3)
PATIENCE = 90  # seconds for everything to be well again
RAM_DISK_MB = 96
TOPIC, PARTITIONS = "chaos", 3
SETTINGS = {
    "broker.session.timeout.ms": 3000, "broker.heartbeat.interval.ms": 500, "replica.lag.time.max.ms": 4000,
    "log.segment.bytes": 1 << 20, "log.flush.offset.checkpoint.interval.ms": 1000, "replica.high.watermark.checkpoint.interval.ms": 500,
    "controller.quorum.request.timeout.ms": 1000, "auto.create.topics.enable": "false",
}


class Network:
    """A bridge in this namespace, and a namespace with one link to it for each node; peer.Skip where they may not be made."""

    def __init__(self):
        self.tag = f"kc{os.getpid() % 100_000}"
        self.prefix = f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
        self.neighbours = {}
        try:
            self.ip("link", "add", self.tag, "type", "bridge")
            self.ip("addr", "add", f"{self.prefix}.254/24", "dev", self.tag)
            self.ip("link", "set", self.tag, "up")
            for node in NODES:
                self.join(node)
        except (OSError, subprocess.SubprocessError) as refused:
            self.end()
            raise peer.Skip(f"namespaces may not be made here ({refused})") from None

    def join(self, node):
        self.ip("netns", "add", self.namespace(node))
        self.ip("link", "add", self.link(node), "type", "veth", "peer", "name", "eth0", "netns", self.namespace(node))
        self.ip("link", "set", self.link(node), "master", self.tag, "up")
        self.inside(node, "link", "set", "lo", "up")
        self.inside(node, "addr", "add", f"{self.address(node)}/24", "dev", "eth0")
        self.inside(node, "link", "set", "eth0", "up")

    def namespace(self, node):
        return f"{self.tag}-{node}"

    def link(self, node):
        return f"{self.tag}n{node}"

    def address(self, node):
        return f"{self.prefix}.{node}"

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *map(str, words)], check=True, capture_output=True, timeout=10)

    def inside(self, node, *words):
        self.ip("-n", self.namespace(node), *words)

    def command(self, node, argv):
        return ["ip", "netns", "exec", self.namespace(node), *argv]

    def cut(self, node):
        self.ip("link", "set", self.link(node), "down")

    def join_again(self, node):
        self.ip("link", "set", self.link(node), "up")

    def lose(self, source, target):
        """What `source` sends to `target` goes to a card that nobody has; the other direction is as before."""
        self.inside(source, "neigh", "replace", self.address(target), "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0")

    def find(self, source, target):
        self.inside(source, "neigh", "del", self.address(target), "dev", "eth0")

    def end(self):
        # The links first: a namespace goes some time after its name, when the last of its sockets has gone.
        for words in (*(("link", "del", self.link(node)) for node in NODES), *(("netns", "del", self.namespace(node)) for node in NODES),
                      ("link", "del", self.tag)):
            subprocess.run(["ip", *words], check=False, capture_output=True, timeout=10)


class Inside(Klamm):
    """klamm, whose server runs in a node's namespace."""

    def __init__(self, network, node):
        super().__init__()
        self.network, self.node = network, node

    def command(self, tool, *arguments):
        argv = super().command(tool, *arguments)
        return self.network.command(self.node, argv) if tool == "server" else argv


class Round:
    def __init__(self, name, seed, seconds, folder, network, faults, foreign):
        self.name, self.seconds, self.folder, self.network = name, seconds, folder, network
        self.faults, self.foreign = faults, foreign
        self.draw = random.Random(f"{seed}/{name}")
        self.done, self.clock = {}, threading.Event()
        self.disks, self.senders, self.readers = {}, [], []
        self.cluster = peer_cluster.Cluster(folder, quorum="static", **{key.replace(".", "_"): value for key, value in SETTINGS.items()})
        for number in NODES:
            node = self.cluster.add(number, "broker,controller", Inside(network, number) if network else Klamm())
            if network:
                node.host = network.address(number)
                node.address, node.controller = f"{node.host}:9092", f"{node.host}:9093"
        if "fill" in faults:
            for number, node in self.cluster.nodes.items():
                self.disks[number] = disks.RamDisk(folder, RAM_DISK_MB, f"disk-{number}")
                node.data = self.disks[number].path / "data"

    def wait(self, seconds):
        self.clock.wait(seconds)  # nobody sets it: a pause

    # -- faults: each begins, and returns what heals it

    def kill(self, node):
        node.kill()
        return node.launch

    def stop(self, node):
        node.stop()
        return node.launch

    def pause(self, node):
        node.pause()
        return node.resume

    def cut(self, node):
        self.network.cut(node.number)
        return lambda: self.network.join_again(node.number)

    def one_way(self, node):
        other = self.draw.choice([number for number in NODES if number != node.number])
        self.network.lose(node.number, other)
        return lambda: self.network.find(node.number, other)

    def fill(self, node):
        disk = self.disks[node.number]
        try:
            disk.fill()
        except peer.Failure as full:  # the node took the last byte at the same time
            peer.expect(str(errno.ENOSPC) in str(full), str(full))

        def heal():
            disk.filler.unlink()
            if node.server is not None and not node.server.alive():
                self.done["ends"] = self.done.get("ends", 0) + 1
                node.kill()
                node.launch()
        return heal

    def begin(self):
        self.cluster.start()
        self.cluster.create_topic(TOPIC, PARTITIONS, min_insync_replicas=2)
        program = Klamm()
        self.senders = [load.Sender(self.cluster, TOPIC, one, number, rate=500) for number, one in enumerate([program, *self.foreign], 1)]
        self.readers = [load.Reader(self.cluster, TOPIC, partition, program) for partition in range(PARTITIONS)]
        for sender in self.senders:
            sender.wait_more()

    def trouble(self):
        """One fault, or two at two nodes, for a time that may be longer than a session."""
        nodes = self.draw.sample(list(self.cluster.nodes.values()), 2 if self.draw.random() < 0.3 else 1)
        heals = []
        for node in nodes:
            fault = self.draw.choice(self.faults)
            print(f"    {time.strftime('%H:%M:%S')} {self.name}: {fault} of node {node.number}", file=sys.stderr) if VERBOSE else None
            heals.append(getattr(self, fault)(node))
            self.done[fault] = self.done.get(fault, 0) + 1
            self.wait(self.draw.uniform(0, 0.5))
        self.wait(self.draw.choice((self.draw.uniform(0.1, 1), self.draw.uniform(1, 6))))
        for heal in heals:
            heal()
        self.wait(self.draw.uniform(0.1, 2))
        for node in nodes:
            node.wait_ready(PATIENCE)

    def run(self):
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            self.trouble()
        healed = time.monotonic()
        self.cluster.wait_in_sync(TOPIC, timeout=PATIENCE)
        well = time.monotonic() - healed
        for sender in self.senders:
            sender.wait_more(timeout=PATIENCE)
        word = load.check(self.cluster, TOPIC, self.senders, self.readers)
        self.cluster.wait_in_sync(TOPIC, timeout=PATIENCE)
        self.cluster.close()
        self.compare_files()
        faults = ", ".join(f"{count} {fault}" for fault, count in sorted(self.done.items()))
        return f"{word}; {faults}; in sync {well:.1f} s after the last"

    def compare_files(self):
        """No record is on its way any more: the replicas' logs are equal up to the high watermark, which is their end."""
        for partition in range(PARTITIONS):
            found = {}
            for number, node in self.cluster.nodes.items():
                segments = sorted((node.data / f"{TOPIC}-{partition}").glob("*.log"))
                peer.expect(segments and int(segments[0].stem) == 0, f"node {number} has of {TOPIC}-{partition}: {segments}")
                found[number] = peer.sha256(b"".join(segment.read_bytes() for segment in segments))
            peer.expect(len(set(found.values())) == 1, f"the nodes' files of {TOPIC}-{partition} differ: {found}")

    def end(self):
        for one in self.senders:
            one.kill()
        for one in self.readers:
            one.stop()
        self.cluster.kill()
        for disk in self.disks.values():
            disk.end()


VERBOSE = bool(os.environ.get("CHAOS_VERBOSE"))
LINKS = ("cut", "one_way")
ROUNDS = {
    "nodes_kill": ("kill", "kill", "stop"),
    "nodes_pause": ("pause",),
    "nodes_links": LINKS,
    "nodes_disk": ("fill", "fill", "kill"),
    "nodes_everything": ("kill", "kill", "stop", "pause", "fill", *LINKS),
}


def run_round(name, seed, seconds, folder):
    without, network, foreign = "", None, []
    try:
        kafka.libs()
        foreign = [kafka.Kafka()]
    except peer.Skip as skip:
        without += f"; without Kafka's producer: {skip}"
    try:
        network = Network()
    except peer.Skip as skip:
        without += f"; no links were cut: {skip}"
    faults = tuple(fault for fault in ROUNDS[name] if network or fault not in LINKS)
    try:
        if not faults:
            raise peer.Skip("namespaces may not be made here")
        one = Round(name, seed, seconds, folder, network, faults, foreign)
        try:
            one.begin()
            return one.run() + without
        finally:
            one.end()
    finally:
        if network:
            network.end()
