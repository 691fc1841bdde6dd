"""Client libraries in four languages, each with its default settings, against the broker under test.

PROTOCOL: each program understands, and answers with one line of JSON on success and a non-zero status otherwise:
  produce <bootstrap> <topic> <file> <size> <codec>   the file in records of `size` bytes to partition 0, record i with key
      "k<i>", header n = "<i>" and timestamp 1700000000000 + i; each must be acknowledged with offset i
  consume <bootstrap> <topic> <file> <count>          partition 0 by assignment from its beginning; every record must be as
      above; the values are written to the file
  admin <bootstrap> <topic>                           creates, lists, configures, grows, trims and deletes the topic
"""
import fcntl
import hashlib
import json
import shutil

import data
import kafka
import peer

SIZE = 1000
ADMIN = {"again": "TOPIC_ALREADY_EXISTS", "brokers": 1, "listed": True, "retention": 1234567, "altered": 7654321, "partitions": 5, "end": 100,
         "low": 40, "start": 40, "deleted": True}


def prepared(name, sources, prepare):
    """A folder in the cache, made once for these sources."""
    key = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    folder = peer.CACHE / f"{name}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            prepare(folder)
            (folder / "complete").touch()
    return folder


def download(argv, **options):
    """Runs a package manager; Skip when the packages cannot be had here."""
    try:
        peer.run(argv, **options)
    except peer.Failure as failure:
        raise peer.Skip(peer.shorten(str(failure), 300)) from None


def java(program="RoundTrip"):
    """The command line of a class of kafka/<program>.java."""
    source = peer.HERE / f"kafka/{program}.java"

    def prepare(folder):
        peer.run([peer.program("javac"), "-cp", f"{kafka.libs()}/*", "-d", folder, source], timeout=120)
    folder = prepared(f"java-{program}", [source, kafka.POM], prepare)
    command = kafka.java(program)
    command[command.index("-cp") + 1] += f":{folder}"
    return command


def go():
    sources = [peer.HERE / "go" / name for name in ("main.go", "go.mod", "go.sum")]

    def prepare(folder):
        download([peer.program("go"), "mod", "download"], cwd=peer.HERE / "go", timeout=600)
        peer.run([peer.program("go"), "build", "-o", folder / "peer", "."], cwd=peer.HERE / "go", timeout=600)
    return [prepared("go", sources, prepare) / "peer"]


def js():
    sources = [peer.HERE / "js" / name for name in ("main.js", "package.json")]

    def prepare(folder):
        for source in sources:
            shutil.copy(source, folder)
        download([peer.program("npm"), "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, timeout=300)
    return [peer.program("node"), prepared("js", sources, prepare) / "main.js"]


def python():
    requirements = peer.HERE / "python/requirements.txt"

    def prepare(folder):
        peer.run([peer.program("python3"), "-m", "venv", folder / "venv"], timeout=120)
        download([folder / "venv/bin/pip", "install", "-q", "-r", requirements], timeout=300)
    return [prepared("python", [requirements], prepare) / "venv/bin/python", peer.HERE / "python/main.py"]


# name: (command, codecs, bytes a codec)
CLIENTS = {
    "java": (java, ("none", "gzip", "snappy", "lz4", "zstd"), 4 << 20),
    "franz-go": (go, ("none", "gzip", "snappy", "lz4", "zstd"), 4 << 20),
    "kafkajs": (js, ("none", "gzip", "snappy"), 2 << 20),
    "kafka-python": (python, ("none", "gzip", "snappy", "lz4", "zstd"), 1 << 20),
}


def call(command, *words):
    return json.loads(peer.run([*command, *words], timeout=90).text)


def round_trip(client, codec, number):
    """Written by the client, read back by itself and by Kafka's Java consumer."""
    program, _, size = CLIENTS[client]

    def function(context):
        command = program()
        topic = context.topic(f"{client}-{codec}", retention_ms=-1)  # the timestamps are old
        content = data.chunks(number, size) if number % 2 else data.lines(number, size)
        count = (len(content) + SIZE - 1) // SIZE
        sent = call(command, "produce", context.broker.bootstrap, topic, context.file("sent", content), SIZE, codec)
        peer.equal("records sent", sent, {"count": count})
        for reader in {client: command, "java": java()}.values():
            received = context.path("received")
            call(reader, "consume", context.broker.bootstrap, topic, received, count)
            data.compare(topic, received.read_bytes(), content)
    return function


def administer(client):
    def function(context):
        got = call(CLIENTS[client][0](), "admin", context.broker.bootstrap, context.name(f"{client}-admin"))
        for key, wanted in ADMIN.items():
            peer.equal(key, got.get(key), wanted)
    return function


for client_number, (client_name, (_, codec_names, _)) in enumerate(CLIENTS.items()):
    for codec_number, codec_name in enumerate(codec_names):
        peer.check(f"{client_name}/{codec_name}", timeout=900)(round_trip(client_name, codec_name, 10 * client_number + codec_number))
    peer.check(f"{client_name}/admin", timeout=900)(administer(client_name))
