"""Replicas move between the data directories of a broker, by Kafka's Admin and by klamm's tool, under load and through kills;
the other program boots on what was left and finishes the moves."""
import json
import pathlib
import re

import peer
from checks import clients, disk

REFUSALS = ["unknown directory: LogDirNotFoundException", "unknown topic: ReplicaNotAvailableException"]


def two_directories(context):
    broker = context.own_broker("directories")
    first, second = broker.data, broker.folder / "second"
    broker.properties["log.dirs"] = f"{first},{second}"
    broker.file.write_text("".join(f"{key}={value}\n" for key, value in broker.properties.items()), encoding="utf-8")
    return broker, str(first), str(second)


def run(broker, command, *arguments):
    return peer.run([*clients.java("Directories"), command, broker.bootstrap, *arguments], timeout=150).text.splitlines()


def records(lines):
    """Of each partition: how much was written and its checksum, without the place."""
    return [line.split(" in ")[0] for line in lines if " wrote " in line]


def places(lines):
    return {line.split(" ")[0]: line.split(" in ")[1] for line in lines if " in " in line}


def copies(broker):
    return [folder.name for place in broker.properties["log.dirs"].split(",") for folder in pathlib.Path(place).iterdir() if folder.name.endswith("-future")]


def directory_id(place):
    return re.search(r"^directory\.id=(\S+)$", (pathlib.Path(place) / "meta.properties").read_text(encoding="ascii"), re.MULTILINE).group(1)


def assigned(context, broker):
    """The directories that the metadata log says last of each partition."""
    text = disk.dump(context, "--files", str(broker.segments("__cluster_metadata")[-1]), "--cluster-metadata-decoder", "--deep-iteration")
    last = {}
    for partition, places in re.findall(r'"type":"PARTITION_(?:CHANGE_)?RECORD".*?"partitionId":(\d+),.*?"directories":\["([^"\]]*)"\]', text):
        last[partition] = places
    return set(last.values())


@peer.check("directories/moves", timeout=400)
def moves(context):
    broker, first, second = two_directories(context)
    broker.start()
    try:
        told = run(broker, "move", first, second)
        peer.equal("refusals", told[:2], REFUSALS)
        peer.equal("what is described of a move", told[2], "future: true lag true")
        written = records(told)
        peer.equal("partitions", len(written), 4)
        state = run(broker, "state")
        peer.equal("records behind the moves", records(state), written)
        broker.stop()
        broker.start()
        peer.equal("records after a restart", records(run(broker, "state")), written)
        # A move cut short by a kill goes on.
        run(broker, "begin", second)
        peer.expect(copies(broker), "the moves were over before the kill")
        broker.kill()
        broker.start()
        run(broker, "wait", second)
        state = run(broker, "state")
        peer.equal("records after a kill in a move", records(state), written)
        peer.equal("places", set(places(state).values()), {second})
        broker.stop()
        peer.equal("directories in the metadata", assigned(context, broker), {directory_id(second)})
        # Apache Kafka agrees, and klamm finishes what it has begun.
        broker.start(context.reference)
        state = run(broker, "state")
        peer.equal("records on Apache Kafka", records(state), written)
        peer.equal("places on Apache Kafka", set(places(state).values()), {second})
        run(broker, "begin", first)
        peer.expect(copies(broker), "the moves were over before the kill")
        broker.kill()
        broker.start(context.subject)
        run(broker, "wait", first)
        state = run(broker, "state")
        peer.equal("records of moves that the other began", records(state), written)
        # And the other way round.
        run(broker, "begin", second)
        peer.expect(copies(broker), "the moves were over before the kill")
        broker.kill()
        broker.start(context.reference)
        run(broker, "wait", second)
        state = run(broker, "state")
        peer.equal("records of moves that Apache Kafka finished", records(state), written)
        peer.equal("places in the end", set(places(state).values()), {second})
        broker.stop()
    finally:
        broker.kill()


@peer.check("directories/tool", timeout=120)
def tool(context):
    """klamm log-dirs --alter, on its own broker and on Apache Kafka's."""
    for program in (context.subject, context.reference):
        broker, first, second = two_directories(context)
        broker.start(program)
        try:
            with broker.client() as client:
                client.create_topic("tool", 2, {})
                peer.wait_until("the topic has leaders", lambda: client.metadata(["tool"])[1]["tool"] == (0, 2))
            peer.run([peer.program("kcat"), "-b", broker.bootstrap, "-P", "-t", "tool", "-p", "0", "-X", "enable.idempotence=true"], stdin=b"one\ntwo\n")

            def alter(*arguments, status=0):
                return peer.run(context.subject.command("log-dirs", "--bootstrap-server", broker.bootstrap, "--alter", *arguments), status=status)

            ran = alter("--replica", f"tool:0={second}", "--replica", f"tool:1={second}", "--wait")
            peer.equal("lines", ran.text.splitlines(), [f"tool-{index}: moving to {second} on broker 1" for index in (0, 1)])
            described = peer.run(context.subject.command("log-dirs", "--bootstrap-server", broker.bootstrap, "--describe", "--topic-list", "tool")).text
            inside = {entry["logDir"]: [item["partition"] for item in entry["partitions"]]
                      for entry in json.loads(described.splitlines()[-1])["brokers"][0]["logDirs"]}
            peer.equal("partitions", (inside[first], sorted(inside[second])), ([], ["tool-0", "tool-1"]))
            peer.expect("log directory is not found" in (wrong := alter("--replica", "tool:0=/no/such", status=1)).text + wrong.errors, wrong.errors)
            peer.expect("topic:partition=/dir" in (wrong := alter("--replica", "tool=/x", status=1)).text + wrong.errors, wrong.errors)
            read = peer.run([peer.program("kcat"), "-b", broker.bootstrap, "-C", "-q", "-e", "-t", "tool", "-p", "0", "-o", "beginning"]).out
            peer.equal("records", read, b"one\ntwo\n")
            broker.stop()
        finally:
            broker.kill()
