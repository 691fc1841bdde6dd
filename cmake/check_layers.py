#!/usr/bin/env python3
"""Rejects any #include that cmake/layers.txt does not allow.

usage: check_layers.py [--root DIR] [--layers FILE] [--self-test]
Prints `file:line: what is wrong` for each and exits 1; exits 0 with a summary when there is none.
"""
import argparse
import fnmatch
import pathlib
import re
import sys
import tempfile

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')
# Public headers are included as users include them.
PUBLIC = {"client/include": "client/include/klamm", "broker/include": "broker/include/klamm"}
# Code that the build generates lives in the build tree under the folder of the room it belongs to.
SOURCES = ("*.h", "*.cc")


class Layers:
    def __init__(self, text):
        self.allowed = {}
        self.asio = []
        for number, line in enumerate(text.splitlines(), 1):
            line = line.split("#", 1)[0].strip()
            if not line:
                continue
            name, colon, rest = line.partition(":")
            if not colon:
                raise ValueError(f"layers.txt:{number}: expected `room: rooms`")
            if name == "@asio":
                self.asio = rest.split()
            else:
                self.allowed[name] = self._expand(number, name, rest.split())

    def _expand(self, number, name, words):
        rooms = {name}
        for word in words:
            if word == "*":
                rooms.update(self.allowed)
            elif word.endswith("/*"):
                rooms.update(room for room in self.allowed if room.startswith(word[:-1]))
            elif word in self.allowed:
                rooms.add(word)
            else:
                raise ValueError(f"layers.txt:{number}: {name} names {word}, which does not stand above it")
        return rooms

    def room_of(self, path):
        """The innermost room that holds the path; None for a folder that no room covers."""
        folder = path.rpartition("/")[0]
        while folder:
            if folder in self.allowed:
                return folder
            folder = folder.rpartition("/")[0]
        return None


def resolve(root, target):
    """The repository path that an include names, or None when it is not ours."""
    if target.startswith("klamm/"):
        for folder in PUBLIC:
            if (root / folder / target).is_file():
                return f"{folder}/{target}"
        return None
    return target


def judge(layers, root, path, quote, target):
    room = layers.room_of(path)
    if target == "asio.hpp" or target.startswith("asio/"):
        if not any(fnmatch.fnmatch(path, pattern) for pattern in layers.asio):
            return "Asio's headers belong to io/*.cc and the completion-token adapters"
        return None
    if target.startswith("."):
        return f'"{target}" is not written from the repository root'
    other = resolve(root, target)
    if other is None:
        return f'<{target}> is no public header of this repository'
    other_room = layers.room_of(other)
    if other_room is None:
        if quote == '"' and "/" not in other and not (room == "tests" and (root / path).with_name(other).is_file()):
            return f'"{target}" is not written from the repository root'
        return None
    if other_room not in layers.allowed[room]:
        return f"{room} may not include {other_room} ({target})"
    return None


def check(root, layers):
    problems, files = [], 0
    folders = sorted({room.split("/")[0] for room in layers.allowed})
    for folder in folders:
        for pattern in SOURCES:
            for file in sorted((root / folder).rglob(pattern)):
                path = file.relative_to(root).as_posix()
                if path.startswith(("tests/peers/", "tests/package/")):
                    continue  # other projects' programs
                if layers.room_of(path) is None:
                    problems.append(f"{path}: its folder is no room of cmake/layers.txt")
                    continue
                files += 1
                for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                    match = INCLUDE.match(line)
                    if not match:
                        continue
                    problem = judge(layers, root, path, match[1], match[2])
                    if problem:
                        problems.append(f"{path}:{number}: {problem}")
    return problems, files


def self_test():
    """Plants one fault of each kind; every one must be reported, and the clean lines must not."""
    text = "base:\nio: base\nprotocol: base\nclient/include/klamm: base\nclient: base io protocol client/*\nbroker/server: base io protocol\ntests: *\n@asio: io/*.cc\n"
    tree = {
        "base/a.h": '#include <vector>\n#include "base/b.h"\n',
        "base/b.h": '#include "io/up.h"\n',
        "io/up.h": '#include "base/a.h"\n',
        "io/loop.cc": '#include <asio.hpp>\n#include "io/up.h"\n',
        "protocol/p.h": "#include <asio/post.hpp>\n",
        "client/include/klamm/producer.h": '#include "base/a.h"\n',
        "client/c.cc": '#include "klamm/producer.h"\n#include "broker/server/s.h"\n#include "../io/up.h"\n',
        "broker/server/s.h": '#include <fmt/core.h>\n  #  include "klamm/producer.h"\n#include "s2.h"\n',
        "broker/lost/x.h": "",
        "tests/unit/lab.h": "",
        "tests/unit/a_test.cc": '#include "lab.h"\n#include "broker/server/s.h"\n#include "missing.h"\n',
    }
    expected = ["base/b.h:1", "protocol/p.h:1", "client/c.cc:2", "client/c.cc:3", "broker/server/s.h:2", "broker/server/s.h:3", "broker/lost/x.h", "tests/unit/a_test.cc:3"]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, content in tree.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content)
        problems, _ = check(root, Layers(text))
    found = sorted(problem.split(": ")[0] for problem in problems)
    errors = [f"wanted {sorted(expected)}\n   got {found}"] if found != sorted(expected) else []
    for bad in ("io: base\nbase:\n", "base io\n"):
        try:
            Layers(bad)
            errors.append(f"accepted {bad!r}")
        except ValueError:
            pass
    return errors


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, default=here.parent)
    parser.add_argument("--layers", type=pathlib.Path, default=here / "layers.txt")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        problems = self_test()
        print("\n".join(problems) if problems else "every planted fault was found")
        return 1 if problems else 0
    problems, files = check(options.root, Layers(options.layers.read_text(encoding="utf-8")))
    print("\n".join(problems) if problems else f"{files} files keep to cmake/layers.txt")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
