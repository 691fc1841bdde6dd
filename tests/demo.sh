#!/usr/bin/env bash
# What `./dev demo` runs after the build: a real log goes through `klamm console-producer` to a broker and comes back
# through `klamm console-consumer`, byte for byte. Leaves the data in build/demo/ for a look. KLAMM names another program
# than build/klamm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
klamm=$(realpath "${KLAMM:-build/klamm}")
folder=$PWD/build/demo
lines_wanted=100000
topic=demo

die() {
  echo "demo: $*" >&2
  exit 1
}

# The longest log of this machine; where none is long enough, all of them and what the packages say of themselves, one
# after the other, until it is. Without carriage returns: a console producer ends a line at each, as at a newline.
collect_log() {
  local file=$1 longest log
  longest=$(find /var/log -type f -name '*.log' -readable -exec wc -l {} + 2>/dev/null | grep -v ' total$' | sort -n | tail -n 1 | awk '{ print $2 }')
  if [[ -n $longest && $(wc -l <"$longest") -ge $lines_wanted ]]; then
    tr -d '\r' <"$longest" >"$file"
    source_text=$longest
  else
    : >"$file"
    source_text="this machine's logs, and its packages' lists and changelogs"
    while IFS= read -r log; do
      case $log in
        *.gz) zcat "$log" ;;
        *) cat "$log" ;;
      esac | tr -d '\r' >>"$file"
      if [[ $(wc -l <"$file") -ge $lines_wanted ]]; then break; fi
    done < <(
      find /var/log -type f -name '*.log' -readable 2>/dev/null | sort
      find /var/lib/dpkg/info -type f -name '*.list' -readable 2>/dev/null | sort
      find /usr/share/doc -type f -name 'changelog*.gz' -readable 2>/dev/null | sort
    )
  fi
  [[ -z $(tail -c 1 "$file") ]] || echo >>"$file"
  [[ $(wc -l <"$file") -ge $lines_wanted ]] || die "this machine has no $lines_wanted lines of logs"
}

server=
stop_broker() {
  local status=0
  if [[ -n $server ]]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" || status=$?
    server=
  fi
  return "$status"
}
trap 'stop_broker || true' EXIT

# Starts a development broker on two free ports and waits for its ready line.
start_broker() {
  local ports line output
  read -r -a ports < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for one in sockets: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))')
  broker=localhost:${ports[0]}
  mkfifo "$folder/server.pipe"
  (cd "$folder" && exec "$klamm" server --override "listeners=PLAINTEXT://$broker,CONTROLLER://localhost:${ports[1]}") >"$folder/server.pipe" 2>&1 &
  server=$!
  exec {output}<"$folder/server.pipe"
  rm "$folder/server.pipe"
  while IFS= read -r -t 60 -u "$output" line; do
    echo "$line" >>"$folder/server.log"
    if [[ $line == "klamm is ready"* ]]; then
      cat <&"$output" >>"$folder/server.log" &
      return
    fi
  done
  die "the broker did not start: $(tail -n 3 "$folder/server.log" 2>/dev/null)"
}

[[ -x $klamm ]] || die "$klamm does not exist: ./dev build"
rm -rf "$folder"
mkdir -p "$folder"
collect_log "$folder/sent.log"
count=$(wc -l <"$folder/sent.log")
start_broker
"$klamm" topics --create --topic "$topic" --partitions 1 --bootstrap-server "$broker" >/dev/null
start=$(date +%s%N)
"$klamm" console-producer --topic "$topic" --compression-codec zstd --bootstrap-server "$broker" <"$folder/sent.log"
sent=$(date +%s%N)
"$klamm" console-consumer --topic "$topic" --from-beginning --max-messages "$count" --timeout-ms 30000 --bootstrap-server "$broker" \
  >"$folder/received.log" 2>"$folder/consumer.err" || die "the consumer failed: $(cat "$folder/consumer.err")"
received=$(date +%s%N)
cmp "$folder/sent.log" "$folder/received.log" || die "what came back is not what was sent: $folder"
stop_broker || die "the broker did not stop in order: $(tail -n 3 "$folder/server.log")"

partition=$folder/klamm-data/$topic-0
cat <<END
Sent $count lines ($(stat -c %s "$folder/sent.log") bytes: $source_text)
through 'klamm console-producer' with zstd in $(((sent - start) / 1000000)) ms, and read them back through 'klamm console-consumer' in
$(((received - sent) / 1000000)) ms: byte for byte the same. The broker kept them in $(cat "$partition"/*.log | wc -c) bytes:
  $partition

To try next:
  (cd build/demo && ../klamm server)      # a development broker on localhost:9092 with this data
  build/klamm topics --describe --topic $topic --bootstrap-server localhost:9092
  build/klamm dump-log --files $(find "$partition" -name '*.log' -printf 'build/demo/klamm-data/%P\n' -quit | sed "s|klamm-data/|klamm-data/$topic-0/|") --print-data-log | head
END
