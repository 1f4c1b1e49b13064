package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
	"lt/peer/wire"
)

// fakePeer is a peer that does by hand what a test wants, after an honest start.
type fakePeer struct {
	streams *wire.Peer
	session *wire.Session
}

// fakeHost dials fake peers. after is called for each session, once it was committed to or taken up again.
func fakeHost(wait *sync.WaitGroup, steps int, after func(n int, p *fakePeer)) Dialer {
	n := 0
	return func(ctx context.Context, on Dialing) (io.ReadWriteCloser, wire.Hello, error) {
		_, near, far := newFault()
		me := n
		n++
		wait.Go(func() {
			g, err := wire.ReadGreeting(far)
			if err != nil || wire.WriteLine(far, wire.Welcome{OK: true, Incarnation: strings.Repeat("0", 32)}) != nil {
				far.Close()
				return
			}
			committed := make(chan struct{})
			p := &fakePeer{session: wire.Server(far, wire.SessionConfig{})}
			defer p.session.Close()
			p.streams, err = wire.AcceptStreams(p.session, func(r *wire.Request) {
				switch r.Kind {
				case wire.KindPlan:
					var plan wire.Plan
					if r.Decode(&plan) == nil {
						go func() {
							_, _ = p.streams.Files.Receive(plan)
							r.OK(wire.Ready{Steps: steps})
						}()
					}
				case wire.KindPreflight:
					r.OK(wire.Preflight{Basis: "a\x1b[31mb"})
				case wire.KindCommit:
					r.OK(nil)
					close(committed)
				case wire.KindChanges:
					r.Refuse("limit", "no\x07")
				default:
					r.OK(nil)
				}
			})
			if err != nil {
				return
			}
			beats := func() {
				for i := uint64(1); ; i++ {
					p.streams.Beats.Send(wire.Beat{Seq: i, Sent: clockNow(), Probes: 16})
					select {
					case <-time.After(400 * time.Millisecond):
					case <-p.session.Done():
						return
					}
				}
			}
			answers := func() {
				for {
					if _, err := p.streams.Beats.Receive(); err != nil {
						return
					}
				}
			}
			go beats()
			go answers()
			if !g.Resume {
				select {
				case <-committed:
				case <-p.session.Done():
					return
				}
			}
			after(me, p)
			<-p.session.Done()
		})
		return near, wire.Hello{Proto: [2]int{1, 1}, Version: "test", Machine: "here", Processes: "here"}, nil
	}
}

// batch is an honest batch of one empty second.
func batch(seq uint64) wire.Batch {
	iv := metrics.Interval{From: time.Duration(seq-1) * time.Second, Length: time.Second, Scheduled: 1}
	return wire.Batch{Seq: seq, Count: 1, Data: iv.AppendBinary(nil)}
}

// A peer that breaks the protocol again and again is given up: nothing is granted to it, and nobody dials it any more.
func TestPeerTalksNonsense(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var wait sync.WaitGroup
		w := newWorld(t, newHost(t), steady(20, time.Minute), func(c *LinkConfig) {
			c.Dial = fakeHost(&wait, c.Steps, func(n int, p *fakePeer) { _ = p.streams.Metrics.Send(batch(7)) })
		})
		w.begin()
		w.diary.await(t, time.Minute, "lost: the connection broke: peer ada: batch 7")
		time.Sleep(20 * time.Second)
		if w.diary.count("lost") != nonsense || w.diary.count("lost: it does not keep to the protocol") != 1 {
			t.Errorf("%s", w.diary)
		}
		over := w.link.Over()
		time.Sleep(time.Minute)
		if w.link.Over() != over || time.Now().Before(over) {
			t.Error("its lease goes on")
		}
		w.close()
		wait.Wait()
	})
}

// Batches that come again are applied once; those of a number that was never sent in between end the session.
func TestBatchesAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var wait sync.WaitGroup
		w := newWorld(t, newHost(t), steady(20, time.Minute), func(c *LinkConfig) {
			c.Dial = fakeHost(&wait, c.Steps, func(n int, p *fakePeer) {
				for _, seq := range []uint64{1, 2, 1, 2, 2, 3, 1} {
					_ = p.streams.Metrics.Send(batch(seq))
				}
				_ = p.streams.Control.Event(wire.KindFin, wire.Fin{LastSeq: 3, Totals: wire.Totals{Intervals: 3, Scheduled: 3}})
			})
		})
		w.begin()
		w.diary.await(t, time.Minute, "fin")
		if got := w.account(); got.Scheduled != 3 || len(w.diary.intervals) != 3 {
			t.Errorf("%+v of %d intervals", got, len(w.diary.intervals))
		}
		w.close()
		wait.Wait()
	})
}

// The account is told when everything before it was applied, not when it came.
func TestFinWaitsForItsBatches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var wait sync.WaitGroup
		w := newWorld(t, newHost(t), steady(20, time.Minute), func(c *LinkConfig) {
			c.Dial = fakeHost(&wait, c.Steps, func(n int, p *fakePeer) {
				_ = p.streams.Control.Event(wire.KindFin, wire.Fin{LastSeq: 1})
				time.Sleep(3 * time.Second)
				_ = p.streams.Metrics.Send(batch(1))
			})
		})
		w.begin()
		w.diary.await(t, time.Minute, "fin")
		if len(w.diary.intervals) != 1 {
			t.Errorf("%d intervals before the account", len(w.diary.intervals))
		}
		w.close()
		wait.Wait()
	})
}

// Heartbeats without figures: that is said, and it is no loss.
func TestFiguresStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var wait sync.WaitGroup
		w := newWorld(t, newHost(t), steady(20, time.Minute), func(c *LinkConfig) {
			c.Dial = fakeHost(&wait, c.Steps, func(n int, p *fakePeer) {
				time.Sleep(2 * time.Second)
				_ = p.streams.Metrics.Send(batch(1))
				time.Sleep(20 * time.Second)
				_ = p.streams.Metrics.Send(batch(2))
			})
		})
		w.begin()
		stuck, again := 0, 0
		count := func() {
			w.diary.mu.Lock()
			defer w.diary.mu.Unlock()
			stuck, again = 0, 0
			for _, l := range w.diary.lines {
				if strings.Contains(l, "no figures came for 5") {
					stuck++
				}
				if strings.Contains(l, "its figures come again") {
					again++
				}
			}
		}
		w.at(23 * time.Second)
		count()
		if stuck != 1 || again != 1 || w.diary.count("suspect") > 0 || w.diary.count("lost") > 0 {
			t.Errorf("said %d times that they are stuck, %d that they come again\n%s", stuck, again, w.diary)
		}
		w.close()
		wait.Wait()
	})
}

// A peer that does not take a change of the load cannot be left to itself: it is stopped, and its lease runs out.
func TestChangeRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var wait sync.WaitGroup
		w := newWorld(t, newHost(t), steady(20, time.Minute), func(c *LinkConfig) {
			c.Dial = fakeHost(&wait, c.Steps, func(n int, p *fakePeer) {})
		})
		w.begin()
		w.at(2 * time.Second)
		w.link.Changes(1, []load.Change{{At: 5 * time.Second, Kind: load.Factor, Factor: 2}})
		time.Sleep(time.Second)
		over := w.link.Over()
		time.Sleep(5 * time.Second)
		if w.link.Over() != over {
			t.Error("its lease goes on")
		}
		if w.diary.prefl.Basis != `a\x1b[31mb` {
			t.Errorf("what a peer says reaches a terminal: %q", w.diary.prefl.Basis)
		}
		if w.diary.count("applied") > 0 {
			t.Errorf("%s", w.diary)
		}
		w.close()
		wait.Wait()
	})
}

// A peer that floods its log costs us a bounded number of lines.
func TestLogFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var wait sync.WaitGroup
		w := newWorld(t, newHost(t), steady(20, time.Minute), func(c *LinkConfig) {
			c.Dial = fakeHost(&wait, c.Steps, func(n int, p *fakePeer) {
				for range 10_000 {
					p.streams.Log.Add(wire.Line{Text: "a\nb"})
				}
			})
		})
		w.begin()
		w.at(3 * time.Second)
		w.diary.mu.Lock()
		lines := slices.Clone(w.diary.lines)
		w.diary.mu.Unlock()
		if n := len(lines); n == 0 || n > 2*linesPerSecond {
			t.Errorf("%d lines", n)
		}
		for _, l := range lines {
			if strings.Contains(l, "\n") {
				t.Fatalf("a line that is two: %q", l)
			}
		}
		w.close()
		wait.Wait()
	})
}

// Whatever is greeted with is answered, or ends the process with the code for it.
func TestServeRefuses(t *testing.T) {
	token := strings.Repeat("a", 32)
	tests := map[string]struct {
		send string
		code int
		said string
	}{
		"nothing":     {"", ExitProtocol, ""},
		"text":        {"GET / HTTP/1.1\r\n\r\n", ExitProtocol, ""},
		"no token":    {`LT/1 {"proto":1,"run":"x"}` + "\n", ExitProtocol, ""},
		"version":     {`LT/1 {"proto":99,"version":"9.9","run":"x","token":"` + token + `"}` + "\n", ExitProtocol, "99"},
		"no such run": {`LT/1 {"proto":1,"run":"x","token":"` + token + `","resume":true,"incarnation":"` + token + `"}` + "\n", ExitLapsed, codeLost},
		"a traversal": {`LT/1 {"proto":1,"run":"../../x","token":"` + token + `","resume":true,"incarnation":"../../../etc/passwd"}` + "\n", ExitLapsed, codeLost},
		"a long line": {"LT/1 {" + strings.Repeat("x", 10_000) + "\n", ExitProtocol, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				_, near, far := newFault()
				ended := make(chan error, 1)
				go func() { ended <- Serve(t.Context(), far, ServeConfig{Version: "test"}) }()
				if _, err := wire.ReadHello(near); err != nil {
					t.Fatal(err)
				}
				_, _ = near.Write([]byte(test.send))
				if test.send == "" {
					near.Close()
				} else if test.said != "" {
					got, err := wire.ReadWelcome(near)
					if err != nil || got.OK || !strings.Contains(got.Code+got.Reason, test.said) {
						t.Errorf("%+v, %v", got, err)
					}
				}
				var e *ExitError
				if err := <-ended; !errors.As(err, &e) || e.Code != test.code {
					t.Errorf("it ended with %v", err)
				}
				near.Close()
			})
		})
	}
}

// A job that no parser would have made is refused and does no harm.
func TestHostileJobs(t *testing.T) {
	tests := map[string]func(j *Job){
		"no file":         func(j *Job) { j.File = nil },
		"no scenario":     func(j *Job) { j.File.Scenarios = nil },
		"nil scenario":    func(j *Job) { j.File.Scenarios[0] = nil },
		"no steps":        func(j *Job) { j.File.Scenarios[0].Steps = nil },
		"nil step":        func(j *Job) { j.File.Scenarios[0].Steps = append(j.File.Scenarios[0].Steps, nil) },
		"no stages":       func(j *Job) { j.File.Load.Profile.Stages = nil },
		"weights":         func(j *Job) { j.File.Load.Weights = []int{1, 2, 3} },
		"negative weight": func(j *Job) { j.File.Load.Weights = []int{-1} },
		"no timeout":      func(j *Job) { j.File.Scenarios[0].Steps[0].HTTP.Timeout = 0 },
		"a file of ours":  func(j *Job) { j.File.Scenarios[0].Steps[0].HTTP.TLS.CA = "/etc/shadow" },
		"a rate": func(j *Job) {
			j.File.Load.Profile.Stages[0].At = 1e300
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			job, err := NewJob(steady(10, time.Second), NewClaim(steady(10, time.Second), 1), "lt/test", false)
			if err != nil {
				t.Fatal(err)
			}
			change(job)
			var got Job
			if err := wire.DecodeJob(wire.Encode(job), &got); err != nil {
				t.Fatal(err)
			}
			a := newAgent(ServeConfig{Version: "test", Clock: clockNow, Exit: func(int) {}}, "run")
			defer a.end()
			_, err = a.load(&got)
			if err == nil {
				_, err = a.preflight(t.Context())
			}
			var no *refusal
			if !errors.As(err, &no) || no.text == "" {
				t.Errorf("%v", err)
			}
		})
	}
}

// A job goes over the wire unchanged.
func TestJobTravels(t *testing.T) {
	f := steady(10, time.Second)
	f.Authorize = &scenario.Authorize{Owner: "o", Until: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)}
	f.Scenarios[0].Steps[0].Data = []byte{0, 255, '\n'}
	f.Vars = []scenario.Var{{Name: "p", Value: "not \xff UTF-8", Secret: true}}
	job, err := NewJob(f, NewClaim(f, 2), "lt/test", true)
	if err != nil {
		t.Fatal(err)
	}
	data := wire.Encode(job.at("http://other:81"))
	var got Job
	if err := wire.DecodeJob(data, &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(wire.Encode(&got), data) || got.File.Target != "http://other:81" || f.Target == got.File.Target || got.File.Vars[0].Value != f.Vars[0].Value {
		t.Errorf("%+v", got.File)
	}
	if p, err := got.compile(); err != nil || len(p.Steps) != 1 {
		t.Errorf("%v", err)
	}
}

func FuzzJob(f *testing.F) {
	job, err := NewJob(steady(10, time.Second), NewClaim(steady(10, time.Second), 1), "lt/test", false)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire.Encode(job))
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var j Job
		if wire.DecodeJob(data, &j) != nil {
			return
		}
		p, err := j.compile()
		if (p == nil) == (err == nil) {
			t.Fatalf("%v, %v", p, err)
		}
		if err != nil {
			return
		}
		a := newAgent(ServeConfig{Version: "test", Clock: clockNow, Exit: func(int) {}}, "run")
		defer a.end()
		if _, err := a.load(&j); err != nil {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		_, _ = a.newEngine(wire.Arm{})
	})
}

// sendable says whether a body can be sent as it is by the encoder, which refuses what it would never make.
func sendable(body []byte) (ok bool) {
	defer func() { ok = recover() == nil }()
	wire.Encode(cbor.RawMessage(body))
	return true
}

// A coordinator that asks for one preflight after the other gets one at a time: each connects to every target.
func TestOnePreflightAtATime(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	reached := make(chan net.Conn, 100)
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			reached <- c // and never a word
		}
	}()
	file, err := (&scenario.Quick{URL: "https://" + silent.Addr().String() + "/", Rate: "1"}).File(scenario.Env{})
	if err != nil {
		t.Fatal(err)
	}
	job, err := NewJob(file, NewClaim(file, 1), "lt/test", false)
	if err != nil {
		t.Fatal(err)
	}
	_, near, far := newFault()
	a := newAgent(ServeConfig{Version: "test", Clock: clockNow, Exit: func(int) {}}, "run")
	defer a.end()
	if _, err := a.load(job); err != nil {
		t.Fatal(err)
	}
	at := a.attach(far, 0)
	s := wire.Client(near, wire.SessionConfig{})
	c, err := wire.OpenStreams(s, func(wire.Kind, []byte) {})
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan error, 1)
	go func() { first <- c.Control.Do(t.Context(), wire.KindPreflight, nil, nil) }()
	conn := <-reached
	for range 20 {
		if err := c.Control.Do(t.Context(), wire.KindPreflight, nil, nil); err == nil || !strings.Contains(err.Error(), "a preflight goes on already") {
			t.Fatalf("a second preflight beside the first: %v", err)
		}
	}
	conn.Close() // the first sees that the handshake fails
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
	if n := len(reached); n != 0 {
		t.Errorf("%d connections more than one", n)
	}
	s.Close()
	at.close()
}

// Whatever a coordinator asks for in whatever order, a peer answers, and begins nothing that it was not committed to.
func FuzzRequests(f *testing.F) {
	f.Add([]byte{byte(wire.KindArm), byte(wire.KindCommit), byte(wire.KindStop), byte(wire.KindChanges)}, wire.Encode(wire.Arm{Source: 1, Name: "x"}))
	f.Add([]byte{byte(wire.KindChanges)}, wire.Encode(wire.Changes{From: -1}))
	f.Add([]byte{byte(wire.KindPlan)}, wire.Encode(wire.Plan{Size: 1 << 40}))
	f.Fuzz(func(t *testing.T, kinds, body []byte) {
		if len(kinds) > 8 || !sendable(body) {
			return
		}
		_, near, far := newFault()
		a := newAgent(ServeConfig{Version: "test", Clock: clockNow, Exit: func(int) {}}, "run")
		at := a.attach(far, 0)
		s := wire.Client(near, wire.SessionConfig{})
		c, err := wire.OpenStreams(s, func(wire.Kind, []byte) {})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for _, k := range kinds {
			if wire.Kind(k) == wire.KindPlan {
				continue // it waits for a file
			}
			err := c.Control.Do(ctx, wire.Kind(k), cbor.RawMessage(body), nil)
			if errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("no answer to %v", wire.Kind(k))
			}
		}
		if a.begun() > 0 {
			t.Fatal("it begins without a job")
		}
		s.Close()
		at.close()
		a.end()
	})
}
