"""From the start of a broker's process to its first answered Metadata request, and what it holds in memory when idle."""
import select
import time

import peer
import wire
from broker import Broker
from compare.stats import process_cpu, status_kb


def first_answer(broker, deadline):
    """Connects and asks again and again; the clock stops when Metadata names the broker itself."""
    while time.monotonic() < deadline:
        try:
            with wire.Client(broker.bootstrap, 5) as client:
                while time.monotonic() < deadline:
                    if client.metadata()[0]:
                        return time.monotonic()
        except (OSError, wire.struct.error):
            select.select([], [], [], 0.0005)
    raise peer.Failure(f"{broker.program.name} gave no metadata in time: {broker.server.tail()}")


def once(setup, program, number):
    broker = Broker(program, setup.folder / f"start-{program.name}-{number}")
    broker.format()
    command = broker.program.command("server", str(broker.file))
    started = time.monotonic()
    broker.server = peer.Server(command, broker.folder / "server.log", cwd=broker.folder)
    try:
        seconds = first_answer(broker, started + 60)
        pid = broker.server.process.pid
        idle = 2 if setup.options.quick else 5
        select.select([], [], [], idle)
        before = process_cpu(pid)
        select.select([], [], [], idle)
        spent = sum(process_cpu(pid)) - sum(before)
        return {"start_ms": (seconds - started) * 1e3, "idle_mb": status_kb(pid, "VmRSS") / 1024, "idle_cpu": spent / idle}
    finally:
        broker.kill()


def run(setup):
    rows = {}
    programs = setup.broker_programs()
    for number in range(max(3, setup.options.repeats // 2)):
        for program in programs if number % 2 == 0 else reversed(programs):
            got = once(setup, program, number)
            rows.setdefault(program.name, []).append(got)
            print(f"  {program.name}: {got['start_ms']:.0f} ms to the first Metadata, {got['idle_mb']:.0f} MB idle, "
                  f"{got['idle_cpu'] * 100:.1f} % of a core idle", flush=True)
    return {"brokers": rows}
