#!/usr/bin/env python3
"""Writes docs/compatibility.md: every API, configuration key and tool option of Apache Kafka 4.3.1, and klamm's state.

What Kafka has is asked of Kafka itself, what klamm has is asked of klamm: its broker advertises its APIs, its tools list
their options, its sources name the keys that they read. docs/compatibility-notes.tsv (kind, name, state, note) has the last
word where that says too little. `compatibility.py` prints the page, `compatibility.py --write` writes it.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

import peer
import wire
from broker import Broker
from kafka import TOOLS, Kafka, java
from klamm import Klamm

PAGE = peer.ROOT / "docs/compatibility.md"
NOTES = peer.ROOT / "docs/compatibility-notes.tsv"
NAMES = ("Produce Fetch ListOffsets Metadata LeaderAndIsr StopReplica UpdateMetadata ControlledShutdown OffsetCommit OffsetFetch FindCoordinator JoinGroup "
         "Heartbeat LeaveGroup SyncGroup DescribeGroups ListGroups SaslHandshake ApiVersions CreateTopics DeleteTopics DeleteRecords InitProducerId "
         "OffsetForLeaderEpoch AddPartitionsToTxn AddOffsetsToTxn EndTxn WriteTxnMarkers TxnOffsetCommit DescribeAcls CreateAcls DeleteAcls "
         "DescribeConfigs AlterConfigs AlterReplicaLogDirs DescribeLogDirs SaslAuthenticate CreatePartitions CreateDelegationToken "
         "RenewDelegationToken ExpireDelegationToken DescribeDelegationToken DeleteGroups ElectLeaders IncrementalAlterConfigs "
         "AlterPartitionReassignments ListPartitionReassignments OffsetDelete DescribeClientQuotas AlterClientQuotas DescribeUserScramCredentials "
         "AlterUserScramCredentials Vote BeginQuorumEpoch EndQuorumEpoch DescribeQuorum AlterPartition UpdateFeatures Envelope FetchSnapshot "
         "DescribeCluster DescribeProducers BrokerRegistration BrokerHeartbeat UnregisterBroker DescribeTransactions ListTransactions "
         "AllocateProducerIds ConsumerGroupHeartbeat ConsumerGroupDescribe ControllerRegistration GetTelemetrySubscriptions PushTelemetry "
         "AssignReplicasToDirs ListConfigResources DescribeTopicPartitions ShareGroupHeartbeat ShareGroupDescribe ShareFetch ShareAcknowledge "
         "AddRaftVoter RemoveRaftVoter UpdateRaftVoter InitializeShareGroupState ReadShareGroupState WriteShareGroupState DeleteShareGroupState "
         "ReadShareGroupStateSummary StreamsGroupHeartbeat StreamsGroupDescribe DescribeShareGroupOffsets AlterShareGroupOffsets "
         "DeleteShareGroupOffsets").split()
# Where Kafka documents a kind of key, and whose sources read it.
CONFIGS = {
    "Broker": ("kafka.server.KafkaConfig", ("base", "io", "broker")),
    "Topic": ("org.apache.kafka.storage.internals.log.LogConfig", ("base", "broker")),
    "Producer": ("org.apache.kafka.clients.producer.ProducerConfig", ("base", "io", "client")),
    "Consumer": ("org.apache.kafka.clients.consumer.ConsumerConfig", ("base", "io", "client")),
    "Admin": ("org.apache.kafka.clients.admin.AdminClientConfig", ("base", "io", "client")),
}
SUBCOMMANDS = {
    "cluster": ("cluster-id", "unregister", "list-endpoints"),
    "features": ("describe", "upgrade", "downgrade", "disable", "version-mapping", "feature-dependencies"),
    "metadata-quorum": ("describe", "add-controller", "remove-controller"),
    "storage": ("info", "format", "version-mapping", "feature-dependencies", "random-uuid"),
    "transactions": ("list", "describe", "describe-producers", "abort", "find-hanging", "force-terminate"),
}
# Files that name keys without giving them an effect: tables of keys, rules between values, steps in which they may change,
# settings of brokers in tests.
EFFECTLESS = re.compile(r"_keys|^config_keys\.cc$|^broker_config_check\.|^resource_config\.|^dynamic_config\.|^testing_cluster\.|^embedded\.")
OWN_KEY = re.compile(r'ConfigKey\{"(num\.shards|klamm\.[a-z.]+)", \w+, "(\d+)"[^"]*\.about\(\s*"([^"]*)"\)')
MARKS = {True: "✓", False: "✗", None: ""}
OPTION = re.compile(r"^\s{0,4}(?:-\w(?: \w+)?, ?)?(--[a-z][\w.-]*)", re.M)


def notes():
    """{(kind, name): (state, note)}"""
    found = {}
    for line in NOTES.read_text(encoding="utf-8").splitlines() if NOTES.exists() else []:
        if line and not line.startswith("#"):
            kind, name, state, note = (line.split("\t") + [""] * 3)[:4]
            found[kind, name] = (state, note)
    return found


def advertised(program, folder):
    """{"broker": {key: versions}, "controller": ...} of a running single node."""
    broker = Broker(program, folder)
    controller = broker.properties["controller.quorum.bootstrap.servers"]
    broker.start()
    try:
        found = {}
        for listener, address in (("broker", broker.bootstrap), ("controller", controller)):
            try:
                with wire.Client(address) as client:
                    found[listener] = client.api_versions()
            except ConnectionRefusedError:  # a node alone may talk to its controller in process only
                found[listener] = {}
        return found
    finally:
        broker.stop()


def options_of(program, tool):
    """{option: its help does not end with "not served yet"} of the tool and of its subcommands."""
    # Some list their options only beside others (e2e-latency), or a subcommand at a time.
    calls = [[], ["--bootstrap-server", "none:1"], *([word] for word in SUBCOMMANDS.get(tool, ()))]
    found = {}
    for words in calls if tool in SUBCOMMANDS or tool == "e2e-latency" else calls[:1]:
        ran = subprocess.run([*program.command(tool), *words, "--help"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                             check=False)
        _, *parts = OPTION.split(ran.stdout + "\n" + ran.stderr)  # option, its help, option …
        for option, text in zip(parts[::2], parts[1::2]):
            if option not in ("--help", "--version"):
                found[option] = not re.search(r"[Nn]ot\s+served\s+yet\.\s*$", text)
    return dict(sorted(found.items()))


def named_in(folders, left_out=None):
    """Keys named in the sources of these folders, outside comments and files whose names match."""
    found = set()
    for folder in folders:
        for file in (peer.ROOT / folder).rglob("*"):
            if file.suffix in (".h", ".cc") and not (left_out and left_out.search(file.name)):
                code = re.sub(r"(?:^|(?<=\s))// .*", "", file.read_text(encoding="utf-8", errors="replace"), flags=re.M)
                found |= set(re.findall(r'"([a-z0-9]+(?:[.-][a-z0-9]+)*)"', code))
    return found


def topic_synonyms():
    """{broker key that gives a topic key its default: topic key}"""
    table = (peer.ROOT / "broker/config/topic_keys.cc").read_text(encoding="utf-8")
    return {key: topic for topic, keys in re.findall(r'^    \{"([a-z0-9.]+)", \{(\{"[a-z0-9.]+".*\})\}\},$', table, re.M)
            for key in re.findall(r'\{"([a-z0-9.]+)"', keys)}


def states_of(kind, keys, said):
    """{key: used, known or unknown}, or what is said of it."""
    folders = CONFIGS[kind][1]
    known, used = named_in(folders), named_in(folders, EFFECTLESS)
    states = {key: "used" if key in used else "known" if key in known else "unknown" for key in keys}
    states.update({key: said[kind.lower(), key][0] for key in keys if said.get((kind.lower(), key), ("",))[0]})
    return states


def kafka_keys(main):
    page = peer.run(java(main)).text
    return list(dict.fromkeys(re.findall(r'<a id="[a-z]+configs_([a-z0-9._-]+)"', page)))


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def api_section(kafka, klamm, said):
    out = ["## APIs", "", "Versions as advertised by a node that is broker and controller, on its two listeners.", "",
           row("key", "API", "listener", "Kafka 4.3.1", "klamm", "note"), row(*["---"] * 6)]
    served = 0
    for listener in ("broker", "controller"):
        for key, versions in sorted(kafka[listener].items()):
            mine = klamm.get(listener, {}).get(key)
            state = "not yet" if mine is None else "%d-%d" % mine
            served += mine == versions
            note = said.get(("api", NAMES[key]), ("", ""))[1]
            out.append(row(key, NAMES[key], listener, "%d-%d" % versions, state, note))
    total = sum(map(len, kafka.values()))
    out[2] += f" Equal to Kafka's: {served} of {total}."
    return out


def config_section(said):
    out = ["", "## Configuration", "",
           "*used*: it has its effect. *known*: checked, described and stored, without effect yet. *refused*: a value other than the",
           "default is an error that says so, of the server and of clients. *unknown*: klamm does not know it. A broker key that gives a",
           "topic key its default is in the state of that one."]
    topic_states = states_of("Topic", kafka_keys(CONFIGS["Topic"][0]), said)
    synonyms = topic_synonyms()
    for kind, (main, _) in CONFIGS.items():
        states = states_of(kind, kafka_keys(main), said)
        if kind == "Broker":
            states.update({key: topic_states[topic] for key, topic in synonyms.items() if states[key] == "known"})
        counts = ", ".join(f"{list(states.values()).count(state)} {state}" for state in sorted(set(states.values())))
        out += ["", f"### {kind} keys ({counts})", "", row("key", "state", "note"), row(*["---"] * 3)]
        out += [row(f"`{key}`", state, said.get((kind.lower(), key), ("", ""))[1]) for key, state in states.items()]
    out += ["", "### Broker keys of klamm's own", "", row("key", "default", "what it is"), row(*["---"] * 3)]
    own = (peer.ROOT / "broker/config/resource_keys.cc").read_text(encoding="utf-8")
    return out + [row(f"`{key}`", default, what) for key, default, what in OWN_KEY.findall(own)]


def tool_section(klamm, said):
    out = ["", "## Tools", "", "`klamm <tool>`, or through a link named `kafka-<tool>.sh`. An option with ✓ is served by klamm's tool; one with ✗ is known to it",
           "and answered: what it is about is not served yet.", "",
           row("tool", "state", "options", "note"), row(*["---"] * 4)]
    for tool in sorted(TOOLS):
        wanted = {} if tool == "server" else options_of(Kafka(), tool)
        here = klamm is not None and tool in known_tools(klamm)
        have = options_of(klamm, tool) if here else {}
        state = "here" if here else "not yet"
        stated, note = said.get(("tool", tool), ("", ""))
        state = stated or state
        cells = " ".join(f"`{option}`{MARKS[have.get(option)]}" for option in wanted)
        out.append(row(f"`{tool}`", state, cells, note))
    return out


def known_tools(klamm):
    listed = subprocess.run([str(klamm.program), "--help"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False)
    return re.findall(r"^ {2,4}([a-z][a-z0-9-]*) {2,}\S", listed.stdout + listed.stderr, re.M)


def page():
    said = notes()
    klamm = Klamm()
    if not klamm.program.exists():
        klamm = None
    with tempfile.TemporaryDirectory(prefix="klamm-compatibility-") as folder:
        kafka_apis = advertised(Kafka(), pathlib.Path(folder) / "kafka")
        klamm_apis = advertised(klamm, pathlib.Path(folder) / "klamm") if klamm and "server" in known_tools(klamm) else {}
    out = ["# Compatibility with Apache Kafka 4.3.1", "",
           "Written by `tests/peers/compatibility.py --write`: what Kafka has is asked of Kafka 4.3.1, what klamm has is asked of klamm.",
           "`./dev peers compatibility` fails when this page is not true. Remarks come from `docs/compatibility-notes.tsv`.", ""]
    out += api_section(kafka_apis, klamm_apis, said) + config_section(said) + tool_section(klamm, said)
    return "\n".join(line.rstrip() for line in out) + "\n"


def main():
    text = page()
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
