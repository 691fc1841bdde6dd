#!/usr/bin/env python3
"""Apache Kafka 4.3.1 from its jars: class path, tools by their names, servers. Run by hand: `kafka.py libs` prints the
folder of the jars; `kafka.py tool <name> <argument>...` runs a tool."""
import fcntl
import hashlib
import os
import pathlib
import subprocess
import sys

import peer

POM = peer.HERE / "kafka/pom.xml"
TOOLS = {
    "server": "kafka.Kafka",
    "storage": "kafka.tools.StorageTool",
    "configs": "kafka.admin.ConfigCommand",
    "metadata-shell": "org.apache.kafka.shell.MetadataShell",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "console-share-consumer": "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "share-groups": "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
    "streams-groups": "org.apache.kafka.tools.streams.StreamsGroupCommand",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    **{name: f"org.apache.kafka.tools.{cls}" for name, cls in {
        "acls": "AclCommand",
        "broker-api-versions": "BrokerApiVersionsCommand",
        "client-metrics": "ClientMetricsCommand",
        "cluster": "ClusterTool",
        "console-producer": "ConsoleProducer",
        "consumer-perf-test": "ConsumerPerformance",
        "delegation-tokens": "DelegationTokenCommand",
        "delete-records": "DeleteRecordsCommand",
        "dump-log": "DumpLogSegments",
        "e2e-latency": "EndToEndLatency",
        "features": "FeatureCommand",
        "get-offsets": "GetOffsetShell",
        "groups": "GroupsCommand",
        "jmx": "JmxTool",
        "leader-election": "LeaderElectionCommand",
        "log-dirs": "LogDirsCommand",
        "metadata-quorum": "MetadataQuorumCommand",
        "producer-perf-test": "ProducerPerformance",
        "replica-verification": "ReplicaVerificationTool",
        "share-consumer-perf-test": "ShareConsumerPerformance",
        "streams-application-reset": "StreamsResetter",
        "topics": "TopicCommand",
        "transactions": "TransactionsCommand",
        "verifiable-consumer": "VerifiableConsumer",
        "verifiable-producer": "VerifiableProducer",
        "verifiable-share-consumer": "VerifiableShareConsumer",
    }.items()},
}
# A tool is short-lived: the first compiler only, and a collector without threads.
TOOL_JVM = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"]
SERVER_JVM = ["-XX:+UseSerialGC", "-Xms128m", "-Xmx768m", "-Dpeer.log.level=WARN", "-Dpeer.log.target=SYSTEM_OUT"]


def libs():
    """The folder of the jars; filled on first use. A changed pom.xml makes another folder."""
    java, maven = peer.program("java"), peer.program("mvn")
    assert java
    folder = peer.CACHE / ("kafka-" + hashlib.sha256(POM.read_bytes()).hexdigest()[:12])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            made = subprocess.run([maven, "-q", "-B", "-f", str(POM), "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
                                   f"-DoutputDirectory={folder / 'libs'}", "-DincludeScope=runtime"],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)
            if made.returncode != 0:
                raise peer.Skip(f"Apache Kafka's jars cannot be had: {peer.shorten(made.stdout + made.stderr, 300)}")
            (folder / "complete").touch()
    return folder / "libs"


def java(main, *arguments, jvm=None):
    """The command line of a class, or of a source file that Java compiles in memory, with Kafka's jars."""
    return [peer.program("java"), *(TOOL_JVM if jvm is None else jvm), f"-Dlog4j2.configurationFile={peer.HERE / 'kafka/log4j2.properties'}",
            "-cp", f"{libs()}/*", main, *arguments]


class Kafka:
    """Apache Kafka as a program whose broker or tools take part in a check."""
    name = "kafka"

    def command(self, tool, *arguments):
        return java(TOOLS[tool], *arguments, jvm=SERVER_JVM if tool == "server" else None)


def main():
    if sys.argv[1:] == ["libs"]:
        print(libs())
    elif sys.argv[1:2] == ["tool"] and len(sys.argv) > 2 and sys.argv[2] in TOOLS:
        command = Kafka().command(*sys.argv[2:])
        os.execv(command[0], command)
    else:
        print(f"usage: {pathlib.Path(sys.argv[0]).name} libs | tool <{'|'.join(sorted(TOOLS))}> <argument>...", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
