#!/usr/bin/env bash
# The figures of PEERS.md, made again: docs/bench/peers.sh
#
# What peers cost: how long a start takes over ssh, first and again; 64 of them as processes of this machine (their launcher is a
# shell, so that nothing but lt is measured): how long until they are armed, what the coordinator
# needs of a core and what goes over the wire; and how many connections eight of them hold open together.
#
#   LT=path            the program to measure; without it, it is built from this tree
#   CASES="start many open"
#   CONNECTIONS=120000
#   OUT=docs/bench/PEERS.md
#
# It wants Linux with two cores, bash, awk, nginx, openssh-server and Go; about four minutes, all on loopback. As root it raises the
# limit of open files; otherwise it says what the limit was.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:-docs/bench/PEERS.md} cases=${CASES:-start many open} connections=${CONNECTIONS:-120000} port=${PORT:-18190}
ulimit -n 1000000 2>/dev/null || ulimit -n "$(ulimit -Hn)"
. docs/bench/common.sh
export CI=1
has() { [[ " $cases " == *" $1 "* ]]; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN {printf "%.2f", b - a}'; }
rows=()
row() { rows+=("| $1 | $2 | $3 |"); echo "$1: $3" >&2; }

cat >"$work/nginx.conf" <<NGINX
daemon off; pid $work/pid; error_log $work/error.log; worker_processes $((2 + 2 * connections / $(ulimit -n)));
events { worker_connections $(($(ulimit -n) - 100)); multi_accept on; }
http {
	keepalive_requests 100000000; keepalive_timeout 3600s; access_log off;
	server { listen 127.0.0.1:$port backlog=65535 reuseport; location / { return 200 "hello, this is a body 24"; } location /status { stub_status; } }
}
NGINX
nginx -c "$work/nginx.conf" &
started+=($!)
url=http://127.0.0.1:$port
listening "$port"

# await FILE PATTERN PID: until a line of the file matches, while the process lives.
await() {
	until grep -qE "$2" "$1"; do
		kill -0 "$3" 2>/dev/null || { tail -n 20 "$1" >&2; exit 1; }
		sleep 0.02
	done
}
# launchers N FILE: that many peers that a shell starts here, each with a home of its own below the same cache.
launchers() {
	echo "peers:"
	for i in $(seq "$1"); do echo "  - {exec: [env, HOME=$work/home, sh, -c, \"{boot}\"], label: g$((i % 4))}"; done
}
used() { awk '{s += $1} END {printf "%.6f", s / 1e9}' "/proc/$1/task/"*/schedstat; }
# bytes PID FIELD: of its threads. The process's own file also has what the children had that it waited for, and a launcher's child is
# the shell that became the peer's end of the connection: each that a loaded machine makes lt dial again has read its whole program there.
bytes() { cat "/proc/$1/task/"*/io | awk -v k="$2:" '$1 == k {s += $2} END {printf "%.0f", s}'; }

if has start; then
	ssh-keygen -q -t ed25519 -N '' -f "$work/key"
	cat >"$work/sshd_config" <<SSHD
ListenAddress 127.0.0.2:$((port + 1))
HostKey $work/key
PidFile none
AuthorizedKeysFile $work/key.pub
StrictModes no
UsePAM no
SetEnv HOME=$work/home
SSHD
	mkdir -p "$work/home" && { [[ $(id -u) != 0 ]] || mkdir -p /run/sshd; }
	"$(command -v sshd)" -D -f "$work/sshd_config" &
	started+=($!)
	printf 'Host one\n  HostName 127.0.0.2\n  Port %s\n  User %s\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n  HostKeyAlias one\n' \
		$((port + 1)) "$(id -un)" "$work/key" "$work/known" >"$work/ssh_config"
	echo "one $(cut -d' ' -f1,2 "$work/key.pub")" >"$work/known"
	for _ in $(seq 50); do ssh -F "$work/ssh_config" one true 2>/dev/null && break || sleep 0.1; done
	ready() {
		local t0
		: >"$work/start.log"
		t0=$(now)
		"$lt" --plain -r 10 -d 1s --peers one --ssh "ssh -F $work/ssh_config" "$url/" >"$work/start.log" 2>&1 &
		local pid=$!
		await "$work/start.log" 'one: ready' "$pid"
		since "$t0"
		wait "$pid"
	}
	first=$(ready)
	again=$(for _ in 1 2 3 4 5; do ready; echo; done | sort -n | awk '{a[NR] = $1} END {printf "%.2f s (%.2f .. %.2f)", a[3], a[1], a[NR]}')
	plain=$(for _ in 1 2 3 4 5; do t0=$(now); ssh -F "$work/ssh_config" one true; since "$t0"; echo; done | sort -n | awk '{a[NR] = $1} END {printf "%.2f s", a[3]}')
	row "from the command to a peer that is ready, over ssh on loopback, first time" "" "$first s"
	row "likewise, the program there from before; beside it \`ssh HOST true\`" "<= 1 s" "$again; $plain"
fi

if has many; then
	{
		echo "target: $url"
		echo "load: {rate: 1000, for: 30s}"
		echo "steps: [$(for i in 0 1 2 3 4 5 6 7 8 9; do printf '{get: /%s}, ' "$i"; done | sed 's/, $//')]"
		launchers 64
	} >"$work/many.yaml"
	: >"$work/many.log"
	t0=$(now)
	"$lt" run "$work/many.yaml" --plain --no-local -o "$work/many.json" >"$work/many.log" 2>&1 &
	pid=$!
	await "$work/many.log" 'begin together' "$pid"
	armed=$(since "$t0")
	sleep 5
	c0=$(used "$pid") r0=$(bytes "$pid" rchar) t0=$(now)
	sleep 20
	c1=$(used "$pid") r1=$(bytes "$pid" rchar) window=$(since "$t0")
	wait "$pid" || true
	requests=$(grep -o '"requests": *[0-9]*' "$work/many.json" | head -n 1 | sed 's/.*: *//')
	row "64 peers of ten steps and 10,000 requests/s in all: from the command to armed" "<= 15 s" "$armed s"
	row "the coordinator, of one core" "<= 20 %" "$(awk -v a="$c0" -v b="$c1" -v w="$window" 'BEGIN {printf "%.1f %%", 100 * (b - a) / w}')"
	row "to the coordinator: a peer; all" "<= 100 KiB/s; <= 1 MB/s" "$(awk -v a="$r0" -v b="$r1" -v w="$window" 'BEGIN {printf "%.1f KiB/s; %.2f MB/s", (b - a) / w / 64 / 1024, (b - a) / w / 1e6}')"
	row "requests in 30 s" "300,000 give or take chance" "$requests"
fi

if has open; then
	{
		echo "target: $url"
		echo "load: {users: $connections, for: 90s, ramp: 60s, graceful: 1s}"
		echo "steps: [{get: /, think: 300s}]"
		launchers 8
	} >"$work/open.yaml"
	# Linux gives connections every other port first; beyond half of the range it looks through all of those before each
	# connection, which takes milliseconds. Sixteen addresses stay well below.
	sources=$(for i in $(seq 16); do printf -- '--source-ip 127.0.1.%s ' "$i"; done)
	# shellcheck disable=SC2086
	"$lt" run "$work/open.yaml" --plain --no-local --no-preflight $sources -o "$work/open.json" >"$work/open.log" 2>&1 &
	pid=$!
	most=0
	while kill -0 "$pid" 2>/dev/null; do
		n=$(exec 3<>"/dev/tcp/127.0.0.1/$port" && printf 'GET /status HTTP/1.0\r\n\r\n' >&3 && awk '/^Active/ {print $3}' <&3) || n=0
		((n > most)) && most=$n
		sleep 1
	done
	wait "$pid" || true
	failed=$(grep -o '"errors": *[0-9]*' "$work/open.json" | head -n 1 | sed 's/.*: *//')
	row "connections open at once, held by eight peers from sixteen addresses (limit of open files: $(ulimit -n) a process)" "$connections" "$most, $failed errors"
fi

cat >"$out" <<MD
# Figures of peers

Made by \`docs/bench/peers.sh\` on $(date -u +%Y-%m-%d). Machine: $(awk -F': ' '/^model name/ {print $2; exit}' /proc/cpuinfo), $(getconf _NPROCESSORS_ONLN) cores, Linux $(uname -r), load average $(cut -d' ' -f1 /proc/loadavg); $("$lt" --version), $(ssh -V 2>&1 | cut -d, -f1), $(nginx -v 2>&1 | sed 's/.*: //'). Coordinator, peers and target share it.

| what | goal | measured |
|---|---|---|
$(printf '%s\n' "${rows[@]}")

With 64 agents, the target and the coordinator on two cores the processors are at their end at 6,000 to 8,000 requests a second: each agent
wakes for 150 requests a second, and what is due and cannot be begun is dropped and counted. What the coordinator takes in hardly
depends on it: an interval a second and source.
MD
cat "$out"
