# What the scripts beside it begin with: a folder that goes again, the program, and the wait for a server. To be sourced, from the
# top of the tree. Processes in started are ended at the exit.
export PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d)
chmod 755 "$work"
started=()
finish() {
	for p in "${started[@]}"; do kill "$p" 2>/dev/null || true; done
	wait
	rm -rf "$work"
}
trap finish EXIT
export LT_STATE_DIR=$work/state
lt=${LT:-}
if [[ -z $lt ]]; then
	lt=$work/lt
	CGO_ENABLED=0 go build -trimpath -o "$lt" .
fi

# listening PORT: waits until somebody does, five seconds at most.
listening() {
	for _ in $(seq 50); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && break || sleep 0.1; done
}
