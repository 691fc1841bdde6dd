#!/usr/bin/env bash
# A real log through a broker and back, byte for byte: `./dev demo`. Leaves the data in build/demo/ for a look.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
klamm=$PWD/build/klamm
folder=$PWD/build/demo
lines_wanted=100000

die() {
  echo "demo: $*" >&2
  exit 1
}

# The longest log of this machine; where none is long enough, all of them and what the packages document of their changes,
# one after the other, until it is.
collect_log() {
  local file=$1 longest
  longest=$(find /var/log -type f -name '*.log' -readable -exec wc -l {} + 2>/dev/null | grep -v ' total$' | sort -n | tail -n 1 | awk '{ print $2 }')
  if [[ -n $longest && $(wc -l <"$longest") -ge $lines_wanted ]]; then
    cp "$longest" "$file"
    return
  fi
  : >"$file"
  while IFS= read -r log; do
    case $log in
      *.gz) zcat "$log" ;;
      *) cat "$log" ;;
    esac >>"$file"
    if [[ $(wc -l <"$file") -ge $lines_wanted ]]; then break; fi
  done < <(
    find /var/log -type f -name '*.log' -readable 2>/dev/null | sort
    find /usr/share/doc -type f -name 'changelog*.gz' 2>/dev/null | sort
  )
  [[ -z $(tail -c 1 "$file") ]] || echo >>"$file"
  [[ $(wc -l <"$file") -ge $lines_wanted ]] || die "this machine has no $lines_wanted lines of logs"
}

start_broker() {
  if (exec 3<>/dev/tcp/localhost/9092) 2>/dev/null; then die "something listens on $broker already"; fi
  (cd "$folder" && exec "$klamm" server >"$folder/server.log" 2>&1) &
  server=$!
  trap 'kill "$server" 2>/dev/null || true' EXIT
  until "$klamm" cluster cluster-id --bootstrap-server "$broker" >/dev/null 2>&1; do
    kill -0 "$server" 2>/dev/null || die "the broker did not start: $(tail -n 3 "$folder/server.log")"
  done
}

broker=localhost:9092
rm -rf "$folder"
mkdir -p "$folder"
collect_log "$folder/sent.log"
# As Kafka's, console-producer ends a line at a carriage return too.
tr -d '\r' <"$folder/sent.log" >"$folder/plain.log" && mv "$folder/plain.log" "$folder/sent.log"
start_broker
start=$(date +%s%N)
"$klamm" topics --create --topic demo --partitions 1 --bootstrap-server "$broker" >/dev/null
"$klamm" console-producer --topic demo --compression-codec zstd --bootstrap-server "$broker" <"$folder/sent.log"
sent=$(date +%s%N)
count=$(wc -l <"$folder/sent.log")
"$klamm" console-consumer --topic demo --partition 0 --offset earliest --max-messages "$count" --timeout-ms 30000 \
  --bootstrap-server "$broker" >"$folder/received.log" 2>"$folder/consumer.err"
received=$(date +%s%N)
cmp "$folder/sent.log" "$folder/received.log" || die "what came back is not what was sent: $folder"
kill "$server"
wait "$server" || die "the broker did not stop in order: $(tail -n 3 "$folder/server.log")"
trap - EXIT

cat <<END
Sent $count lines ($(stat -c %s "$folder/sent.log") bytes) through 'klamm console-producer' with zstd in $(((sent - start) / 1000000)) ms,
and read them back through 'klamm console-consumer' in $(((received - sent) / 1000000)) ms: byte for byte the same.
The broker kept them in $(du -sb "$folder"/klamm-data/demo-0 | cut -f1) bytes:
  $folder/klamm-data/demo-0

To try next:
  (cd build/demo && ../klamm server)
  build/klamm topics --describe --topic demo --bootstrap-server $broker
  build/klamm dump-log --files build/demo/klamm-data/demo-0/00000000000000000000.log --print-data-log | head
END
