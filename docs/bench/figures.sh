#!/usr/bin/env bash
# The figures of FIGURES.md, made again: docs/bench/figures.sh
#
# What lt promises about itself on one machine: how late it begins what is due, whether arrivals are even, whether users start
# and think when they should, whether connections are kept, how long it takes to the first request, and what its screen and
# its record cost. nginx with one worker on core 0 is the target; lt has core 1. For the screen, lt has both, and the target is the bundled one with 10 ms a request.
#
#   LT=path   the program to measure; without it, it is built from this tree
#   ROUNDS=11  pairs of the comparison of screen and record on against off
#   OUT=docs/bench/FIGURES.md
#
# It wants Linux with two cores, bash, awk, taskset, script (bsdutils), nginx and Go; about six minutes, all on loopback.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:-docs/bench/FIGURES.md} rounds=${ROUNDS:-11} port=${PORT:-18090}
. docs/bench/common.sh

cat >"$work/nginx.conf" <<NGINX
daemon off; pid $work/pid; error_log $work/error.log; worker_processes 1;
events { worker_connections 8192; multi_accept on; }
http {
	log_format when '\$msec \$connection_requests';
	keepalive_requests 100000000; keepalive_timeout 600s;
	server {
		listen 127.0.0.1:$port backlog=8192;
		access_log off;
		location / { return 200 "hello, this is a body 24"; }
		location /first { access_log $work/first.log when; return 200 "ok"; }
		location /count { access_log $work/count.log when; return 200 "ok"; }
	}
}
NGINX
taskset -c 0 nginx -c "$work/nginx.conf" &
started+=($!)
url=http://127.0.0.1:$port
listening "$port"

# value FILE OBJECT KEY: a number out of the first object of that name in a summary.
value() {
	awk -v object="\"$2\"" -v key="\"$3\"" '
		index($0, object) {inside = 1}
		inside && match($0, key ": *[-0-9.e+]+") {v = substr($0, RSTART, RLENGTH); sub(/^[^:]*: */, "", v); print v; exit}' "$1"
}

echo "lag at 10,000/s" >&2
taskset -c 1 "$lt" --plain -r 10000 -d 10s --arrivals even -o "$work/lag.json" "$url/" >/dev/null
lag50=$(value "$work/lag.json" lag_ms p50) lag99=$(value "$work/lag.json" lag_ms p99)
worst=$(grep -o '"arrivals_rps": *[0-9.]*' "$work/lag.json" | sed 's/.*: *//' | awk 'NR > 2 && NR < 12 {d = $1 - 10000; d = d < 0 ? -d : d; if (d > w) w = d} END {printf "%.3f %%", w / 100}')

echo "a ramp of 1,000 users" >&2
cat >"$work/ramp.yaml" <<YAML
target: $url
load: {users: 1000, for: 45s, ramp: 10s}
steps: [{get: /count, think: 1s}]
YAML
taskset -c 1 "$lt" run "$work/ramp.yaml" --plain -o "$work/ramp.json" >/dev/null
start95=$(value "$work/ramp.json" lag_ms p95) think99=$(value "$work/ramp.json" lag_ms p99)
reused=$(awk '$2 > 1 {r++} END {printf "%.2f %%", NR ? 100 * r / NR : 0}' "$work/count.log")

echo "to the first request" >&2
firsts=$(for _ in $(seq 9); do
	: >"$work/first.log"
	t0=$(date +%s.%N)
	"$lt" --plain -c 1 -n 1 "$url/first" >/dev/null 2>&1
	awk -v t0="$t0" 'NR == 1 {printf "%.0f\n", ($1 - t0) * 1000}' "$work/first.log"
	kill -USR1 "$(cat "$work/pid")" && sleep 0.1
done | sort -n)
first=$(awk '{a[NR] = $1} END {printf "%d ms (%d .. %d)", a[int((NR + 1) / 2)], a[1], a[NR]}' <<<"$firsts")

echo "screen and record on against off" >&2
slow_port=$((port + 1))
taskset -c 0 "$lt" target --addr "127.0.0.1:$slow_port" --service 10ms --servers 60000 --queue 1000 >/dev/null 2>&1 &
started+=($!)
slow_url=http://127.0.0.1:$slow_port/
sleep 0.5
for r in $(seq "$rounds"); do
	modes="on off"
	((r % 2)) || modes="off on"
	for mode in $modes; do
		if [[ $mode == on ]]; then
			(export TERM=xterm-256color COLORTERM=truecolor; unset CI; stty cols 120 rows 40 2>/dev/null || true
				(sleep 11.5; printf q) | timeout 30 script -qefc "stty cols 120 rows 40; '$lt' -r 500 -d 10s --seed $r -o '$work/on$r.json' $slow_url" "$work/typescript$r" >/dev/null 2>&1) || true
		else
			LT_STATE_DIR=/proc/nowhere "$lt" --plain -r 500 -d 10s --seed "$r" -o "$work/off$r.json" "$slow_url" >/dev/null 2>&1
		fi
	done
	for p in p50 p99; do
		echo "$p $(value "$work/on$r.json" service_time_ms $p) $(value "$work/off$r.json" service_time_ms $p)"
	done >>"$work/pairs"
	stat -c %s "$work/typescript$r" >>"$work/bytes"
done
ratio() {
	awk -v p="$1" '$1 == p && $3 > 0 {print $2 / $3}' "$work/pairs" | sort -n |
		awk '{a[NR] = $1} END {printf "%.3f (%.3f .. %.3f)", a[int((NR + 1) / 2)], a[1], a[NR]}'
}
bytes=$(sort -n "$work/bytes" | awk '{a[NR] = $1} END {printf "%.1f KiB/s", a[int((NR + 1) / 2)] / 11 / 1024}')

cat >"$out" <<MD
# Figures of lt itself

Made by \`docs/bench/figures.sh\` on $(date -u +%Y-%m-%d). Machine: $(awk -F': ' '/^model name/ {print $2; exit}' /proc/cpuinfo), $(getconf _NPROCESSORS_ONLN) cores, Linux $(uname -r), load average $(cut -d' ' -f1 /proc/loadavg); $("$lt" --version), $(nginx -v 2>&1 | sed 's/.*: //').

| what | goal | measured |
|---|---|---|
| lag at 10,000 even arrivals/s, one core: p50, p99 | p50 <= 0.05 ms | $lag50 ms, $lag99 ms |
| the second that is furthest from its 10,000 arrivals | 1 % | $worst |
| ramp of 1,000 users in 10 s: starts within, 95 % | 20 ms | $start95 ms |
| end of a think time of 1 s, p99 | 2 ms | $think99 ms |
| requests over a kept connection, as nginx sees it | > 95 % | $reused |
| from the command to the first request at nginx, 9 runs | < 150 ms | $first |
| service p50 of a target that answers in 10 ms, 500/s, screen and record on / off, $rounds pairs | within 1 % | $(ratio p50) |
| service p99, likewise | within 1 % | $(ratio p99) |
| bytes to a terminal of 120x40 | <= 12 KiB/s | $bytes |
MD
cat "$out"
