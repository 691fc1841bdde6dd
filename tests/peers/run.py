#!/usr/bin/env python3
"""Runs klamm against foreign clients, tools and brokers: `./dev peers [--list] [--against klamm|kafka] [--keep] [name...]`.

Each check is real at both ends and compares by checksum. A name selects the checks that begin with it. `--against kafka`
puts Apache Kafka in klamm's place everywhere: every check must pass there, or the check itself is wrong.
Prints `ok|FAIL|skip name` for each and ends with "N passed, N failed, N skipped".
"""
import argparse
import importlib
import pathlib
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import data  # noqa: E402
import peer  # noqa: E402
from context import Context  # noqa: E402


def load_checks():
    for file in sorted((peer.HERE / "checks").glob("*.py")):
        importlib.import_module(f"checks.{file.stem}")


def too_late(_signal, _frame):
    raise peer.Failure("the check's own time limit")


def run_one(check, context):
    """("ok"|"FAIL"|"skip", what to say)"""
    signal.alarm(check.timeout)
    try:
        return "ok", check.function(context) or ""
    except peer.Skip as skip:
        return "skip", str(skip)
    except Exception as error:  # a check that cannot say what it saw has failed as well
        return "FAIL", str(error) if isinstance(error, peer.Failure) else f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)


def run_all(checks, against, keep):
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="klamm-peers-"))
    context = Context(against, folder)
    try:
        for check in checks:
            start = time.monotonic()
            result, why = run_one(check, context)
            counts[result] += 1
            print(f"{result} {check.name} ({time.monotonic() - start:.1f} s){': ' + why if why else ''}", flush=True)
        for why in context.close():
            counts["FAIL"] += 1
            print(f"FAIL {why}", flush=True)
    finally:
        context.kill()
        if keep or counts["FAIL"]:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the names of the checks")
    parser.add_argument("--against", choices=("klamm", "kafka"), default="klamm", help="whose broker and tools are under test")
    parser.add_argument("--keep", action="store_true", help="keep the working folder (kept anyway when a check fails)")
    parser.add_argument("names", nargs="*", help="only checks whose names begin so")
    options = parser.parse_args()
    load_checks()
    chosen = [check for name, check in peer.CHECKS.items() if not options.names or name.startswith(tuple(options.names))]
    if options.list:
        print("\n".join(check.name for check in chosen))
        return 0
    signal.signal(signal.SIGALRM, too_late)
    start = time.monotonic()
    counts = run_all(chosen, options.against, options.keep)
    print(f"{data.Moved.total / 1e6:.0f} MB compared by checksum in {time.monotonic() - start:.0f} s")
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] or not counts["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
