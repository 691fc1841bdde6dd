"""Real data from this machine: text (headers, documentation, scripts, logs, dictionaries) and binary (shared libraries,
compressed archives). The same files in the same order on every run, so a checksum names its content."""
import functools
import pathlib

import peer

TEXT = (("/var/log", ("*.log",)), ("/usr/share/dict", ("*",)), ("/usr/share/common-licenses", ("*",)), ("/usr/share/perl", ("*.p[lm]",)),
        ("/usr/share/doc", ("*.txt", "*.html", "copyright")), ("/usr/include", ("*.h", "*.hpp")), ("/usr/lib/python3", ("*.py",)))
BINARY = (("/usr/share/doc", ("*.gz",)), ("/usr/lib", ("*.so*",)), ("/usr/bin", ("*",)))
WANTED = 64 << 20  # of each kind


def collect(places, wanted):
    """(bytes, number of files) of the first regular files, in the order of places and paths."""
    pieces, size, files = [], 0, 0
    for folder, patterns in places:
        found = sorted({path for pattern in patterns for path in pathlib.Path(folder).rglob(pattern)})
        for path in found:
            if size >= wanted:
                return b"".join(pieces)[:wanted], files
            try:
                if path.is_symlink() or not path.is_file():
                    continue
                piece = path.read_bytes()[:8 << 20]
            except OSError:
                continue
            pieces.append(piece)
            size += len(piece)
            files += 1
    return b"".join(pieces), files


@functools.cache
def text():
    """Lines of text, each ended by a newline, none empty or longer than 10,000 bytes; all of it is UTF-8, because Kafka's
    console tools read and write characters, not bytes."""
    raw, _ = collect(TEXT, WANTED)
    clean = raw.decode("utf-8", "ignore").replace("\r", "").replace("\0", "").encode()
    content = b"\n".join(line for line in clean.split(b"\n") if line and len(line) <= 10000) + b"\n"
    if len(content) < 8 << 20:
        raise peer.Skip(f"only {len(content)} bytes of text on this machine")
    return content


@functools.cache
def binary():
    content, _ = collect(BINARY, WANTED)
    if len(content) < 8 << 20:
        raise peer.Skip(f"only {len(content)} bytes of binary data on this machine")
    return content


def window(content, number, size):
    """The number-th piece of this size, from the start again after the last."""
    count = max(1, len(content) // size)
    start = (number % count) * size
    return content[start:start + size]


def lines(number, size):
    """Whole lines of text, about `size` bytes."""
    content = text()
    start = (number * size) % max(1, len(content) - size)
    start = content.index(b"\n", start) + 1 if start else 0
    end = content.find(b"\n", min(start + size, len(content) - 2)) + 1
    return content[start:end]


def chunks(number, size):
    return window(binary(), number, size)


class Moved:
    """Counts what has been compared by checksum at the far end."""
    total = 0

    @classmethod
    def add(cls, size):
        cls.total += size


def compare(what, got, wanted):
    """Got and wanted are bytes; equal by checksum, or Failure with the first difference."""
    if peer.sha256(got) != peer.sha256(wanted):
        at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
        raise peer.Failure(f"{what}: {len(got)} bytes read, {len(wanted)} sent; they differ at byte {at}: {got[at:at + 40]!r} for {wanted[at:at + 40]!r}")
    Moved.add(len(wanted))
