"""What every check stands on: the registry, child processes with deadlines, waiting for conditions, the context."""
import dataclasses
import hashlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("KLAMM_PEERS_CACHE", pathlib.Path.home() / ".cache/klamm/peers"))


class Skip(Exception):
    """The check's foreign peer cannot be had on this machine."""


class Failure(Exception):
    """What was seen is not what was wanted."""


@dataclasses.dataclass
class Check:
    name: str
    function: object
    timeout: int


CHECKS = {}


def check(name, timeout=120):
    """Registers a check: a function that takes the context, raises Failure or Skip, and may return a word on what it did.
    `timeout` in seconds, for all of it."""
    def register(function):
        if name in CHECKS:
            raise ValueError(f"two checks are named {name}")
        CHECKS[name] = Check(name, function, timeout)
        return function
    return register


def expect(condition, message):
    if not condition:
        raise Failure(message)


def equal(what, got, wanted):
    if got != wanted:
        raise Failure(f"{what}: got {shorten(got)}, wanted {shorten(wanted)}")


def shorten(value, limit=600):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit // 2]} ... {text[-limit // 2:]}"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


_pause = threading.Event()


def wait_until(what, condition, timeout=30):
    """Looks at a condition until it holds; Failure names what was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        expect(time.monotonic() < deadline, f"{what}: not within {timeout} s")
        _pause.wait(0.03)


def program(name):
    """The path of a foreign program, or Skip."""
    path = shutil.which(name)
    if not path:
        raise Skip(f"{name} is not installed (./dev deps peers)")
    return path


@dataclasses.dataclass
class Ran:
    argv: list
    status: int
    out: bytes
    err: bytes

    @property
    def text(self):
        return self.out.decode("utf-8", "replace")

    @property
    def errors(self):
        return self.err.decode("utf-8", "replace")


def run(argv, stdin=b"", timeout=60, status=0, env=None, cwd=None):
    """Runs a program to its end. `stdin` is bytes or a path; `status` is the wanted exit status, None for any."""
    argv = [str(word) for word in argv]
    source = open(stdin, "rb") if isinstance(stdin, pathlib.Path) else None
    try:
        done = subprocess.run(argv, input=None if source else stdin, stdin=source, capture_output=True, timeout=timeout,
                              env={**os.environ, **(env or {})}, cwd=cwd, check=False)
    except subprocess.TimeoutExpired as late:
        tail = ((late.stderr or b"") + (late.stdout or b""))[-400:].decode("utf-8", "replace")
        raise Failure(f"{brief(argv)}: still running after {timeout} s; last words: {tail!r}") from None
    finally:
        if source:
            source.close()
    ran = Ran(argv, done.returncode, done.stdout, done.stderr)
    if status is not None and ran.status != status:
        raise Failure(f"{brief(argv)}: exit status {ran.status}, wanted {status}; stderr: {shorten(ran.errors)} stdout: {shorten(ran.text)}")
    return ran


def brief(argv):
    words = [word for word in argv if not word.startswith(("-X", "-D", "-cp")) and "/libs/" not in word]
    return shorten(" ".join(words), 160)


class Server:
    """A child that runs until it is stopped, by its own id; its output goes to a file."""

    def __init__(self, argv, log, cwd=None, env=None):
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
                                            env={**os.environ, **(env or {})})

    def alive(self):
        return self.process.poll() is None

    def tail(self, size=1500):
        return self.log.read_bytes()[-size:].decode("utf-8", "replace")

    def stop(self, timeout=30):
        """SIGTERM, and the exit status; SIGKILL and Failure when it does not end."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"still running {timeout} s after SIGTERM: {self.tail()}") from None

    def kill(self):
        if self.alive():
            self.process.kill()
        return self.process.wait(30)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
