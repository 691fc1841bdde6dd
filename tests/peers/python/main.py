"""kafka-python, as tests/peers/checks/clients.py calls it: see PROTOCOL there."""
import json
import pathlib
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic
from kafka.admin import OffsetSpec
from kafka.errors import TopicAlreadyExistsError

BASE_TIME = 1700000000000


def produce(bootstrap, topic, file, size, codec):
    content = pathlib.Path(file).read_bytes()
    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec, linger_ms=20)
    sent = []
    for i, at in enumerate(range(0, len(content), int(size))):
        sent.append(producer.send(topic, content[at:at + int(size)], key=b"k%d" % i, headers=[("n", b"%d" % i)], partition=0, timestamp_ms=BASE_TIME + i))
    producer.flush()
    for i, future in enumerate(sent):
        if future.get(30).offset != i:
            raise RuntimeError(f"record {i} got offset {future.get(30).offset}")
    producer.close()
    return {"count": len(sent)}


def consume(bootstrap, topic, file, count):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    seen = 0
    with open(file, "wb") as out:
        while seen < int(count):
            for record in consumer.poll(10000).get(partition, []):
                wanted = (seen, BASE_TIME + seen, b"k%d" % seen, [("n", b"%d" % seen)])
                if (record.offset, record.timestamp, record.key, list(record.headers)) != wanted:
                    raise RuntimeError(f"record {seen} is {record}")
                out.write(record.value)
                seen += 1
    consumer.close()
    return {"count": seen}


def retention(admin, topic):
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    described = admin.describe_configs([resource], config_filter="all")
    found = described[resource.resource_type.name.lower()][topic] if not isinstance(described, list) else described[0][topic]
    entry = found["retention.ms"]
    return int(entry["value"] if isinstance(entry, dict) else entry)


def admin(bootstrap, topic):
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    out = {}
    wanted = NewTopic(topic, 3, 1, topic_configs={"retention.ms": "1234567"})
    client.create_topics([wanted], wait_for_metadata=True)
    try:
        client.create_topics([wanted])
        out["again"] = "NONE"
    except TopicAlreadyExistsError:
        out["again"] = "TOPIC_ALREADY_EXISTS"
    out["brokers"] = len(client.describe_cluster()["brokers"])
    out["listed"] = topic in client.list_topics()
    out["retention"] = retention(client, topic)
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "7654321"})])
    out["altered"] = out["retention"]
    while out["altered"] == out["retention"]:  # a broker learns it a moment after the controller
        out["altered"] = retention(client, topic)
    client.create_partitions({topic: NewPartitions(5)})
    while True:
        partitions = client.describe_topics([topic])[0]["partitions"]
        if len([one for one in partitions if one.get("leader_id", one.get("leader", -1)) >= 0]) == 5:
            break
    out["partitions"] = len(partitions)
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for i in range(100):
        producer.send(topic, b"v%d" % i, partition=0)
    producer.close()
    partition = TopicPartition(topic, 0)
    out["end"] = client.list_partition_offsets({partition: OffsetSpec.LATEST})[partition].offset
    low = client.delete_records({partition: 40})[partition]
    out["low"] = low["low_watermark"] if isinstance(low, dict) else low
    out["start"] = client.list_partition_offsets({partition: OffsetSpec.EARLIEST})[partition].offset
    client.delete_topics([topic])
    while topic in client.list_topics():
        pass
    out["deleted"] = True
    client.close()
    return out


print(json.dumps({"produce": produce, "consume": consume, "admin": admin}[sys.argv[1]](*sys.argv[2:])))
