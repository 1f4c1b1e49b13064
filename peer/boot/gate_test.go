package boot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		var wg sync.WaitGroup
		var inside, most atomic.Int32
		began := time.Now()
		for i := range 40 {
			keys := []string{"ssh a", "jump b"}
			if i%2 == 0 {
				keys = []string{"jump b", "ssh a", "ssh a"}
			}
			wg.Go(func() {
				leave, err := g.enter(t.Context(), keys)
				if err != nil {
					t.Error(err)
					return
				}
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Second)
				inside.Add(-1)
				leave()
				leave() // again is nothing
			})
		}
		wg.Wait()
		if most.Load() != connecting || time.Since(began) != 5*time.Second {
			t.Errorf("%d at once, %s in all", most.Load(), time.Since(began))
		}
		// Another server has places of its own, and who gives up leaves none taken.
		for range connecting {
			if _, err := g.enter(t.Context(), []string{"ssh a"}); err != nil {
				t.Error(err)
			}
		}
		if _, err := g.enter(t.Context(), []string{"ssh c"}); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.enter(ctx, []string{"jump b", "ssh a"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		for range connecting {
			if _, err := g.enter(t.Context(), []string{"jump b"}); err != nil {
				t.Error(err)
			}
		}
	})
}

// A server that turned somebody away is asked more gently from then on.
func TestGateNarrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 16 {
			if i == 8 {
				g.narrow([]string{"a"})
				g.narrow([]string{"a"})
			}
			wg.Go(func() {
				leave, err := g.enter(t.Context(), []string{"a"})
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Second)
				leave()
			})
			synctest.Wait()
		}
		wg.Wait()
		if d := time.Since(began); d != 5*time.Second { // eight at once, then two
			t.Errorf("it took %s", d)
		}
		for range 10 {
			g.narrow([]string{"a"})
		}
		if _, err := g.enter(t.Context(), []string{"a"}); err != nil {
			t.Error(err)
		}
	})
}

func TestServers(t *testing.T) {
	for out, want := range map[string]string{
		"user x\nhostname 10.0.0.7\nport 22\nproxyjump none\n":       "[ssh 10.0.0.7 22]",
		"hostname h\nport 2222\nproxyjump b1,ada@b2:22\n":            "[jump b1 jump ada@b2:22 ssh h 2222]",
		"hostname h\nport 22\nproxycommand ssh -W %h:%p bastion\n":   "[by ssh -W %h:%p bastion ssh h 22]",
		"hostname h\r\nport 22\r\nproxycommand none\r\nproxyjumpx y": "[ssh h 22]",
		"":         "[]",
		"nonsense": "[]",
	} {
		if got := fmt.Sprint(servers([]byte(out))); got != want {
			t.Errorf("%q: %s", out, got)
		}
	}
}

func TestDiagnose(t *testing.T) {
	for said, want := range map[string]string{
		"ssh: Could not resolve hostname nosuch: Name or service not known":                                                                "dial false",
		"ssh: connect to host h port 22: Connection refused":                                                                               "dial false",
		"ssh: connect to host h port 22: Connection timed out":                                                                             "dial false",
		"ssh: connect to host h port 22: No route to host":                                                                                 "dial false",
		"ada@h: Permission denied (publickey).":                                                                                            "auth false",
		"Received disconnect from 10.0.0.7 port 22:2: Too many authentication failures|Connection closed by h":                             "auth false",
		"kex_exchange_identification: read: Connection reset by peer|Connection reset by 10.0.0.7 port 22":                                 "dial true",
		"kex_exchange_identification: Connection closed by remote host":                                                                    "dial true",
		"Connection closed by 10.0.0.7 port 22":                                                                                            "dial true",
		"mux_client_request_session: session request failed: Session open refused by peer":                                                 "dial true",
		"No ED25519 host key is known for h and you have requested strict checking.|Host key verification failed.":                         "host key false",
		"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @|Host key verification failed.":                                        "host key false",
		"This account is currently not available.":                                                                                         "auth false",
		"Unable to negotiate with h port 22: no matching key exchange method found.":                                                       "dial false",
		"'exec' is not recognized as an internal or external command,":                                                                     "probe false",
		"exec : The term 'exec' is not recognized as the name of a cmdlet, function, script file,":                                         "probe false",
		"channel 0: open failed: administratively prohibited: open failed|stdio forwarding failed|Connection closed by UNKNOWN port 65535": "dial false",
		"socket: Too many open files|ssh: connect to host h port 22: failure":                                                              "dial false",
		"Too many logins for 'ada'.|Connection closed by 10.0.0.7 port 22":                                                                 "dial true",
		"something else": "",
		"":               "",
	} {
		s, line, ok := diagnose(strings.Split(said, "|"), "ssh ada@h true")
		got := ""
		if ok {
			got = fmt.Sprint(s.phase, " ", s.retry)
		}
		if got != want {
			t.Errorf("%q: %s", said, got)
		}
		if ok && (s.do == "" || strings.Contains(s.do, "%s") || !strings.Contains(said, line)) {
			t.Errorf("%q: %q, do %q", said, line, s.do)
		}
	}
}

func TestErrorIsASentence(t *testing.T) {
	for want, e := range map[string]*Error{
		`peer ada (ada@h): auth: ssh said "Permission denied (publickey)."; try: ssh ada@h true`: {Peer: "ada (ada@h)", Phase: Auth, Said: "Permission denied (publickey).", Do: "try: ssh ada@h true"},
		`probe: there is none`:                {Phase: Probe, Why: "there is none"},
		`exec: it ended; it said "no"; try x`: {Phase: Exec, Why: "it ended", Said: "no", Do: "try x"},
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
	if s := last([]string{"", "a", "b", " ", "c", "d", ""}); s != "b / c / d" {
		t.Errorf("%q", s)
	}
	if s := last([]string{strings.Repeat("é", 1000)}); len([]rune(s)) != 403 {
		t.Errorf("%d", len(s))
	}
}
