#!/usr/bin/env python3
"""Kills and cuts a real broker while real clients work: `./dev chaos [--brokers 1|3] [--seconds N] [--seed N] [--keep] [name...]`.

Each round lets klamm's console-producer and kcat write to it, both idempotent, and klamm's console-consumer and kcat read
along, all through a proxy of its own, while the faults that its name says happen at times drawn from the seed. Then every
record that was sent must have been acknowledged, and be read once, in order, by those who read along and by a kcat that
comes afterwards. The same seed draws the same faults at the same times (what the machine makes of them is its own affair).
The trials of disks.py come behind the rounds: small file systems that are full, or go away, step by step.
With --brokers 3 the rounds are those of nodes.py: a cluster of three nodes whose links can be cut.

Prints `ok|FAIL|skip name` for each round and ends with "N passed, N failed, N skipped".
"""
import argparse
import errno
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import cluster as clusters  # noqa: E402
import disks  # noqa: E402
import nodes  # noqa: E402
import peer  # noqa: E402
import work  # noqa: E402

PATIENCE = 60  # seconds for everything to be well again after the last fault
RAM_DISK_MB = 48


class Round:
    """One broker, its clients, and a plan of faults."""

    def __init__(self, name, seed, seconds, folder, data=None):
        self.name, self.seconds, self.folder = name, seconds, folder
        self.draw = random.Random(f"{seed}/{name}")
        self.done = {}
        self.readers, self.writers = [], []
        self.cluster = clusters.Cluster(folder / "broker", data)

    def begin(self):
        """Starts the broker and its clients."""
        folder = self.folder
        self.cluster.start()
        self.cluster.create("chaos", TOPIC_CONFIGS.get(self.name))
        program, bootstrap = self.cluster.program, self.cluster.bootstrap
        self.readers = [work.Reader("kcat-reader", work.kcat_consumer(bootstrap, "chaos"), folder),
                        work.Reader("klamm-reader", work.klamm_consumer(program, bootstrap, "chaos"), folder)]
        self.writers = [work.Writer("kcat-writer", work.kcat_producer(bootstrap, "chaos"), self.draw.random(), folder),
                        work.Writer("klamm-writer", work.klamm_producer(program, bootstrap, "chaos"), self.draw.random(), folder)]

    def wait(self, seconds):
        self.writers[0].ending.wait(seconds)  # nobody sets it meanwhile: a pause

    def kill(self):
        self.cluster.kill()
        self.wait(self.draw.uniform(0, 0.5))
        self.cluster.start()

    def kill_while_starting(self):
        """Killed once more while it recovers."""
        self.cluster.kill()
        server = peer.Server(self.cluster.program.command("server", str(self.cluster.broker.file)), self.folder / "broker/klamm.log",
                             cwd=self.cluster.broker.folder)
        self.wait(self.draw.uniform(0, 0.1))
        server.kill()
        self.cluster.start()

    def restart(self):
        self.cluster.restart()

    def freeze(self):
        self.cluster.freeze()
        self.wait(self.draw.uniform(0.1, 1.5))
        self.cluster.thaw()

    def freeze_and_kill(self):
        self.cluster.freeze()
        self.wait(self.draw.uniform(0, 0.3))
        self.kill()

    def cut(self):
        self.cluster.proxy.cut()

    def cut_inside(self):
        self.cluster.proxy.cut(after=self.draw.randrange(1, 20_000))

    def half_close(self):
        self.cluster.proxy.half_close(self.draw.random() < 0.5)

    def slow(self):
        self.cluster.proxy.slow(self.draw.uniform(0.02, 0.2))
        self.wait(self.draw.uniform(0.2, 1))
        self.cluster.proxy.heal()

    def stall(self):
        self.cluster.proxy.stall()
        self.wait(self.draw.uniform(0.2, 1))
        self.cluster.proxy.heal()

    def lose(self):
        self.cluster.proxy.lose()
        self.wait(self.draw.uniform(0.1, 1))
        self.cluster.proxy.heal()

    def fill_disk(self):
        """No byte is free for a while. A broker that ended because of it is started when there is room again."""
        filler = self.cluster.broker.data.parent / "filler"
        descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while os.write(descriptor, b"\0" * 65536):
                pass
        except OSError as full:
            peer.equal("what the full disk says", full.errno, errno.ENOSPC)
        os.close(descriptor)
        self.wait(self.draw.uniform(0.3, 1))
        filler.unlink()
        self.wait(0.2)
        if not self.cluster.alive():
            self.done["ends"] = self.done.get("ends", 0) + 1
            self.kill()

    def run(self, faults):
        end = time.monotonic() + self.seconds
        self.wait(0.5)
        while time.monotonic() < end:
            fault = self.draw.choice(faults)
            getattr(self, fault)()
            self.done[fault] = self.done.get(fault, 0) + 1
            peer.expect(self.cluster.alive(), f"the broker ended after {fault}: {self.cluster.log_tail()}")
            self.wait(self.draw.uniform(0.05, 0.7))
        return self.check()

    def check(self):
        for writer in self.writers:
            writer.begin_to_end()
        for writer in self.writers:
            writer.finish(PATIENCE)
        count = sum(len(writer.lines) for writer in self.writers)
        peer.expect(all(len(writer.lines) > 100 for writer in self.writers), f"too little was written: {[len(writer.lines) for writer in self.writers]}")
        for reader in self.readers:
            reader.wait_for(count, PATIENCE)
            work.compare(reader.name, reader.lines(), self.writers)
        afterwards = peer.run(work.kcat_consumer(self.cluster.direct, "chaos", "-e"), timeout=PATIENCE)
        work.compare("kcat afterwards", afterwards.text.splitlines(), self.writers)
        self.cluster.broker.stop()
        self.cluster.start()
        after_restart = peer.run(work.kcat_consumer(self.cluster.direct, "chaos", "-e"), timeout=PATIENCE)
        peer.expect(after_restart.out == afterwards.out or sorted(after_restart.out.splitlines()) == sorted(afterwards.out.splitlines()),
                    "after a clean restart the log reads differently")
        faults = ", ".join(f"{count} {fault}" for fault, count in sorted(self.done.items()))
        return f"{count} records; {faults}; {self.cluster.proxy.accepted} connections"

    def end(self):
        for one in (*self.writers, *self.readers):
            one.kill()
        self.cluster.end()


NETWORK = ("cut", "cut_inside", "half_close", "slow", "stall", "lose")
ROUNDS = {
    "kill": ("kill", "kill", "kill_while_starting"),
    "kill_flushed": ("kill", "kill", "kill_while_starting"),
    "freeze": ("freeze", "freeze", "freeze_and_kill"),
    "restart": ("restart",),
    "network": NETWORK,
    "everything": ("kill", "kill_while_starting", "freeze", "freeze_and_kill", "restart", *NETWORK),
    "disk_full": ("fill_disk", "fill_disk", "kill"),
}
TOPIC_CONFIGS = {"kill_flushed": {"flush.messages": 1}}  # acknowledged when it is on the disk


def run_round(name, seed, seconds, folder):
    if name in nodes.ROUNDS:
        return nodes.run_round(name, seed, seconds, folder)
    if name in disks.TRIALS:
        return disks.TRIALS[name](folder)
    disk = disks.RamDisk(folder, RAM_DISK_MB) if name == "disk_full" else None
    try:
        one = Round(name, seed, seconds, folder, disk.path / "data" if disk else None)
        try:
            one.begin()
            return one.run(ROUNDS[name])
        finally:
            one.end()
    finally:
        if disk:
            disk.end()


def too_late(_number, _frame):
    raise peer.Failure("the round's own time limit")


def told_to_end(_number, _frame):
    sys.exit("ended by SIGTERM")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="how many nodes are attacked (default: 1)")
    parser.add_argument("--seconds", type=float, default=36, help="of faults in all; checking them takes about as long again")
    parser.add_argument("--seed", type=int, help="draws the faults (default: drawn, and printed)")
    parser.add_argument("--keep", action="store_true", help="keep the working folder (kept anyway when a round fails)")
    parser.add_argument("--list", action="store_true", help="print the names of the rounds")
    parser.add_argument("names", nargs="*", metavar="name", help=f"only these: {', '.join([*ROUNDS, *disks.TRIALS])}; with --brokers 3 {', '.join(nodes.ROUNDS)}")
    chosen = parser.parse_args()
    timed = ROUNDS if chosen.brokers == 1 else nodes.ROUNDS
    known = [*timed, *disks.TRIALS] if chosen.brokers == 1 else [*timed]
    names = chosen.names or known
    if chosen.list:
        print("\n".join(known))
        return 0
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no such round: {', '.join(unknown)}")
    seed = random.randrange(1 << 32) if chosen.seed is None else chosen.seed
    print(f"seed {seed}", flush=True)
    signal.signal(signal.SIGALRM, too_late)
    signal.signal(signal.SIGTERM, told_to_end)
    work.judge_the_judge()
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="klamm-chaos-"))
    for name in names:
        start = time.monotonic()
        (folder / name).mkdir()
        signal.alarm(int(chosen.seconds / len(names) + 5 * PATIENCE))
        try:
            result, why = "ok", run_round(name, seed, chosen.seconds / max(1, sum(each in timed for each in names)), folder / name)
        except peer.Skip as skip:
            result, why = "skip", str(skip)
        except Exception as error:  # a round that cannot say what it saw has failed as well
            result, why = "FAIL", str(error) if isinstance(error, peer.Failure) else f"{type(error).__name__}: {error}"
        finally:
            signal.alarm(0)
        counts[result] += 1
        print(f"{result} {name} ({time.monotonic() - start:.1f} s): {why}", flush=True)
    if chosen.keep or counts["FAIL"]:
        print(f"kept: {folder}; again: ./dev chaos --brokers {chosen.brokers} --seed {seed} --seconds {chosen.seconds:g} {' '.join(names)}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] or not counts["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
