#!/usr/bin/env python3
"""Runs the examples against a klamm broker: examples.py <folder of the examples> (KLAMM names the program)."""
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "peers"))
import broker  # noqa: E402
import klamm  # noqa: E402
import peer  # noqa: E402

LINES = [f"line {number}" for number in range(1, 2001)]


def main():
    folder = pathlib.Path(sys.argv[1])

    def run(example, *arguments, text="", with_stderr=False):
        command = [str(folder / f"example_{example}"), *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
        peer.expect(done.returncode == 0, f"{example} ended with {done.returncode}: {done.stderr}")
        return (done.stdout, done.stderr) if with_stderr else done.stdout

    run("embedded_broker_test")
    run("cluster_failover_test")
    with tempfile.TemporaryDirectory() as work:
        node = broker.Broker(klamm.Klamm(), work).start()
        try:
            described = run("admin", node.bootstrap, "sorted")
            peer.expect("created sorted" in described and "retention.ms=86400000" in described, described)
            peer.expect(described.count("1 in-sync replicas") == 3, described)
            peer.expect("there already" in run("admin", node.bootstrap, "sorted"), "a second admin made the topic again")

            last = run("coroutine_producer", node.bootstrap, "log", text="\n".join(LINES) + "\n")
            peer.expect(last == "the last line is at log-0 offset 1999\n", last)
            printed, told = run("consumer_loop", node.bootstrap, "log", with_stderr=True)
            peer.expect(printed == "".join(f"0@{at} {line}\n" for at, line in enumerate(LINES)), "consumer_loop printed something else")
            peer.expect(re.fullmatch(r"2000 records read with [1-9]\d* fetches, 0 to come", told.splitlines()[-1]), told)

            confirmed = run("callback_producer", node.bootstrap, "keyed", "10").splitlines()
            peer.expect(sorted(confirmed) == sorted(f"key {n} is at partition 0 offset {n - 1}" for n in range(1, 11)), confirmed)
            node.stop()
        finally:
            node.kill()
    print("6 examples passed")


main()
