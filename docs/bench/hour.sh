#!/usr/bin/env bash
# The memory of a long run, HOUR.md, made again: docs/bench/hour.sh
#
# 10,000 requests a second over ten steps, evenly spaced, against nginx with one worker on core 0; lt has core 1. Every ten
# seconds the kernel is asked how much of lt is resident. nginx counts the requests.
#
#   LT=path      the program to measure; without it, it is built from this tree
#   MINUTES=60   how long, at least 3
#   OUT=docs/bench/HOUR.md
#
# It wants Linux with two cores, bash, awk, taskset, curl, nginx and Go; all on loopback.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:-docs/bench/HOUR.md} minutes=${MINUTES:-60} port=${PORT:-18190}
. docs/bench/common.sh

cat >"$work/nginx.conf" <<NGINX
daemon off; pid $work/pid; error_log $work/error.log; worker_processes 1;
events { worker_connections 8192; multi_accept on; }
http {
	access_log off; keepalive_requests 1000000000; keepalive_timeout 2h;
	server {
		listen 127.0.0.1:$port backlog=8192;
		location / { return 200 "hello, this is a body 24"; }
		location = /status { stub_status; }
	}
}
NGINX
taskset -c 0 nginx -c "$work/nginx.conf" &
started+=($!)
listening "$port"
answered() { curl -s "http://127.0.0.1:$port/status" | awk 'NR == 3 {print $3}'; }

{
	echo "target: http://127.0.0.1:$port"
	echo "load: {rate: 1000, for: ${minutes}m, arrivals: even, max_in_flight: 200}"
	echo "steps:"
	for step in $(seq 10); do echo "  - get: /?step=$step"; done
} >"$work/long.yaml"
before=$(answered)
began=$(date +%s)
taskset -c 1 "$lt" run "$work/long.yaml" --plain -o "$work/long.json" >/dev/null &
run=$!
started+=("$run")
while sleep 10 && [[ -d /proc/$run ]]; do
	awk -v t="$(($(date +%s) - began))" '/^VmRSS|^RssFile/ {s = s " " $2} END {if (s) print t s}' "/proc/$run/status" 2>/dev/null >>"$work/resident" || true
done
wait "$run"
asked=$(($(answered) - before - 1)) # the second question is among them

value() { # KEY: the first number of that name in the summary
	grep -o "\"$1\": *[0-9.]*" "$work/long.json" | head -1 | sed 's/.*: *//'
}
at() { awk -v t="$1" '$1 >= t {printf "%.1f", $2 / 1024; exit}' "$work/resident"; }

{
	cat <<MD
# Memory of a long run

Made by \`docs/bench/hour.sh\` on $(date -u +%Y-%m-%d). Machine: $(awk -F': ' '/^model name/ {print $2; exit}' /proc/cpuinfo), $(getconf _NPROCESSORS_ONLN) cores, Linux $(uname -r), load average at the end $(cut -d' ' -f1-3 /proc/loadavg); $("$lt" --version), $(nginx -v 2>&1 | sed 's/.*: //').

10,000 requests a second over ten steps for $minutes minutes: nginx answered $asked requests, lt counted $(value requests), with $(value errors) errors and $(value dropped) dropped arrivals.

| minute | resident, MB |
|---|---|
MD
	for m in 1 2 3 5 10 15 20 25 30 35 40 45 50 55 60; do
		((m >= minutes)) || echo "| $m | $(at $((m * 60))) |"
	done
	awk -v t=$((minutes * 60)) '$1 >= 120 && $1 < t {r = $2 / 1024; if (!n++ || r < least) least = r; if (r > most) most = r; text = $3 / 1024}
		END {printf "\nFrom the second minute on: %.1f to %.1f MB, of which %.1f MB are the program'"'"'s own text.\n", least, most, text}' "$work/resident"
} >"$out"
cat "$out"
