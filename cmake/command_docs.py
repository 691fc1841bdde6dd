#!/usr/bin/env python3
"""Writes klamm's man page and bash completion from what the program says of itself.

`klamm --help` lists each tool as a line "  name  what it does"; `klamm <tool> --help` names its options with `--option`.
usage: command_docs.py --man FILE --bash FILE --version V path/to/klamm
"""
import argparse
import pathlib
import re
import subprocess

TOOL = re.compile(r"^ {2,4}([a-z][a-z0-9-]*) {2,}(\S.*)$", re.M)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]")


def help_of(program, *words):
    run = subprocess.run([program, *words, "--help"], capture_output=True, text=True, timeout=30, check=False)
    return run.stdout + run.stderr


def escape(text):
    """A line of plain text as roff shows it unchanged."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def man_page(version, tools, helps):
    out = [f'.TH KLAMM 1 "" "klamm {version}" "User Commands"', ".SH NAME",
           "klamm \\- Apache Kafka's broker and console tools in one program", ".SH SYNOPSIS",
           ".B klamm", ".I tool", "[options]", ".SH DESCRIPTION",
           "Each tool has the name, options, output and exit status of Apache Kafka's tool of that name;",
           "called through a link named", ".BR kafka\\-\\fItool\\fP.sh ,", "klamm is that tool.", ".SH TOOLS"]
    for name, text in tools:
        out += [".TP", f".B {escape(name)}", escape(text)]
    for name, _ in tools:
        out += [f".SH {escape(name).upper()}", ".nf", *map(escape, helps[name].rstrip().splitlines()), ".fi"]
    return "\n".join(out) + "\n"


def completion(tools, options):
    lines = ["# bash completion for klamm and for its kafka-<tool>.sh links", "_klamm() {",
             '  local current=${COMP_WORDS[COMP_CWORD]} tool=${COMP_WORDS[0]##*/} words=""',
             "  if [[ $tool == kafka-*.sh ]]; then", "    tool=${tool#kafka-} tool=${tool%.sh} tool=${tool/#server-start/server}",
             "  elif [[ $COMP_CWORD -gt 1 ]]; then", "    tool=${COMP_WORDS[1]}", "  else",
             f'    words="{" ".join(name for name, _ in tools)} --help --version" tool=""', "  fi", '  case "$tool" in']
    for name, _ in tools:
        lines.append(f'    {name}) words="{" ".join(options[name])}" ;;')
    lines += ["  esac", '  if [[ -z $words || ( -n $tool && $current != -* ) ]]; then',
              '    mapfile -t COMPREPLY < <(compgen -f -- "$current")', "  else",
              '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")', "  fi", "}",
              "complete -o filenames -F _klamm klamm kafka-server-start.sh " + " ".join(f"kafka-{name}.sh" for name, _ in tools)]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--man", type=pathlib.Path, required=True)
    parser.add_argument("--bash", type=pathlib.Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("program")
    options = parser.parse_args()
    tools = TOOL.findall(help_of(options.program))
    if not tools:
        parser.error("`klamm --help` lists no tool")
    helps = {name: help_of(options.program, name) for name, _ in tools}
    flags = {name: sorted(set(OPTION.findall(helps[name]))) for name, _ in tools}
    options.man.write_text(man_page(options.version, tools, helps), encoding="utf-8")
    options.bash.write_text(completion(tools, flags), encoding="utf-8")


if __name__ == "__main__":
    main()
