#!/usr/bin/env bash
# Random instances of every message in every version, both ways between Kafka's serializers and klamm's:
#   Kafka writes, klamm decodes, encodes and prints as JSON;  klamm writes, Kafka does the same.
# The last line says how many were compared. COUNT instances a message and version (default 10), SEED (default 1).
# BUILD is the build folder (default build/).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$root/build}
count=${COUNT:-10}
seed=${SEED:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --build "$build" --target message_check >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
check=$build/tests/message_check
jars=$(python3 "$root/tests/peers/kafka.py" libs)
javac -d "$work" -cp "$jars/*" "$root/tests/peers/kafka/Messages.java"
kafka() { java -XX:+UseSerialGC -cp "$work:$(printf '%s:' "$jars"/*.jar)" Messages "$@"; }

kafka write "$seed" "$count" >"$work/kafka.txt"
there=$("$check" compare <"$work/kafka.txt") || { echo "$there"; exit 1; }
"$check" mutate "$seed" 1 <"$work/kafka.txt" >"$work/klamm.txt"
back=$(kafka verify <"$work/klamm.txt") || { echo "$back"; exit 1; }
echo "Kafka to klamm: $there"
echo "klamm to Kafka: $back"
echo "$((${there%% *} + ${back%% *})) messages compared, 0 different"
