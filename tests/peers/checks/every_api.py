"""Every API that is advertised, in every version, with right and wrong requests: Apache Kafka gets the same ones, encoded and
decoded by its own classes, and the answers must be the same, error codes and all, but for what is named here."""
import json
import re

import peer
from checks import clients

REQUESTS = peer.HERE / "kafka/every_api.txt"
INIT_PRODUCER_ID = 22
# Differs from one broker to the next, or from one moment to the next. Texts are Kafka's only where tools show them.
MASKED = {"throttleTimeMs", "host", "port", "clusterId", "brokerEpoch", "producerId", "logDir", "controllerId", "logAppendTimeMs", "sessionId", "totalBytes",
          "usableBytes", "size", "lastFetchTimestamp", "lastCaughtUpTimestamp", "replicaDirectoryId", "finalizedFeaturesEpoch", "errorMessage",
          "documentation"}
IDENTITY = ("resourceType", "resourceName", "name", "topicName", "topic", "topicId", "partitionIndex", "index", "partition", "feature", "apiKey",
            "transactionalId", "nodeId", "brokerId", "replicaId")
# (API, path of the field, why it may differ)
KNOWN = [
    ("API_VERSIONS", r"apiKeys\[.*|finalizedFeatures.*|supportedFeatures.*", "what is not served yet is not advertised"),
    ("DESCRIBE_TRANSACTIONS", r".*errorCode", "there is no transaction coordinator yet"),
    ("FIND_COORDINATOR", r"errorCode", "version 0 asks for a group's, whose topic Kafka makes now (all else: checks/coordinators.py)"),
    ("ELECT_LEADERS", r"replicaElectionResults\[.*", "Kafka names all topics with nothing in them when nothing was to be done"),
    ("DESCRIBE_QUORUM", r".*(logEndOffset|highWatermark|leaderEpoch)", "the metadata logs have their own lengths"),
    ("DESCRIBE_LOG_DIRS", r".*", "directories and sizes are each broker's own"),
    ("INCREMENTAL_ALTER_CONFIGS", r"responses\[4/77\].errorCode", "any klamm broker takes the settings of another"),
    ("ADD_RAFT_VOTER", r"errorCode", "Kafka asks the newcomer first, klamm looks whether it follows"),
]


def identity(value):
    if not isinstance(value, dict):
        return json.dumps(value)
    named = [key for key in IDENTITY if value.get(key) not in (None, "")]
    if "name" in named or "topic" in named:
        named = [key for key in named if key != "topicId"]
    return "/".join(str(value[key]) for key in named)


def by_identity(values):
    """Entries by what they are about; what is said of one topic in several places is put together."""
    found = {}
    for value in values:
        there = found.setdefault(identity(value), value)
        if there is value or not isinstance(value, dict):
            continue
        for key, part in value.items():
            if isinstance(part, list):
                there[key] = there[key] + part
    return found


def differences(path, one, other):
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(set(one) | set(other)):
            if key in MASKED or (key == "topicId" and not str(one.get(key)).startswith("$id:")):
                continue
            yield from differences(f"{path}.{key}".lstrip("."), one.get(key, "nothing"), other.get(key, "nothing"))
    elif isinstance(one, list) and isinstance(other, list):
        left, right = by_identity(one), by_identity(other)
        for key in sorted(set(left) | set(right)):
            yield from differences(f"{path}[{key}]", left.get(key, "nothing"), right.get(key, "nothing"))
    elif one != other:
        yield path, one, other


def parsed(text):
    return json.loads(text) if text.startswith("{") else text


def is_known(api, path):
    return any(api == known and re.fullmatch(pattern, path) for known, pattern, _ in KNOWN)


def can_give_ids(broker):
    """Kafka's broker has no producer ids to give until it has asked for some."""
    with broker.client() as client:
        reader = client.call(INIT_PRODUCER_ID, 0, b"\xff\xff\0\0\xea\x60")
        reader.take("i")
        return reader.take("h") == 0


@peer.check("every_api", timeout=300)
def every_api(context):
    brokers = [context.own_broker("every-subject"), context.own_broker("every-reference", program=context.reference)]
    try:
        for broker in brokers:
            broker.start()
            peer.wait_until("producer ids can be had", lambda broker=broker: can_give_ids(broker))
        lines = peer.run([*clients.java("EveryApi"), *(broker.bootstrap for broker in brokers)], stdin=REQUESTS, timeout=250).text.splitlines()
    finally:
        for broker in brokers:
            broker.kill()
    asked, wrong = 0, []
    answers = {}
    for line in lines:
        words = line.split(" ", 3)
        peer.expect(len(words) == 4, f"{line}: add a request to {REQUESTS.name}")
        api, version, side, text = words
        if side == "first":
            answers[api, version] = text
            continue
        asked += 1
        mine = answers[api, version]
        peer.expect(mine.startswith("{") or mine == text, f"{api} {version}: {mine}; Kafka: {text}")
        wrong += [f"{api} {version} {path}: {one!r}, Kafka {other!r}" for path, one, other in differences("", parsed(mine), parsed(text)) if not is_known(api, path)]
    peer.expect(asked > 400, f"only {asked} requests were compared")
    peer.expect(not wrong, f"{len(wrong)} differences: " + "; ".join(wrong[:20]))
    return f"{asked} requests in {len(answers)} versions of APIs, answered alike"
