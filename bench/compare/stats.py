"""Medians with their spread, and the machine's own noise."""
import contextlib
import os
import pathlib
import statistics
import subprocess
import sys


class Sample:
    """Repeated measurements of one thing."""

    def __init__(self, values):
        self.values = sorted(values)

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def low(self):
        return self.values[0]

    @property
    def high(self):
        return self.values[-1]

    def text(self, form="{:.2f}", scale=1.0):
        """«1.20 (1.10–1.31)»: median, least and greatest."""
        if len(self.values) == 1:
            return form.format(self.median * scale)
        return f"{form.format(self.median * scale)} ({form.format(self.low * scale)}–{form.format(self.high * scale)})"


def ratios(above, below):
    """Of each repeat by itself, so that slow drift of the machine falls out."""
    return Sample([one / other for one, other in zip(above, below)])


def meminfo(name):
    """Bytes."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))


# Memory that a guest does not use goes back to the host of a virtual machine within seconds; each page that the page cache then takes
# for a log costs a fault of the host, several times the write itself, whichever broker writes. So most memory is held by a process that
# does nothing, and of the rest what is free is used shortly before each run, but for a little: the page cache takes the largest free blocks
# first, and they are the ones that would be left.
LEFT_BYTES = 6 << 30
UNCLAIMED_BYTES = 160 << 20


@contextlib.contextmanager
def held_memory():
    size = meminfo("MemAvailable") - LEFT_BYTES
    if size <= 0:
        yield
        return
    holder = subprocess.Popen([sys.executable, "-c", "import sys; held = b'\\1' * int(sys.argv[1]); print('held', flush=True); sys.stdin.read()", str(size)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        holder.stdout.readline()
        yield
    finally:
        holder.kill()
        holder.communicate()


def claim_memory():
    held = b"\1" * max(0, min(meminfo("MemFree"), LEFT_BYTES) - UNCLAIMED_BYTES)
    del held


TICKS = os.sysconf("SC_CLK_TCK")


def process_cpu(pid):
    """(user, system) seconds of a process with all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def status_kb(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise KeyError(key)


def machine_cpu():
    """(busy, steal) seconds of all cores."""
    fields = [int(field) / TICKS for field in pathlib.Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, soft, steal = fields[:8]
    return user + nice + system + irq + soft, steal
