"""One directory, two programs: what Kafka's Java clients see must be the same whoever serves it, after clean stops and kills.

`Disk.java state` prints everything of every partition: offsets, timestamps, leader epochs, records under both isolation levels, the
state of each producer, topic ids and configs. The lines of two brokers that take turns on one directory are compared."""
import difflib
import time

import peer
from checks import clients

PROPERTIES = {"log.cleaner.backoff.ms": 500, "log.flush.offset.checkpoint.interval.ms": 1000, "log.flush.start.offset.checkpoint.interval.ms": 300,
              "log.initial.task.delay.ms": 500}
STARTED = str(int(time.time() * 1000) - 3_600_000)


def disk(broker, *arguments):
    return peer.run([*clients.java("Disk"), arguments[0], broker.bootstrap, STARTED, *arguments[1:]], timeout=150).text


def state(broker):
    """Without the internal topics: their coordinators write when they like."""
    kept, internal = [], False
    for line in disk(broker, "state").splitlines():
        if not line.startswith(" "):
            internal = line.startswith("__")
        if not internal:
            kept.append(line)
    peer.expect(len(kept) > 40, f"only {len(kept)} lines of state: {kept[:5]}")
    return kept


def agree(what, before, after):
    if before == after:
        return
    changes = [line for line in difflib.unified_diff(before, after, "before", "after", lineterm="", n=0) if not line.startswith(("---", "+++", "@@"))]
    raise peer.Failure(f"{what}: {len(changes)} lines differ: " + " | ".join(changes[:6]))


def taking_turns(first, second, end):
    """`first` is filled, `second` goes on, `first` again; each change of turns by a stop or a kill."""
    def function(context):
        programs = {"subject": context.subject, "reference": context.reference}
        broker = context.own_broker("exchange", program=programs[first], **PROPERTIES)
        leave = broker.stop if end == "stop" else broker.kill
        broker.start()
        try:
            disk(broker, "fill", "transactions" if broker.program is context.reference else "plain")
            turn = state(broker)
            starts = broker.data / "log-start-offset-checkpoint"  # what a kill may leave behind is what the checkpoint has
            peer.wait_until("the log start is in its checkpoint", lambda: starts.exists() and "cut 0 12345" in starts.read_text(encoding="ascii"))
            for number, who in enumerate((second, first)):
                leave()
                broker.start(programs[who])
                agree(f"{broker.program.name} after a {end} of the other", turn, state(broker))
                disk(broker, "add", str(1000 + number))
                turn = state(broker)
            broker.stop()
        finally:
            broker.kill()
    return function


for first_name, second_name in (("reference", "subject"), ("subject", "reference")):
    for end_name in ("stop", "kill"):
        label = "kafka-first" if first_name == "reference" else "subject-first"
        peer.check(f"exchange/{label}-{end_name}", timeout=500)(taking_turns(first_name, second_name, end_name))
