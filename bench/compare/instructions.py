"""User instructions by callgrind. Each driver runs with two counts; the difference of instructions over the difference of
counts is the cost of one, without start and end. Exact where times on a shared machine are not."""
import re

import peer
from broker import Broker
from compare.loads import fill
from compare.setup import KlammProgram

# driver | what one is | counts | arguments after the count | the goal for one, if there is one
DRIVERS = [
    ("producer_send", "record sent, delivery reported per batch", (200_000, 1_200_000), (), 420),
    ("consumer_poll", "record polled, CRC checked", (200_000, 1_200_000), (), 320),
    ("record_append", "record encoded into a batch", (200_000, 1_200_000), (), None),
    ("record_iterate", "record decoded", (200_000, 1_200_000), (), None),
    ("record_inspect", "record walked by the broker's check", (200_000, 1_200_000), (), None),
    ("broker_append", "record appended by the broker, batches of 64 KB", (200_000, 1_200_000), (), None),
    ("broker_fetch", "record fetched from the broker, 1 MB a request", (2_000_000, 12_000_000), (), None),
]
TARGETS = [f"callgrind_{name}" for name, *_ in DRIVERS] + ["klamm", "klamm_produce"]
# mode of bench/load/rdkafka_load.cc | what one is | arguments after the count
FOREIGN = [("produce", "librdkafka: record produced, delivery reported", (100,)), ("poll", "librdkafka: record consumed by poll", ()),
           ("consume", "librdkafka: record consumed by batches", ())]


def collected(command, timeout=900, **options):
    """(records, requests or 0, instructions), as the program printed them and callgrind counted."""
    ran = peer.run([peer.program("valgrind"), "--tool=callgrind", "--callgrind-out-file=/dev/null", "--child-silent-after-fork=yes",
                    *command], timeout=timeout, **options)
    instructions = re.search(r"Collected *: *(\d+)", ran.errors)
    records, requests = re.search(r"(\d+) records|\"records\":(\d+)", ran.text), re.search(r"(\d+) requests", ran.text)
    peer.expect(instructions and records, f"callgrind of {command[0]} printed no count: {ran.errors[-300:]}")
    return int(records[1] or records[2]), int(requests[1]) if requests else 0, int(instructions[1])


def difference(command_for, counts, **options):
    """(instructions a record, instructions a request or None)"""
    (less, few_requests, few), (more, many_requests, many) = (collected(command_for(count), **options) for count in counts)
    return (many - few) / (more - less), (many - few) / (many_requests - few_requests) if many_requests > few_requests else None


def run(setup):
    rows = []
    for name, what, counts, arguments, goal in DRIVERS:
        if setup.options.drivers and name not in setup.options.drivers:
            continue
        if setup.options.quick:
            counts = tuple(count // 4 for count in counts)
        program = setup.make(f"callgrind_{name}")
        cost, request = difference(lambda count, program=program, arguments=arguments: [program, str(count), *arguments], counts, cwd=setup.folder)
        rows.append({"name": name, "what": what, "instructions": cost, "request": request, "goal": goal})
        print(f"  {name}: {cost:.1f} instructions a {what}" + (f" (goal: {goal})" if goal else ""), flush=True)
    if not setup.options.drivers or "librdkafka" in setup.options.drivers:
        rows += foreign(setup)
    return {"rows": rows}


def foreign(setup):
    """librdkafka under callgrind, its broker (klamm's) outside."""
    try:
        program = setup.rdkafka()
    except peer.Skip as skip:
        setup.skipped["librdkafka"] = str(skip)
        return []
    rows = []
    counts = (50_000, 250_000) if setup.options.quick else (200_000, 1_000_000)
    broker = Broker(KlammProgram(setup.make("klamm")), setup.folder / "broker-callgrind").start()
    try:
        with broker.client() as client:
            client.create_topic("instructions")
        fill(setup, broker, "instructions", counts[1])
        for mode, what, extra in FOREIGN:
            topic = "instructions"
            if mode == "produce":
                topic = "instructions-produced"
                with broker.client() as client:
                    client.create_topic(topic)

            def command(count, mode=mode, topic=topic, extra=extra):
                return [program, mode, broker.bootstrap, topic, str(count), *map(str, extra)]
            cost, _ = difference(command, counts, stdin=b"\n")
            rows.append({"name": f"librdkafka {mode}", "what": what, "instructions": cost, "goal": None})
            print(f"  {what}: {cost:.1f} instructions", flush=True)
    finally:
        broker.kill()
    return rows
