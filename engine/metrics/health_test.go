package metrics

import (
	"strings"
	"testing"
	"time"
)

// audited runs an auditor over n seconds made by second.
func audited(n int, second func(i int, iv *Interval) (response *Histogram)) Verdict {
	var a Auditor
	for i := range n {
		iv := &Interval{Seq: uint64(i), From: time.Duration(i) * time.Second, Length: time.Second, Scheduled: 1000, Started: 1000}
		a.Add(iv, second(i, iv))
	}
	return a.Verdict()
}

func always(lag, response time.Duration) func(int, *Interval) *Histogram {
	return func(_ int, iv *Interval) *Histogram {
		iv.Lag = *recorded(lag)
		return recorded(response)
	}
}

func TestVerdict(t *testing.T) {
	fine := always(50*time.Microsecond, 20*time.Millisecond)
	with := func(change func(i int, iv *Interval)) func(int, *Interval) *Histogram {
		return func(i int, iv *Interval) *Histogram {
			h := fine(i, iv)
			change(i, iv)
			return h
		}
	}
	for _, c := range []struct {
		name   string
		second func(int, *Interval) *Histogram
		want   Health
		reason string
	}{
		{"all is well", fine, OK, ""},
		{"lag of 20 µs on a target of 100 µs is the kernel's", always(20*time.Microsecond, 100*time.Microsecond), OK, ""},
		{"lag of 200 µs on 300 µs is worth a remark", always(200*time.Microsecond, 300*time.Microsecond), Strained, "lag p50 is 200 µs, 67 % of the response time's 300 µs"},
		{"lag of 5 ms on 20 ms spoils the result", always(5*time.Millisecond, 20*time.Millisecond), Saturated, "25 %"},
		{"lag of 1 ms on 20 ms is suspect", always(time.Millisecond, 20*time.Millisecond), Strained, "5.0 %"},
		{"lag of 3 ms on 2 s is small but not clean", always(3*time.Millisecond, 2*time.Second), Strained, "lag p99 is 3 ms"},
		{"one second of lag in sixty is a hiccup", func(i int, iv *Interval) *Histogram {
			h := fine(i, iv)
			if i == 30 {
				iv.Lag = *recorded(20 * time.Millisecond)
			}
			for range 200 {
				iv.Lag.Record(nil, 50*time.Microsecond)
				h.Record(nil, 20*time.Millisecond)
			}
			return h
		}, OK, ""},
		{"six seconds of lag are not", func(i int, iv *Interval) *Histogram {
			h := fine(i, iv)
			for range 1000 {
				iv.Lag.Record(nil, 50*time.Microsecond)
			}
			if i >= 30 && i < 36 {
				iv.Lag = *recorded(20 * time.Millisecond)
			}
			return h
		}, Saturated, "we began late for 6 s since 0:30"},
		{"and a hiccup apart says nothing of them", func(i int, iv *Interval) *Histogram {
			h := fine(i, iv)
			for range 1000 {
				iv.Lag.Record(nil, 50*time.Microsecond)
			}
			if i >= 30 && i < 36 {
				iv.Lag = *recorded(20 * time.Millisecond)
			}
			if i == 50 {
				iv.Lag = *recorded(700 * time.Millisecond)
			}
			return h
		}, Saturated, "we began late for 6 s since 0:30: lag p99 up to 20 ms"},
		{"2 % never begun", with(func(_ int, iv *Interval) { iv.Started = 980 }), Saturated, "1200 of 60000 arrivals were never begun (2.0 %)"},
		{"0.5 % never begun", with(func(_ int, iv *Interval) { iv.Started = 995 }), Strained, "300 of 60000"},
		{"what the limit held is not ours", with(func(_ int, iv *Interval) { iv.Started, iv.Dropped, iv.Audit.LimitHit = 900, 100, true }), Strained, "max_in_flight"},
		{"what a stop of the process lost is", with(func(i int, iv *Interval) {
			if i == 10 {
				iv.Scheduled, iv.Dropped, iv.Stalled = 3000, 2000, 2000
			}
		}), Saturated, "did not run or was out of reach, first at 0:10"},
		{"no descriptors", with(func(i int, iv *Interval) {
			if i == 7 {
				iv.Audit.OwnErrors = 1
			}
		}), Saturated, "1 request failed for want of descriptors, ports or memory on this machine, since 0:07"},
		{"CPU for long", with(func(i int, iv *Interval) {
			iv.Audit.Cores = 2
			if i > 39 {
				iv.Audit.CPU = 1.8
			}
		}), Strained, "90 % of the processor time it may use (70 % is healthy): use more cores or another source, for 20 s since 0:40"},
		{"CPU that goes down", with(func(i int, iv *Interval) {
			iv.Audit.Cores = 1
			if i > 39 && i < 43 {
				iv.Audit.CPU = []float64{.99, .98, .71}[i-40]
			}
		}), Strained, "this program used 99 % of the processor time it may use (70 % is healthy): use more cores or another source, for 3 s since 0:40"},
		{"CPU for a moment", with(func(i int, iv *Interval) {
			iv.Audit.Cores = 1
			if i%3 != 0 {
				iv.Audit.CPU = 1
			}
		}), OK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := audited(60, c.second)
			if v.Health != c.want || !strings.Contains(strings.Join(v.Reasons, "\n"), c.reason) || (v.Health == OK) != (len(v.Reasons) == 0) {
				t.Errorf("%v %q, want %v with %q", v.Health, v.Reasons, c.want, c.reason)
			}
		})
	}
}

func TestWorstSourceDecides(t *testing.T) {
	var a Auditor
	for i, name := range []string{"ada", "bob"} {
		iv := &Interval{Source: name, Length: time.Second, Scheduled: 100, Started: 100 - uint64(50*i)}
		a.Add(iv, &Histogram{})
	}
	v := a.Verdict()
	if v.Health != Saturated || len(v.Reasons) != 1 || !strings.HasPrefix(v.Reasons[0], "bob: ") {
		t.Errorf("%v %q", v.Health, v.Reasons)
	}
	if a.Source("ada").Health != OK || a.Source("bob").Health != Saturated || a.Source("nobody").Health != OK {
		t.Error("the verdicts on the sources are wrong")
	}
}

func TestEveryErrorHasAHint(t *testing.T) {
	for c := NoError + 1; int(c) < Classes; c++ {
		for p := range Phases {
			for _, status := range []int{0, 200, 302, 400, 401, 403, 404, 405, 408, 409, 413, 415, 418, 422, 429, 500, 501, 502, 503, 504} {
				if h := Hint(c, Phase(p), status, ""); h == "" || strings.Contains(h, "\n") {
					t.Errorf("class %v phase %v status %d: hint %q", c, Phase(p), status, h)
				}
			}
		}
	}
	for message, want := range map[string]string{
		"x509: certificate has expired or is not yet valid":       "dates",
		"x509: certificate is valid for a.example, not b.example": "another name",
		"x509: certificate signed by unknown authority":           "--cacert",
		"tls: first record does not look like a TLS handshake":    "http://",
		"tls: server selected unsupported protocol version 301":   "TLS version",
		"remote error: tls: handshake failure":                    "openssl s_client",
		"the certificate is for another name":                     "server_name",
		"the target does not speak TLS on this port":              "http://",
		"no connection within 1s":                                 "connect_timeout",
	} {
		if h := Hint(TLS, PhaseTLS, 0, message); !strings.Contains(h, want) {
			t.Errorf("%q: %q does not say %q", message, h, want)
		}
	}
	for message, want := range map[string]string{
		"malformed chunked body": "chunks", "body above max_body": "max_body", "conflicting content-lengths": "how long",
		"answer's head too large": "64 KiB", "unsupported transfer-encoding": "chunked",
		"the body grows to more than a hundred times its compressed length": "Content-Encoding", "only gzip and deflate can be decoded": "Content-Encoding",
		"the compressed body is damaged": "Content-Encoding", "more redirects than the 3 allowed": "loop", "malformed status line": "HTTP/1.1",
	} {
		if h := Hint(Protocol, PhaseReceive, 200, message); !strings.Contains(h, want) {
			t.Errorf("%q: %q does not say %q", message, h, want)
		}
	}
	for p, sent := range map[Phase]bool{PhaseSend: false, PhaseReceive: true} { // of kinds that are counted together no status is known
		if h := Hint(Extract, p, 0, otherKinds); strings.Contains(h, "nothing was sent") == sent {
			t.Errorf("phase %v: %q", p, h)
		}
	}
	for message, want := range map[string]string{"socket: too many open files": "ulimit", "connect: cannot assign requested address": "ip_local_port_range", "no buffer space (ENOBUFS)": "tcp_mem"} {
		if h := Hint(Limit, PhaseConnect, 0, message); !strings.Contains(h, want) {
			t.Errorf("%q: %q does not say %q", message, h, want)
		}
	}
}
