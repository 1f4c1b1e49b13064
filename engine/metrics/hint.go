package metrics

import "strings"

// Hint is one line about an error: what most likely happened, and what to look at next. It is never empty for a class other
// than NoError.
func Hint(c Class, p Phase, status int, message string) string {
	m := strings.ToLower(message)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(m, w) {
				return true
			}
		}
		return false
	}
	switch c {
	case DNS:
		if has("no such host", "nxdomain", "does not resolve") {
			return "the name does not exist for this machine's resolver: look for a typing error, a missing search domain or VPN; try `getent hosts NAME`"
		}
		return "the resolver did not answer usefully: try `getent hosts NAME`, look at /etc/resolv.conf, or fix the address with --resolve"
	case Connect:
		if has("proxy") {
			return "the proxy did not open the tunnel: its access rules and its log say whether this host and port are allowed"
		}
		if has("unreachable", "no route") {
			return "no way to that network from here: look at routes, VPN and firewall with `ip route get ADDRESS`"
		}
		return "nothing answered the connection in time: a firewall that drops, a full accept queue or a wrong address; on the target look at `ss -lnt` (Recv-Q against Send-Q)"
	case Refused:
		return "nothing listens on that port, or the target's accept queue is full and it refuses: on the target, `ss -lnt` shows which"
	case Reset:
		return resetHint(p)
	case Timeout:
		return timeoutHint(p)
	case TLS:
		return tlsHint(has)
	case Protocol:
		return protocolHint(has)
	case EOF:
		if p == PhaseReceive {
			return "the target closed in the middle of an answer: a crashed worker, a proxy's read timeout or a wrong Content-Length; its error log has the moment"
		}
		return "the target closed before it answered: a worker that crashed or was restarted, or an idle timeout shorter than the think time; compare its keep-alive timeout"
	case Status:
		return statusHint(status)
	case Check:
		return "an answer came, but not the expected one: read the example's body; under load it is often an error page with status 200"
	case Extract:
		if p == PhaseSend {
			return "nothing was sent: a value that is filled in cannot stand in that place; look at where the scenario takes it from, and at what that gave"
		}
		return "the answer lacks a value that later steps need: read the example's body, often a login page or an error"
	case Limit:
		return limitHint(has)
	}
	return ""
}

func resetHint(p Phase) string {
	switch p {
	case PhaseConnect, PhaseTLS:
		return "the target reset while connecting: a full accept queue with tcp_abort_on_overflow, a load balancer without a backend, or a connection limit; on the target, `nstat -az TcpExtListenOverflows`"
	case PhaseReceive:
		return "the target reset in the middle of an answer: a killed worker or a proxy that gave up on its backend; look at its error log"
	}
	return "the target reset a connection in use: a worker was killed, a limit per connection was met or a proxy gave up; look at its error log"
}

func timeoutHint(p Phase) string {
	switch p {
	case PhaseDNS:
		return "the time went into looking up the name: try `getent hosts NAME`, or fix the address with --resolve"
	case PhaseConnect:
		return "the time went into connecting: a full accept queue or lost packets; on the target, `ss -lnt` and `nstat -az TcpExtListenDrops`"
	case PhaseTLS:
		return "the time went into the handshake: the target is short of CPU for TLS, or something between inspects it"
	case PhaseSend:
		return "the target did not take the request: it has stopped reading, or the body is too large for the link"
	case PhaseReceive:
		return "the answer began but did not end in time: a large body, a slow link or a stalled stream; compare bytes in with the link's speed"
	}
	return "the target took the request and did not answer in time: look for exhausted workers, a full connection pool or locks behind it; `timeout:` is how long we wait"
}

func tlsHint(has func(...string) bool) string {
	switch {
	case has("expired", "not yet valid"):
		return "the certificate's dates do not cover today: look with `openssl s_client -connect HOST:443 | openssl x509 -noout -dates`, and at this machine's clock"
	case has("not valid for", "valid for", "doesn't contain any ip", "certificate is not for", "another name", "wrong name", "hostname"):
		return "the certificate is for another name: ask for that name, or set tls.server_name"
	case has("unknown authority", "self-signed", "self signed", "unknown ca"):
		return "the certificate's issuer is not trusted here: give it with --cacert, or -k in a test environment"
	case has("certificate required", "bad certificate"):
		return "the target wants a client certificate, or rejected ours: --cert and --key"
	case has("first record does not look like a tls handshake", "http response to https", "does not speak tls"):
		return "the port speaks plain HTTP: use http://"
	case has("protocol version", "version"):
		return "both sides share no TLS version: compare tls.min_version with the target's settings"
	case has("timeout", "deadline", "no connection within", "no answer within"):
		return "the handshake took longer than connect_timeout: the target is short of CPU for TLS, or too many connections are opened; keep them (connections: keep)"
	}
	return "the handshake failed: see the other side's reason with `openssl s_client -connect HOST:443 -servername HOST`"
}

func protocolHint(has func(...string) bool) string {
	switch {
	case has("redirect"):
		return "more redirects than allowed, often a loop between http and https or a lost session: follow them with `curl -sIL URL`"
	case has("chunk"):
		return "the answer's chunks are malformed: a broken application or proxy; look with `curl -sv --raw URL`"
	case has("body above", "body larger", "max_body"):
		return "the answer is larger than max_body: raise it, or ask for less"
	case has("compressed", "decoded"):
		return "the body's Content-Encoding cannot be undone here: look with `curl -sv --compressed URL`, or do not ask for one (no Accept-Encoding in the scenario)"
	case has("content-length"):
		return "the answer does not say clearly how long it is, which is how answers are smuggled past proxies: look at its fields with `curl -sv URL`"
	case has("transfer-encoding"):
		return "the answer's transfer coding is not plain chunked, which is all that servers may send unasked: look at its fields with `curl -sv URL`"
	case has("header", "head too large"):
		return "the answer's headers are malformed or above 64 KiB: look at Set-Cookie with `curl -sI URL`"
	case has("tls", "https"):
		return "the port seems to speak TLS: use https://"
	}
	return "what came back is not well-formed HTTP/1.1: another protocol on that port, or a broken proxy; look with `curl -sv URL`"
}

func statusHint(status int) string {
	switch status {
	case 400:
		return "the target finds the request malformed: compare the example with a request that works"
	case 401:
		return "not logged in: a missing, wrong or expired token; look at the Authorization header and at `extract` of the login step"
	case 403:
		return "logged in, but not allowed, or a firewall (WAF) blocks us: look for its name in the example's headers"
	case 404:
		return "no such path: look at the filled-in URL of the example, often an empty variable or a missing prefix"
	case 405:
		return "the path exists, but not for this method: look at the Allow header of the example"
	case 408:
		return "the target waited too long for our request: it is short of workers, or the link is slow"
	case 409:
		return "a conflict with what is stored already: users share data; give each its own with a feed or {{uuid}}"
	case 413:
		return "the body is too large for the target: look at client_max_body_size or its like"
	case 415:
		return "the target does not take this content type: set it with `headers: {Content-Type: ...}`"
	case 422:
		return "the target understood the request but rejects its values: read the example's body"
	case 429:
		return "a rate limiter answered: you measure it, not the service; ask for an exception, or look at Retry-After and the X-RateLimit headers"
	case 500:
		return "the service failed inside: its error log has the trace; under load often a pool or a database connection that ran out"
	case 502:
		return "a proxy got no proper answer from the service behind it: it crashed, restarted or closed idle connections; look at the proxy's error log"
	case 503:
		return "the service or its proxy sheds load: no healthy backend, a full queue or a limit of connections; look at the balancer's health checks"
	case 504:
		return "a proxy gave up waiting for the service behind it: the service is the slow part, and the proxy's timeout is shorter than ours"
	}
	switch {
	case status >= 500:
		return "the target failed: its error log and the example's body say more"
	case status >= 400:
		return "the target rejects the request: read the example's body"
	case status >= 300:
		return "a redirect where none was expected: follow it with -L 5, or ask for the final address"
	}
	return "not the expected status: read the example, and `check: {status: ...}` of the step"
}

func limitHint(has func(...string) bool) string {
	switch {
	case has("emfile", "enfile", "too many open files", "descriptor"):
		return "this machine ran out of descriptors: `ulimit -n 65536` before the run; not the target's failure"
	case has("eaddrnotavail", "assign requested address", "port"):
		return "this machine ran out of local ports towards the target: keep connections, add --source-ip, or `sysctl net.ipv4.ip_local_port_range=\"1024 65535\"`"
	case has("enobufs", "buffer"):
		return "this machine ran out of socket buffers: look at `sysctl net.ipv4.tcp_mem` and `ss -s`; fewer connections or another source"
	case has("memory"):
		return "this machine is short of memory: fewer users, a smaller max_body, or another source"
	}
	return "this machine was the limit, not the target: see what it had of files (`ulimit -n`), local ports and memory, or load from fewer connections"
}
