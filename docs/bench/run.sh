#!/usr/bin/env bash
# The figures of RESULTS.md, made again: docs/bench/run.sh
#
# What is compared is requests a second of the generator's own CPU time. nginx, one worker on core 0, is the target and counts the
# requests. The generators of a case all run on core 1, but take turns: all are stopped (SIGSTOP) but one, which goes on for a moment
# to find its stride and is then measured. A round is a turn of each, in the order A B C, then C B A, and takes a second or two, so
# that whatever else the machine does meets all of them. Each figure is the median of the rounds' ratios to wrk in the same round,
# with the quartiles beside it.
#
#   LT=path      the program to measure; without it, it is built from this tree
#   ROUNDS=41  WINDOW=0.7  WARM=0.2     rounds a case, seconds of a turn that are measured, seconds before
#   CASES="plain64 plain1000 tls64 journey memory alloc"
#   PEERS="hey k6"                 beside wrk, in plain64; built from the Go module proxy into LT_CI_CACHE
#   OUT=docs/bench/RESULTS.md
#
# It wants Linux with two cores, bash, awk, taskset, nginx (nginx-light of Debian will do), wrk, openssl and Go; about nine
# minutes. All load stays on the loopback address.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec </dev/null

rounds=${ROUNDS:-41} window=${WINDOW:-0.7} warm=${WARM:-0.2}
cases=${CASES:-plain64 plain1000 tls64 journey memory alloc}
peers=${PEERS-hey k6}
out=${OUT:-docs/bench/RESULTS.md}
cache=${LT_CI_CACHE:-$HOME/.cache/lt-ci}
server_core=${SERVER_CORE:-0} generator_core=${GENERATOR_CORE:-1}
port=${PORT:-18080} tls_port=$((${PORT:-18080} + 1))
hey_version=v0.1.5 k6_version=v1.8.1

fail() {
	echo "run.sh: $*" >&2
	exit 1
}
say() { echo "$*" >&2; }

[[ $(uname -s) == Linux ]] || fail "the harness reads /proc and pins processes to cores: it wants Linux"
export PATH=$PATH:/usr/sbin:/sbin
for tool in nginx wrk openssl taskset awk go; do
	command -v $tool >/dev/null || fail "$tool is missing; on Debian: apt-get install nginx-light wrk openssl util-linux"
done
taskset -c "$server_core,$generator_core" true || fail "cores $server_core and $generator_core are not both there"
ulimit -n "$(ulimit -Hn)"

. docs/bench/common.sh
generator=
declare -A generators=() # by variant, those of the case in hand
# A generator that rests hears no other signal.
trap 'kill -KILL $generator "${generators[@]}" 2>/dev/null || true; finish' EXIT

# ---- the programs

# tool builds NAME MODULE@VERSION once and sets its path as a variable of the same name.
tool() {
	local name=$1 module=$2 dir=$cache/$1-${2##*@}
	if [[ ! -x $dir/$name ]]; then
		say "building $module (once)"
		mkdir -p "$dir"
		GOBIN=$dir GOFLAGS=-mod=mod go install "$module" >"$dir/build.log" 2>&1 || fail "$module could not be built; see $dir/build.log, or leave it out with PEERS"
	fi
	printf -v "$name" %s "$dir/$name"
}
hey= k6=
for p in $peers; do
	case $p in
	hey) tool hey github.com/rakyll/hey@$hey_version ;;
	k6) tool k6 go.k6.io/k6@$k6_version ;;
	*) fail "PEERS knows hey and k6, not $p" ;;
	esac
done

# ---- the target

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
	-keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
mkdir -p "$work/temp"
cat >"$work/nginx.conf" <<CONF
worker_processes 1;
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
$([[ $(id -u) != 0 ]] || echo "user root;")
worker_rlimit_nofile $(ulimit -n);
events { worker_connections $(($(ulimit -n) - 64)); multi_accept on; }
http {
	access_log off;
	tcp_nodelay on;
	keepalive_timeout 1h;
	keepalive_requests 1000000000;
	client_body_temp_path $work/temp; proxy_temp_path $work/temp; fastcgi_temp_path $work/temp; uwsgi_temp_path $work/temp; scgi_temp_path $work/temp;
	# What tells sessions and orders apart is counted, since nginx's random ids cost it two calls of its random generator each:
	# then it is the server that everything waits for, and a generator that sleeps after each answer is not what is to be measured.
	split_clients "\$connection/\$connection_requests" \$fate { 30% bad; * good; }
	server {
		listen 127.0.0.1:$port backlog=16384;
		listen unix:$work/nginx.sock backlog=16384;
		listen 127.0.0.1:$tls_port ssl backlog=16384;
		ssl_certificate $work/cert.pem;
		ssl_certificate_key $work/key.pem;
		default_type text/plain;
		location = / { return 200 "small and always the same\n"; }
		location = /status { stub_status; }
		# The journey: the session's cookie has to come back, and three orders in ten fail: a tenth of all requests.
		location = /login {
			default_type application/json;
			add_header Set-Cookie "sid=\$connection-\$connection_requests; Path=/; HttpOnly";
			return 200 '{"user":"ada","token":"\$connection-\$connection_requests","roles":["buyer"]}';
		}
		location = /list {
			if (\$cookie_sid = "") { return 403; }
			default_type application/json;
			return 200 '{"items":[{"id":13,"name":"shoes","price":"49.90"},{"id":14,"name":"hat","price":"9.90"}]}';
		}
		location = /order {
			if (\$cookie_sid = "") { return 403; }
			if (\$fate = bad) { return 500 "no stock\n"; }
			return 201 "ordered\n";
		}
	}
}
CONF
taskset -c "$server_core" nginx -e "$work/nginx.log" -c "$work/nginx.conf" &
started+=($!)

# requests prints how many requests the server has counted, this question left out.
asked=0
requests() {
	local line n=
	exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
	printf 'GET /status HTTP/1.0\r\n\r\n' >&3
	while read -r line <&3; do
		[[ $line =~ ^[0-9]+\ [0-9]+\ ([0-9]+) ]] && n=${BASH_REMATCH[1]}
	done
	exec 3>&-
	asked=$((asked + 1))
	counted=$((n - asked))
}
listening "$port"
requests || fail "nginx did not start: $(cat "$work/nginx.log")"
sleep 0.2

# ---- generators in turn

# cpu sets the CPU time of a process, the sum of its threads, in nanoseconds. No generator ends threads while it is measured.
cpu() {
	spent=$(awk '{s += $1} END {printf "%.0f", s}' "/proc/$1/task/"*/schedstat 2>/dev/null) && [[ $spent -gt 0 ]]
}

# rest stops a process and waits until each of its threads stands.
rest() {
	kill -STOP "$1" 2>/dev/null || return 1
	while grep -hqv '^[^)]*) *T' "/proc/$1/task/"*/stat 2>/dev/null; do sleep 0.002; done
}

# lost tells what a generator said that is no longer there.
lost() {
	fail "$2 of $1 ended before it was measured: $(tail -n 3 "$work/$1-$2.out" "$work/$1-$2.err")"
}

# turn CASE ROUND VARIANT lets one generator go on, and measures it.
turn() {
	local case=$1 round=$2 variant=$3 p=${generators[$3]} r0 c0 t0
	kill -CONT "$p" 2>/dev/null || lost "$case" "$variant"
	sleep "$warm"
	{ cpu "$p" && requests; } || lost "$case" "$variant"
	r0=$counted c0=$spent t0=$EPOCHREALTIME
	sleep "$window"
	{ cpu "$p" && requests; } || lost "$case" "$variant"
	local t1=$EPOCHREALTIME
	rest "$p" || lost "$case" "$variant"
	((spent > c0 && counted > r0)) || fail "$variant sent nothing: $(tail -n 3 "$work/$case-$variant.out" "$work/$case-$variant.err")"
	awk -v c="$case" -v r="$round" -v v="$variant" -v n=$((counted - r0)) -v t=$((spent - c0)) -v a="$t0" -v b="$t1" \
		'BEGIN {printf "%s\t%d\t%s\t%.1f\t%.1f\t%.3f\n", c, r, v, n / (t / 1e9), n / (b - a), t / 1e9 / (b - a)}' >>"$work/rows"
}

duration=600 # seconds; longer than a case takes, which ends its generators itself
cat >"$work/journey.yaml" <<YAML
target: http://127.0.0.1:$port
load: {users: 64, for: ${duration}s}
steps:
  - {name: login, post: /login, json: {user: ada}, extract: {token: $.token}}
  - {name: list, get: "/list?token={{token}}", check: {contains: shoes}}
  - {name: order, post: /order, form: {token: "{{token}}", id: "13"}, check: {status: 201}}
YAML
cat >"$work/k6.js" <<JS
import http from 'k6/http';
export const options = {vus: 64, duration: '${duration}s', discardResponseBodies: true};
export default function () { http.get('http://127.0.0.1:$port/'); }
JS

# begin CASE VARIANT starts a generator, lets it open its connections and stops it.
begin() {
	local case=$1 v=$2 url=http://127.0.0.1:$port/ tls=https://127.0.0.1:$tls_port/ d=${duration}s command
	case $case:$v in
	plain64:wrk | journey:wrk) command=(wrk -t1 -c64 -d$d $url) ;;
	plain64:lt) command=("$lt" $url -c 64 -d $d --plain) ;;
	plain64:hey) command=("$hey" -c 64 -z $d $url) ;;
	plain64:k6) command=("$k6" run --quiet --no-usage-report --summary-mode=disabled "$work/k6.js") ;;
	plain1000:wrk) command=(wrk -t1 -c1000 -d$d $url) ;;
	plain1000:lt) command=("$lt" $url -c 1000 -d $d --plain) ;;
	tls64:wrk) command=(wrk -t1 -c64 -d$d $tls) ;;
	tls64:lt) command=("$lt" $tls -k -c 64 -d $d --plain) ;;
	journey:lt) command=("$lt" run "$work/journey.yaml" --plain) ;;
	esac
	taskset -c "$generator_core" "${command[@]}" >"$work/$case-$v.out" 2>"$work/$case-$v.err" &
	generators[$v]=$!
	sleep 2
	rest "${generators[$v]}" || lost "$case" "$v"
}

# paired CASE VARIANTS...: rounds of A B C, C B A, ...
paired() {
	local case=$1 round v order
	shift
	say "$case: $*"
	for v in "$@"; do begin "$case" "$v"; done
	for ((round = 1; round <= rounds; round++)); do
		order=("$@")
		if ((round % 2 == 0)); then
			order=()
			for v in "$@"; do order=("$v" "${order[@]}"); done
		fi
		for v in "${order[@]}"; do turn "$case" $round "$v"; done
	done
	for v in "$@"; do
		kill -KILL "${generators[$v]}"
		wait "${generators[$v]}" 2>/dev/null || true
	done
	generators=()
	sleep 0.5
}

# resident USERS: the memory of lt with so many users of whom nearly all are thinking, in KiB. They come over a unix socket and
# close their connections while they think, so that neither descriptors nor ports are what is measured.
resident() {
	cat >"$work/think.yaml" <<YAML
target: http://127.0.0.1:$port
http: {connections: request, unix_socket: $work/nginx.sock}
load: {users: $1, for: 45s, ramp: 30s, graceful: 1s}
steps:
  - {get: /, think: 120s}
YAML
	taskset -c "$generator_core" "$lt" run "$work/think.yaml" --plain >"$work/think.out" 2>"$work/think.err" &
	generator=$!
	sleep 40
	kib=$(awk '/^VmRSS/ {print $2}' "/proc/$generator/status") || fail "lt ended: $(tail -n 3 "$work/think.out" "$work/think.err")"
	wait $generator || true
	generator=
}

# allocated URL FLAGS...: bytes that lt allocated a request, from what its collector prints: the heap at the beginning of each
# collection less what the one before had left. The resolution is a MiB over the whole run.
allocated() {
	local r0
	requests
	r0=$counted
	GODEBUG=gctrace=1 taskset -c "$generator_core" "$lt" "$@" -c 64 -d 18s --plain >"$work/alloc.out" 2>"$work/alloc.err" || true
	requests
	awk -v n=$((counted - r0)) '
		/^gc [0-9]+ @/ {
			for (i = 1; i <= NF; i++) if ($i ~ /^[0-9]+->[0-9]+->[0-9]+$/) {
				split($i, h, "->"); at = $3; sub(/^@/, "", at); sub(/s$/, "", at)
				if (at > 2) {sum += h[1] - left; gcs++}
				left = h[3]
			}
		}
		END {printf "%.0f %d %d\n", n ? sum * 1048576 / n : 0, gcs, n}' "$work/alloc.err"
}

# ---- all of it

: >"$work/rows"
stolen() { awk '/^cpu / {print $9, $2 + $3 + $4 + $5 + $6 + $7 + $8 + $9}' /proc/stat; }
steal0=$(stolen)
load0=$(cut -d' ' -f1 /proc/loadavg)
memory= alloc_plain= alloc_tls=
for case in $cases; do
	case $case in
	plain64) paired plain64 wrk lt $peers ;;
	plain1000 | tls64 | journey) paired "$case" wrk lt ;;
	memory)
		resident 1000
		few=$kib
		resident 100000
		memory="$few $kib"
		say "memory: $few KiB with 1,000 users, $kib KiB with 100,000"
		;;
	alloc)
		alloc_plain=$(allocated "http://127.0.0.1:$port/")
		alloc_tls=$(allocated "https://127.0.0.1:$tls_port/" -k)
		say "allocated a request: $alloc_plain plain, $alloc_tls TLS (bytes, collections, requests)"
		;;
	*) fail "CASES knows plain64 plain1000 tls64 journey memory alloc, not $case" ;;
	esac
done
steal1=$(stolen)

{
	cat <<MD
# Results

Made by \`docs/bench/run.sh\` on $(date -u +%Y-%m-%d); how to read them is in README.md. Only ratios within one table compare.

- Machine: $(awk -F': ' '/^model name/ {print $2; exit}' /proc/cpuinfo), $(getconf _NPROCESSORS_ONLN) cores, Linux $(uname -r); load average at the start $load0; stolen by the hypervisor $(awk -v a="$steal0" -v b="$steal1" 'BEGIN {split(a, x, " "); split(b, y, " "); t = y[2] - x[2]; printf "%.1f %%", t ? 100 * (y[1] - x[1]) / t : 0}').
- Target: $(nginx -v 2>&1 | sed 's/.*: //'), one worker on core $server_core; generators on core $generator_core.
- Programs: $("$lt" --version | head -n 1), $(go env GOVERSION); wrk $(wrk -v 2>&1 | awk 'NR == 1 {print $2}' || true)$([[ -z $hey ]] || echo "; hey $hey_version")$([[ -z $k6 ]] || echo "; k6 $k6_version").
- $rounds rounds a case; of each turn $window s are measured, after $warm s.
MD
	if [[ -s $work/rows ]]; then
		cat <<'MD'

| case | generator | requests a CPU-second | ratio to wrk | quartiles | requests/s | its core |
|---|---|---:|---:|---:|---:|---:|
MD
		awk -F'\t' '
			function sort(a, n,   i, j, t) {for (i = 2; i <= n; i++) {t = a[i]; for (j = i - 1; j > 0 && a[j] > t; j--) a[j + 1] = a[j]; a[j + 1] = t}}
			function quartile(a, n, k) {return a[1 + int((n - 1) * k / 4 + 0.5)]}
			function median(a, n) {sort(a, n); return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2}
			{
				k = $1 SUBSEP $3
				if (!(k in seen)) {seen[k] = 1; order[++keys] = k}
				rate[k, $2] = $4; persec[k, $2] = $5; core[k, $2] = $6
				if ($2 > last) last = $2
			}
			END {
				name["plain64"] = "GET, 64 connections"; name["plain1000"] = "GET, 1000 connections"
				name["tls64"] = "HTTPS GET, 64 connections"; name["journey"] = "three steps, 64 users (wrk: plain GET)"
				for (i = 1; i <= keys; i++) {
					split(order[i], p, SUBSEP); k = order[i]; w = p[1] SUBSEP "wrk"; n = 0
					for (r = 1; r <= last; r++) if ((k, r) in rate && (w, r) in rate) {n++; a[n] = rate[k, r]; q[n] = rate[k, r] / rate[w, r]; s[n] = persec[k, r]; c[n] = core[k, r]}
					m = median(q, n)
					printf "| %s | %s | %.0f | %.2f | %.2f .. %.2f | %.0f | %.0f %% |\n", name[p[1]], p[2], median(a, n), m, quartile(q, n, 1), quartile(q, n, 3), median(s, n), 100 * median(c, n)
				}
			}' "$work/rows"
		awk -F'\t' '$1 == "plain64" {rate[$3, $2] = $4; seen[$3] = 1; if ($2 > last) last = $2}
			END {
				for (v in seen) if (v != "wrk" && v != "lt") {
					n = 0
					for (r = 1; r <= last; r++) if (("lt", r) in rate && (v, r) in rate) q[++n] = rate["lt", r] / rate[v, r]
					for (i = 2; i <= n; i++) {t = q[i]; for (j = i - 1; j > 0 && q[j] > t; j--) q[j + 1] = q[j]; q[j + 1] = t}
					if (n) printf "\nlt to %s, GET, 64 connections: %.1f (%.1f .. %.1f).\n", v, n % 2 ? q[(n + 1) / 2] : (q[n / 2] + q[n / 2 + 1]) / 2, q[1 + int((n - 1) / 4 + 0.5)], q[1 + int((n - 1) * 3 / 4 + 0.5)]
				}
			}' "$work/rows"
	fi
	if [[ -n $memory ]]; then
		awk -v m="$memory" 'BEGIN {split(m, k, " "); printf "\nResident memory: %.1f MB with 1,000 thinking users, %.1f MB with 100,000: %.0f bytes a user.\n", k[1] * 1024 / 1e6, k[2] * 1024 / 1e6, (k[2] - k[1]) * 1024 / 99000}'
	fi
	if [[ -n $alloc_plain ]]; then
		awk -v p="$alloc_plain" -v t="$alloc_tls" 'BEGIN {
			split(p, a, " "); split(t, b, " ")
			printf "\nAllocated a request in steady state: %d bytes plain (%d collections in %d requests), %d bytes with TLS (%d in %d).\n", a[1], a[2], a[3], b[1], b[2], b[3]}'
	fi
} >"$work/results.md"
mkdir -p "$(dirname "$out")"
cp "$work/results.md" "$out"
cp "$work/rows" "${out%.md}.tsv"
say "written: $out, and every round in ${out%.md}.tsv"
