"""Clusters of three nodes, each broker and controller, on this machine: replicated throughput and latency, and how long leaders
are away. klamm's own clients against both, with the same settings."""
import json
import resource
import select
import shutil
import time

import cluster as clusters
import peer
from compare.loads import VALUE_BYTES, Load
from compare.stats import process_cpu, status_kb

TARGETS = ["klamm", "klamm_produce", "klamm_latency", "klamm_gap"]
NODES = (1, 2, 3)
# The same on both: how long a node may be silent before it leads no more.
SETTINGS = {"broker_session_timeout_ms": 3000, "broker_heartbeat_interval_ms": 500, "controller_quorum_fetch_timeout_ms": 2000,
            "log_segment_delete_delay_ms": 1000, "min_insync_replicas": 2}
ACKS = {"acks=1": ["acks=1", "enable.idempotence=false"], "acks=all": ["acks=all"]}
MANY, CREATED = 3000, 1000  # partitions
SHUTDOWN_PARTITIONS = 100
CATCH_UP_RECORDS = 4_000_000
TOO_MANY = 1_000_000  # records a second, one by one and read at once: more than three nodes on a few cores take


class Trio:
    def __init__(self, setup, program):
        self.setup, self.quick, self.name = setup, setup.options.quick, program.name
        self.cluster = clusters.Cluster(setup.folder / f"cluster-{program.name}", **SETTINGS)
        for number in NODES:
            self.cluster.add(number, "broker,controller", program)
        self.topics = 0

    def pids(self):
        """Of the servers themselves."""
        return [node.server.process.pid for node in self.cluster.nodes.values()]

    def topic(self, partitions, replicas=3, first=0):
        """A fresh one, its leaders spread over the nodes."""
        self.topics += 1
        assignment = [[NODES[(first + index + step) % 3] for step in range(replicas)] for index in range(partitions)]
        return self.cluster.create_topic(f"bench-{self.topics}", assignment=assignment)

    def delete(self, topic):
        with self.cluster.client() as client:
            client.delete(topic)

    def load(self, program, *words):
        return Load([self.setup.make(program), self.cluster.bootstrap, *words])

    # -- what is measured

    def produce(self, acks, count, topic=None):
        """Records a second into a topic of three partitions."""
        own = topic is None
        topic = topic or self.topic(3)
        got = self.load("klamm_produce", topic, count, VALUE_BYTES, *ACKS[acks]).measure(self.pids()[0])
        peer.equal("records delivered", got["records"], count)
        if own:
            self.delete(topic)
        return got["records"] / got["seconds"]

    def throughput(self):
        found = {}
        seconds = 0.7 if self.quick else 2.0
        deadline = time.monotonic() + (2 if self.quick else 20)
        pilot = {}
        while len(pilot) < len(ACKS) or (time.monotonic() < deadline and self.name == "kafka"):  # a virtual machine warms up
            for acks in ACKS:
                pilot[acks] = self.produce(acks, 200_000)
        for _ in range(2 if self.quick else 3):
            for acks in ACKS:
                count = max(200_000, min(6_000_000, int(pilot[acks] * seconds)))
                found.setdefault(acks, []).append(self.produce(acks, count))
        return found

    def latency(self, rate, seconds):
        topic = self.topic(1)
        got = self.load("klamm_latency", topic, rate, seconds, *ACKS["acks=all"]).measure(self.pids()[0])
        self.delete(topic)
        return got

    def most(self):
        """Records a second, from producer to consumer through one partition, that this cluster takes with the latency's load."""
        seconds = 1 if self.quick else 3
        got = self.latency(TOO_MANY, seconds)
        return TOO_MANY * (seconds + 1) / got["seconds"]

    def gap(self, topic, partitions, rate, seconds, trouble):
        """The longest time without an acknowledgement, in ms; `trouble` comes a quarter of the way."""
        load = self.load("klamm_gap", topic, partitions, rate, seconds, *ACKS["acks=all"])
        try:
            peer.equal("first word", load.line(60).strip(), "ready")
            load.process.stdin.write("\n")
            load.process.stdin.flush()
            select.select([], [], [], seconds / 4)
            trouble()
            got = json.loads(load.line(seconds + 60))
            peer.equal("records lost", got["lost"], 0)
            return got
        finally:
            if load.process.poll() is None:
                load.process.kill()
                load.process.wait()

    def active(self):
        return self.cluster.active_controller().number

    def failover(self, of_controller):
        """kill -9 of a leader that is, or is not, the active controller too."""
        victim = self.active() if of_controller else next(number for number in NODES if number != self.active())
        topic = self.topic(1, first=NODES.index(victim))
        got = self.gap(topic, 1, 1000, 14, self.cluster.nodes[victim].kill)
        self.cluster.nodes[victim].start()
        self.cluster.wait_in_sync(topic)
        self.delete(topic)
        return got["longest_ms"]

    def shutdown(self):
        """SIGTERM of a node that leads a third of the partitions, and is not the active controller."""
        victim = next(number for number in NODES if number != self.active())
        topic = self.topic(SHUTDOWN_PARTITIONS)
        got = self.gap(topic, SHUTDOWN_PARTITIONS, 5000, 10, self.cluster.nodes[victim].stop)
        self.cluster.nodes[victim].start()
        self.cluster.wait_in_sync(topic)
        self.delete(topic)
        return got["longest_ms"]

    def create(self, partitions):
        """Seconds until every broker names a leader and all replicas in sync for each partition."""
        began = time.monotonic()
        self.topics += 1
        name = f"many-{self.topics}"
        with self.cluster.client() as client:
            client.create(name, [[NODES[(index + step) % 3] for step in range(3)] for index in range(partitions)])

        def known(node):
            found = self.cluster.partitions(name, node)
            return len(found) == partitions and all(leader >= 0 and len(isr) == 3 for leader, _replicas, isr in found.values())
        for node in self.cluster.nodes.values():
            peer.wait_until("all partitions are led", lambda node=node: clusters.quietly(lambda: known(node)), 120)
        return name, time.monotonic() - began

    def idle(self):
        """MB and share of a core of all three nodes, with MANY partitions each."""
        for _ in range(MANY // CREATED - 1):  # beside those that were created before
            self.create(CREATED)
        select.select([], [], [], 3)
        seconds = 3 if self.quick else 10
        before = sum(sum(process_cpu(pid)) for pid in self.pids())
        select.select([], [], [], seconds)
        spent = sum(sum(process_cpu(pid)) for pid in self.pids()) - before
        return sum(status_kb(pid, "VmRSS") for pid in self.pids()) / 1024, spent / seconds

    def catch_up(self):
        """MB a second into a replica that has nothing: its node was away while all was written. From when the node is a member again."""
        topic = self.topic(1)
        self.cluster.nodes[3].stop()
        count = CATCH_UP_RECORDS // (4 if self.quick else 1)
        self.produce("acks=all", count, topic)
        size = sum(file.stat().st_size for file in (self.cluster.nodes[1].data / f"{topic}-0").glob("*.log"))
        self.cluster.nodes[3].start()
        began = time.monotonic()
        self.cluster.wait_in_sync(topic, timeout=120)
        seconds = time.monotonic() - began
        self.delete(topic)
        return size / 1e6 / seconds

    def measure(self, rate):
        """Everything; `rate` of records a second for the latency, None: half of what this cluster takes."""
        found = {"throughput": self.throughput()}
        print(f"  {self.name}: " + ", ".join(f"{acks} {max(rates) / 1e6:.2f} M/s" for acks, rates in found["throughput"].items()), flush=True)
        found["rate"] = rate or int(self.most() / 2)
        found["latency"] = self.latency(found["rate"], 3 if self.quick else 10)
        print(f"  {self.name}: at {found['rate']} records/s p50 {found['latency']['p50_us'] / 1e3:.2f}, p99 {found['latency']['p99_us'] / 1e3:.2f}, "
              f"p99.9 {found['latency']['p999_us'] / 1e3:.2f} ms", flush=True)
        found["failover_ms"] = [self.failover(False) for _ in range(1 if self.quick else 2)]
        found["failover_controller_ms"] = [self.failover(True) for _ in range(1 if self.quick else 2)]
        found["shutdown_ms"] = [self.shutdown() for _ in range(1 if self.quick else 3)]
        print(f"  {self.name}: killed leader {found['failover_ms']}, killed leader and controller {found['failover_controller_ms']}, "
              f"shutdown {found['shutdown_ms']} ms", flush=True)
        found["catch_up_mb_s"] = self.catch_up()
        _name, found["create_s"] = self.create(CREATED)
        found["idle_mb"], found["idle_cpu"] = self.idle()
        print(f"  {self.name}: catches up {found['catch_up_mb_s']:.0f} MB/s; {CREATED} partitions in {found['create_s']:.2f} s; "
              f"{found['idle_mb']:.0f} MB and {found['idle_cpu'] * 100:.1f} % of a core idle", flush=True)
        return found


def run(setup):
    """Kafka first: its throughput sets the rate at which both are measured. `--cell kafka` or `--cell klamm`: that program alone."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))  # Kafka keeps some files a partition open; its children inherit it
    found, rate = {}, None
    for program in reversed(setup.broker_programs()):
        if setup.options.cell and program.name not in setup.options.cell:
            continue
        trio = Trio(setup, program)
        try:
            trio.cluster.start()
            found[program.name] = trio.measure(rate)
            rate = rate or found[program.name]["rate"]
            trio.cluster.close()
        finally:
            trio.cluster.kill()
            shutil.rmtree(trio.cluster.folder, ignore_errors=True)
    return {"nodes": len(NODES), "programs": found}
