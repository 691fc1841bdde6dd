#!/usr/bin/env python3
"""House rules that a compiler does not know: where locks, clocks and descriptors may appear, how co_await is written.

usage: check_rules.py [--root DIR] [--self-test]
Prints `file:line: what is wrong` for each and exits 1. A line that must break a rule says why after `// rule:`.
"""
import argparse
import pathlib
import re
import sys
import tempfile

ROOMS = ("base", "io", "protocol", "client", "broker", "tools")
FOLDERS = ROOMS + ("tests", "bench", "examples")

# (applies to paths that start with, but not with, pattern, what to say)
LINE_RULES = [
    (("protocol/", "client/", "broker/", "tools/"), (),
     re.compile(r"\bstd::(recursive_|shared_|timed_)?mutex\b|\bstd::atomic\w*\b|\bstd::condition_variable"),
     "locks and atomics belong to base/ and io/: cross shards with io::call"),
    (("protocol/", "client/", "broker/"), (),
     re.compile(r"\bthread_local\b"), "no thread_local: state belongs to a shard"),
    (("base/", "protocol/", "client/", "broker/", "tools/"), (),
     re.compile(r"\b(steady|system|high_resolution)_clock::now\b|\bstd::random_device\b"),
     "clocks and randomness come from io::Shard"),
    (("base/", "protocol/", "client/", "broker/", "tools/"), (),
     re.compile(r"(?<![\w>\])])::(open|openat|creat|fsync|fdatasync|socket)\s*\("),
     "files and sockets come from io::Shard"),
    (("tests/", "bench/"), (),
     re.compile(r"\bsleep_(for|until)\s*\(|\busleep\s*\(|\bnanosleep\s*\(|\btime\.sleep\s*\(|\bThread\.sleep\s*\(|^\s*sleep\s+[0-9]"),
     "a test waits for a condition, it does not sleep"),
    (("tests/",), (),
     re.compile(r"_MESSAGE\(.*\.error\(\)\.message\(\)"),
     "doctest -s words the messages of checks that pass, too: why_of(result) of tests/unit/why.h"),
    (tuple(f"{folder}/" for folder in FOLDERS), (),
     re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"), "unfinished work belongs to the report, not to a comment"),
]
SOURCE_ENDS = (".h", ".cc")
SCRIPT_ENDS = (".py", ".sh", ".java", ".go", ".js")
SPACES = re.compile(r"[^\n]")
TOKENS = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-zA-Z])\'(?:\\.|[^\'\\\n])*\'', re.S)
BLOCK_BEFORE = re.compile(r"(\)|\]|[;{}:]|\b(else|do|try|noexcept|mutable|const|override|final)|->[^;{}()]*)\s*$|^\s*$")
CONTROL = re.compile(r"^\s*(if\s+constexpr|if|while|for|switch)\s*\(")
LABEL = re.compile(r"^\s*(else\b|do\b|(case\b[^?:]*(::[^?:]*)*|default|\w+)\s*:(?!:))")
ALONE = re.compile(r"^\s*(\(void\)\s*|co_return\s+|.*[^=!<>&|+\-*/%^]=\s*)?$", re.S)


def blank(text):
    """The text with comments, strings and characters turned to spaces; lines stay where they are."""
    return TOKENS.sub(lambda match: SPACES.sub(" ", match[0]), text)


def statement_start(code, at):
    """(start, fault): where the statement with the token at `at` begins, and why it does not stand alone."""
    depth, i = 0, at - 1
    while i >= 0:
        char = code[i]
        if char in ")]":
            depth += 1
        elif char in "([":
            if depth == 0:
                return i + 1, "inside a parenthesis"
            depth -= 1
        elif depth == 0:
            if char in ";}":
                return i + 1, None
            if char == "{":
                return i + 1, None if BLOCK_BEFORE.search(code[max(0, i - 400):i]) else "inside a braced list"
        i -= 1
    return 0, None


def skip_group(code, i):
    """The position after the bracket group that opens at i."""
    depth = 0
    while i < len(code):
        if code[i] in "([{":
            depth += 1
        elif code[i] in ")]}":
            depth -= 1
            if depth == 0:
                return i + 1
        i += 1
    return i


def strip_control(prefix):
    while True:
        match = CONTROL.match(prefix)
        if match:
            prefix = prefix[skip_group(prefix, match.end() - 1):]
            continue
        match = LABEL.match(prefix)
        if not match:
            return prefix
        prefix = prefix[match.end():]


def operand_fault(code, at):
    """What is wrong to the right of a co_await, up to the end of its statement."""
    depth, i = 0, at
    while i < len(code):
        char = code[i]
        if char == "{":
            end = skip_group(code, i)
            is_block = BLOCK_BEFORE.search(code[max(0, i - 400):i])
            if not is_block and code[i + 1:end - 1].strip():
                return "with a braced list in its expression"
            i = end
            continue
        if char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
            if depth < 0:
                return None
        elif depth == 0:
            if char == ";":
                return None
            if char == "?" or code[i:i + 2] in ("&&", "||", "==", "!=", "<<"):
                return "inside a larger expression"
        i += 1
    return None


def co_await_faults(code):
    for match in re.finditer(r"\bco_await\b", code):
        start, fault = statement_start(code, match.start())
        if fault is None and not ALONE.match(strip_control(code[start:match.start()])):
            fault = "inside a larger expression"
        fault = fault or operand_fault(code, match.end())
        if fault:
            yield code.count("\n", 0, match.start()) + 1, f"co_await {fault}: let it stand alone in its statement"


def check_file(path, text):
    is_source = path.endswith(SOURCE_ENDS)
    code = blank(text) if is_source else text
    lines, code_lines = text.splitlines(), code.splitlines()
    found = []
    for where, but, pattern, message in LINE_RULES:
        if not path.startswith(where) or (but and path.startswith(but)):
            continue
        subject = lines if "unfinished" in message else code_lines
        found += [(number, message) for number, line in enumerate(subject, 1) if pattern.search(line)]
    if is_source:
        found += co_await_faults(code)
        if path.endswith(".h") and "#pragma once" not in text:
            found.append((1, "a header begins with #pragma once"))
    return [f"{path}:{number}: {message}" for number, message in sorted(found) if "// rule:" not in lines[number - 1]]


def check(root):
    problems, files = [], 0
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if "node_modules" in file.parts or not file.is_file() or not file.name.endswith(SOURCE_ENDS + SCRIPT_ENDS):
                continue
            files += 1
            problems += check_file(file.relative_to(root).as_posix(), file.read_text(encoding="utf-8", errors="replace"))
    return problems, files


SELF_TEST = {
    "broker/good.cc": """
Task<void> f() {
  auto x = co_await g(1, h(2));
  if (x) co_await g(*x);
  for (int i = 0; i < 3; ++i) co_await g(i);
  while (ticket != serving_) co_await freed_.wait();
  Result<std::size_t> got = co_await (*file)->read(0, MutableBytes(buffer->data(), *size));
  x = co_await call(here, there, [&]() -> Task<int> { int y = co_await g(1); co_return y; });
  [](Task<void> owned) -> Detached { co_await owned; }(std::move(task));
  switch (x) { case Kind::a: co_await g(); break; default: co_await g(); }
  // if (co_await g()) in a comment, "co_await (" in a string
  if constexpr (a) { co_await g(); } else { co_await g(); }
  file->log().open(1);
  std::shared_ptr<Log> log = Log::open(path);
  co_return co_await g(Empty{});
}
""",
    "broker/bad.cc": """
Task<void> f() {
  if (co_await g()) return;
  auto x = y && co_await g();
  Foo foo{co_await g()};
  use(co_await g());
  auto z = co_await g(Endpoint{"a", 1});
  auto w = co_await g({1, 2});
  bool b = co_await g() == 3;
  co_return Foo{1, co_await g()};
}
std::mutex m;
std::atomic<int> a;
auto t = std::chrono::steady_clock::now();
int fd = ::open("x", 0);
std::mutex excused;  // rule: shown by the self-test
""",
    "base/no_guard.h": "int x;\n",
    "tests/unit/slow_test.cc": "void f() { std::this_thread::sleep_for(1ms); }\n",
    "tests/unit/eager_test.cc": "void f() { CHECK_MESSAGE(read, read.error().message()); }\n",
    "tests/slow.sh": "true\nsleep 5\n",
}
SELF_TEST_FOUND = [f"broker/bad.cc:{n}" for n in (3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15)] + [
    "base/no_guard.h:1", "tests/unit/slow_test.cc:1", "tests/unit/eager_test.cc:1", "tests/slow.sh:2"]


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, content in SELF_TEST.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content)
        problems, _ = check(root)
    found = [problem.split(": ")[0] for problem in problems]
    return [] if sorted(found) == sorted(SELF_TEST_FOUND) else [f"wanted {sorted(SELF_TEST_FOUND)}\n   got {sorted(found)}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        problems = self_test()
        print("\n".join(problems) if problems else "every planted fault was found")
        return 1 if problems else 0
    problems, files = check(options.root)
    print("\n".join(problems) if problems else f"{files} files keep the house rules")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
