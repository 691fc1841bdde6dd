#!/usr/bin/env bash
# program.sh <prefix>: the installed program, its man page, which must tell of every tool, and its bash completion, which must
# complete the names of tools, their options, and files, also behind a link with Kafka's name.
set -euo pipefail
prefix=$1
klamm=$prefix/bin/klamm
man=$prefix/share/man/man1/klamm.1

die() {
  echo "$*" >&2
  exit 1
}

mapfile -t tools < <("$klamm" --help | sed -nE 's/^ {2,4}([a-z][a-z0-9-]*) {2,}[^ ].*/\1/p')
[[ ${#tools[@]} -gt 20 ]] || die "klamm --help lists ${#tools[@]} tools"
for tool in "${tools[@]}"; do
  section=${tool//-/\\-}
  grep -qxF ".SH ${section^^}" "$man" || die "the man page has no section for $tool"
done

# shellcheck source=/dev/null
source "$prefix/share/bash-completion/completions/klamm"
# completed <word>...: what the completion offers for the last word.
completed() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  _klamm
  echo "${COMPREPLY[*]:-}"
}
# offers <wanted> <word>...
offers() {
  local wanted=$1 got
  shift
  got=$(completed "$@")
  [[ " $got " == *" $wanted "* ]] || die "completion of '$*' offers '$got', not $wanted"
}
for tool in "${tools[@]}"; do
  offers "$tool" klamm "$tool"
  complete -p "kafka-$tool.sh" >/dev/null || die "kafka-$tool.sh has no completion"
done
offers console-consumer klamm cons
offers --bootstrap-server klamm topics --boot
offers --bootstrap-server kafka-topics.sh --boot
offers --compression-codec klamm console-producer --topic log --com
offers --override klamm server --over
cd "$prefix/share"
offers bash-completion klamm server bash
offers bash-completion kafka-server-start.sh bash
offers --override kafka-server-start.sh --over
