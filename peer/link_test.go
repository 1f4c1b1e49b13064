package peer

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/load"
	"lt/engine/scenario"
	"lt/peer/boot"
	"lt/peer/wire"
)

// A peer starts, makes its load to the arrival, gives its account, says bye, and nothing of it is left.
func TestLinkRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, newHost(t), steady(50, 10*time.Second))
		w.begin()
		w.diary.await(t, time.Minute, "fin")
		got := w.account()
		if got.Scheduled != 500 || got.Started != 500 || got.Requests != 500 || got.Errors != 0 || len(w.host.target.seen) != 500 {
			t.Errorf("%+v, and the target saw %d", got, len(w.host.target.seen))
		}
		if first := w.host.target.seen[0].Sub(w.zero); first < 0 || first > 11*time.Millisecond {
			t.Errorf("the first request came %v after run time zero, want half a gap", first)
		}
		w.close()
		w.ended(0)
		for _, step := range []string{"step dial", "step hello", "step clock", "step plan", "step preflight", "ready", "armed", "fin"} {
			if n := w.diary.count(step); n == 0 {
				t.Errorf("nobody was told of %q:\n%s", step, w.diary)
			}
		}
		for _, trouble := range []string{"suspect", "lost", "back", "gone", "rejoin", "failed", "warn"} {
			if n := w.diary.count(trouble); n > 0 {
				t.Errorf("%q in a run without any:\n%s", trouble, w.diary)
			}
		}
	})
}

// ended checks the codes of the processes.
func (w *linkWorld) ended(codes ...int) {
	w.t.Helper()
	got := w.host.codes()
	if len(got) != len(codes) {
		w.t.Errorf("the processes ended with %v, want %v", got, codes)
		return
	}
	for i := range codes {
		if got[i] != codes[i] {
			w.t.Errorf("the processes ended with %v, want %v: %v", got, codes, w.host.ended)
		}
	}
}

// exact checks that a run of f had every arrival once, in spite of what happened to its link.
func (w *linkWorld) exact(arrivals uint64) {
	w.t.Helper()
	got := w.account()
	if got.Scheduled != arrivals || got.Started != arrivals || got.Requests != arrivals || uint64(len(w.host.target.seen)) != arrivals {
		w.t.Errorf("%+v, and the target saw %d; want %d of each\n%s", got, len(w.host.target.seen), arrivals, w.diary)
	}
	for id, n := range w.host.target.paths {
		if n != 1 {
			w.t.Errorf("%s came %d times", id, n)
		}
	}
}

// Faults of the connection that a run survives whole: within its lease nothing is lost and nothing comes twice.
func TestLinkSurvives(t *testing.T) {
	tests := map[string]struct {
		fault func(w *linkWorld)
		want  []string
		never []string
		dials int
	}{
		"ssh killed": {
			func(w *linkWorld) { w.at(5 * time.Second); w.host.path(0).cut() },
			[]string{"lost", "back"},
			[]string{"gone", "rejoin"},
			2,
		},
		"partition of 4 s": {
			func(w *linkWorld) {
				w.at(5 * time.Second)
				w.host.path(0).stall()
				w.at(9 * time.Second)
				w.host.path(0).heal()
			},
			[]string{"suspect", "back"},
			[]string{"lost", "gone", "rejoin"},
			1,
		},
		"partition of 12 s": {
			func(w *linkWorld) {
				w.host.network = func(n int, path *fault) error {
					if time.Now().Before(w.zero.Add(17 * time.Second)) {
						path.stall()
						time.AfterFunc(time.Until(w.zero.Add(17*time.Second)), path.heal)
					}
					return nil
				}
				w.at(5 * time.Second)
				w.host.path(0).stall()
				w.at(17 * time.Second)
				w.host.path(0).heal()
			},
			[]string{"suspect", "lost", "back"},
			[]string{"gone", "rejoin"},
			0,
		},
		"partition of 12 s, the connection dead for good": {
			func(w *linkWorld) {
				w.host.network = func(n int, path *fault) error {
					if time.Now().Before(w.zero.Add(17 * time.Second)) {
						return errors.New("no route to host")
					}
					return nil
				}
				w.at(5 * time.Second)
				w.host.path(0).stall()
			},
			[]string{"suspect", "lost", "back"},
			[]string{"gone", "rejoin"},
			0,
		},
		"partition of 12 s, after which the peer is heard, and what is on its way to it comes 9 s later": {
			func(w *linkWorld) {
				w.host.network = func(n int, path *fault) error {
					if time.Now().Before(w.zero.Add(17 * time.Second)) {
						return errors.New("no route to host")
					}
					return nil
				}
				w.at(5 * time.Second)
				w.host.path(0).stall()
				w.at(17 * time.Second)
				w.host.path(0).down.stall(false)
				w.at(26 * time.Second)
				w.host.path(0).heal()
			},
			[]string{"suspect", "lost", "back"},
			[]string{"gone", "rejoin"},
			0,
		},
		"nothing comes down for 5 s": {
			func(w *linkWorld) {
				w.at(5 * time.Second)
				w.host.path(0).down.stall(true)
				w.at(10 * time.Second)
				w.host.path(0).heal()
			},
			[]string{"suspect", "back"},
			[]string{"lost", "gone", "rejoin"},
			1,
		},
		"a bit flipped on its way down": {
			func(w *linkWorld) { w.at(5 * time.Second); w.host.path(0).down.flip(1) },
			[]string{"lost", "back"},
			[]string{"gone", "rejoin"},
			2,
		},
		"a bit flipped on its way up": {
			func(w *linkWorld) { w.at(5 * time.Second); w.host.path(0).up.flip(1) },
			[]string{"lost", "back"},
			[]string{"gone", "rejoin"},
			2,
		},
		"the connection ends within a frame": {
			func(w *linkWorld) { w.at(5 * time.Second); w.host.path(0).down.truncate(5) },
			[]string{"lost", "back"},
			[]string{"gone", "rejoin"},
			2,
		},
		"something sent twice": {
			func(w *linkWorld) { w.at(5 * time.Second); w.host.path(0).down.duplicate(1) },
			[]string{"lost", "back"},
			[]string{"gone", "rejoin"},
			2,
		},
		"ssh killed again and again": {
			func(w *linkWorld) {
				for i := range 8 {
					w.at(time.Duration(3+2*i) * time.Second)
					w.host.path(w.host.dials() - 1).cut()
				}
			},
			[]string{"lost", "back"},
			[]string{"gone", "rejoin"},
			9,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, newHost(t), steady(20, 30*time.Second))
				w.begin()
				test.fault(w)
				w.diary.await(t, 2*time.Minute, "fin")
				w.exact(600)
				w.close()
				for _, what := range test.want {
					if w.diary.count(what) == 0 {
						t.Errorf("nobody was told of %q:\n%s", what, w.diary)
					}
				}
				for _, what := range test.never {
					if w.diary.count(what) > 0 {
						t.Errorf("there was %q:\n%s", what, w.diary)
					}
				}
				if test.dials > 0 && w.host.dials() != test.dials {
					t.Errorf("%d dials, want %d:\n%s", w.host.dials(), test.dials, w.diary)
				}
			})
		})
	}
}

// A partition for good: the peer is suspected and lost in time, stops by itself before its share may be another's, and ends.
func TestLinkPartitionForGood(t *testing.T) {
	for _, way := range []string{"both", "up", "down"} {
		t.Run(way, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, newHost(t), steady(50, 5*time.Minute))
				w.begin()
				w.host.network = func(int, *fault) error { return errors.New("no route to host") }
				w.at(20 * time.Second)
				cut := time.Since(w.diary.began)
				if way != "down" {
					w.host.path(0).up.stall(true)
				}
				if way != "up" {
					w.host.path(0).down.stall(true)
				}
				if way != "up" { // what it says still comes: its lease runs out all the same
					if at := w.diary.await(t, time.Minute, "suspect") - cut; at > 3100*time.Millisecond {
						t.Errorf("suspected after %v", at)
					}
					if at := w.diary.await(t, time.Minute, "lost") - cut; at > 6600*time.Millisecond || at < 5*time.Second {
						t.Errorf("lost after %v", at)
					}
				}
				w.at(40 * time.Second)
				silent := w.host.target.last(w.zero)
				if silent > 35510*time.Millisecond || silent < 33*time.Second {
					t.Errorf("the last request came %v after the cut, want 14..15.5 s", silent-20*time.Second)
				}
				over := w.link.Over().Sub(w.zero)
				if way != "up" && (over < silent+900*time.Millisecond || over > 36*time.Second+10*time.Millisecond) {
					t.Errorf("the lease is over at %v, the last request came at %v", over, silent)
				}
				w.at(3 * time.Minute)
				if way != "up" {
					w.ended(ExitLapsed)
				}
				w.close()
			})
		})
	}
}

// A partition of 25 s: the share has moved when the peer is heard again, so it takes no part; what it had measured is taken once.
func TestLinkRejoin(t *testing.T) {
	for _, same := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, newHost(t), steady(50, 5*time.Minute))
			w.begin()
			w.at(20 * time.Second)
			healed := w.zero.Add(45 * time.Second)
			w.host.network = func(int, *fault) error {
				if time.Now().Before(healed) {
					return errors.New("no route to host")
				}
				return nil
			}
			w.host.path(0).stall()
			if same {
				time.AfterFunc(time.Until(healed), w.host.path(0).heal)
			}
			w.diary.await(t, 2*time.Minute, "rejoin")
			w.diary.await(t, time.Minute, "fin")
			got := w.account()
			if !w.diary.fin.Lapsed || w.diary.count("back") > 0 || w.diary.count("gone") > 0 || w.diary.count("rejoin") != 1 {
				t.Errorf("%+v\n%s", w.diary.fin, w.diary)
			}
			if seen := uint64(len(w.host.target.seen)); got.Started != seen || got.Requests != seen {
				t.Errorf("%+v, and the target saw %d", got, seen)
			}
			if last := w.host.target.last(w.zero); last > 35510*time.Millisecond {
				t.Errorf("the last request came at %v", last)
			}
			w.close()
		})
	}
}

// The host answers and knows no such process: proof that nothing more comes of it, long before its lease is over.
func TestLinkGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, newHost(t), steady(50, time.Minute))
		w.begin()
		w.at(10 * time.Second)
		cut := time.Since(w.diary.began)
		w.host.mu.Lock()
		w.host.gone = true
		w.host.mu.Unlock()
		w.host.path(0).cut()
		if at := w.diary.await(t, time.Minute, "gone") - cut; at > time.Second {
			t.Errorf("proven after %v", at)
		}
		w.diary.await(t, time.Second, "rejoin")
		dials := w.host.dials()
		time.Sleep(time.Minute)
		if w.host.dials() != dials {
			t.Error("a process that is proven dead is dialled again")
		}
		w.close()
	})
}

// endedProcess is a stream as a process carries it that has ended by now.
type endedProcess struct {
	io.ReadWriteCloser
	signal func(pid int) int
}

func (endedProcess) Ended() string         { return "it exited 137" }
func (e endedProcess) Signal(pid int) int  { return e.signal(pid) }
func (endedProcess) Done() <-chan struct{} { c := make(chan struct{}); close(c); return c }

// What ended the process of a peer, as far as what carried the connection and the machine tell, goes to whoever is told of the loss.
func TestLinkTellsWhatEndedTheProcess(t *testing.T) {
	for name, c := range map[string]struct {
		starved int
		want    string
	}{
		"the machine tells": {3, "signal 9, 3 starved"},
		"it counts none":    {0, "signal 9, 0 starved"},
		"it does not tell":  {-1, "signal 9, -1 starved"},
	} {
		bubble(t, func(t *testing.T) {
			h := newHost(t)
			h.starved = c.starved
			h.hello = func(hello *wire.Hello) { hello.PID = 4242 }
			w := newWorld(t, h, steady(50, time.Minute), func(l *LinkConfig) {
				l.Dial = func(ctx context.Context, on Dialing) (io.ReadWriteCloser, wire.Hello, error) {
					rw, hello, err := h.dial(ctx, on)
					return endedProcess{rw, func(pid int) int { return map[int]int{4242: 9}[pid] }}, hello, err
				}
			})
			w.begin()
			w.at(10 * time.Second)
			h.mu.Lock()
			h.gone = true
			h.mu.Unlock()
			h.path(0).cut()
			w.diary.await(t, time.Minute, "gone")
			if w.diary.count("lost: the connection broke: ") != 1 || !strings.Contains(w.diary.String(), "(it exited 137); signal 9") || !strings.Contains(w.diary.String(), c.want) {
				t.Errorf("%s: not %q:\n%s", name, c.want, w.diary)
			}
			w.close()
		})
	}
}

// A break that was healed says nothing of the end that comes later.
func TestLinkForgetsASignalThatWasNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		first := true
		w := newWorld(t, h, steady(50, time.Minute), func(l *LinkConfig) {
			l.Dial = func(ctx context.Context, on Dialing) (io.ReadWriteCloser, wire.Hello, error) {
				rw, hello, err := h.dial(ctx, on)
				if first {
					first = false
					return endedProcess{rw, func(int) int { return boot.Unnamed }}, hello, err
				}
				return rw, hello, err
			}
		})
		w.begin()
		w.at(10 * time.Second)
		h.path(0).cut()
		w.diary.await(t, time.Minute, "back")
		h.mu.Lock()
		h.gone = true
		h.mu.Unlock()
		h.path(1).cut()
		w.diary.await(t, time.Minute, "gone")
		if w.diary.count("lost") != 2 || !strings.Contains(w.diary.String(), "signal 0, -1 starved") {
			t.Errorf("%s", w.diary)
		}
		w.close()
	})
}

// A peer tells of other runs on its machine, with what it says of them neutralised and bounded, and is none to others any more once
// its own load is over.
func TestLinkOtherRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		many := make([]wire.OtherRun, 100)
		many[0] = wire.OtherRun{Run: "a\x1b[31m" + strings.Repeat("long", 100), PID: -1, Age: -time.Second}
		h.others = map[string][]wire.OtherRun{"test": many}
		w := newWorld(t, h, steady(50, 5*time.Second))
		w.begin()
		got := w.diary.prefl.Others
		if len(got) != mostOthers || len(got[0].Run) > longestRun+3 || strings.Contains(got[0].Run, "\x1b") || got[0].PID != 0 || got[0].Age != 0 {
			t.Errorf("%d, %+v", len(got), got[0])
		}
		w.at(4 * time.Second)
		idle := func() int {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.idle
		}
		if idle() != 0 {
			t.Error("it is idle while its load goes on")
		}
		w.diary.await(t, time.Minute, "fin")
		if idle() != 1 {
			t.Errorf("it was said %d times that it is idle", idle())
		}
		w.close()
	})
}

// Another machine under the same name proves nothing.
func TestLinkAnotherMachine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		w := newWorld(t, h, steady(50, time.Minute))
		w.begin()
		w.at(10 * time.Second)
		h.hello = func(hello *wire.Hello) { hello.Machine = "elsewhere" }
		h.mu.Lock()
		h.gone = true
		h.mu.Unlock()
		h.path(0).cut()
		time.Sleep(14 * time.Second)
		if w.diary.count("gone") > 0 {
			t.Errorf("a machine that never had the process proves that it is dead:\n%s", w.diary)
		}
		time.Sleep(time.Minute)
		w.close()
	})
}

// Without the coordinator a peer goes on until its lease is over, keeps what it measured for a minute, and ends.
func TestAgentAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, newHost(t), steady(50, 5*time.Minute))
		w.begin()
		w.at(20 * time.Second)
		w.host.network = func(int, *fault) error { return errors.New("the coordinator was killed") }
		w.host.path(0).cut()
		began := time.Now()
		w.host.wait.Wait()
		if took := time.Since(began); took < 70*time.Second || took > 90*time.Second {
			t.Errorf("it ended %v after the connection", took)
		}
		if last := w.host.target.last(w.zero); last > 35*time.Second+10*time.Millisecond || last < 34*time.Second {
			t.Errorf("the last request came at %v", last)
		}
		w.ended(ExitLapsed)
		w.close()
	})
}

// A peer that was told to end at once, and whose coordinator is gone then, has nobody to wait for.
func TestAgentIsToldToEndAndLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, newHost(t), steady(50, 5*time.Minute))
		w.begin()
		w.at(10 * time.Second)
		w.link.Stop(true)
		time.Sleep(100 * time.Millisecond)
		w.host.network = func(int, *fault) error { return errors.New("the coordinator was killed") }
		w.host.path(0).cut()
		began := time.Now()
		w.host.wait.Wait()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it ended %v after the connection", took)
		}
		w.close()
	})
}

// A peer whose session breaks as the run ends is told to end all the same, over one that is made for it.
func TestCloseReachesAPeerWhoseSessionBroke(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, newHost(t), steady(50, 5*time.Minute))
		w.begin()
		w.at(10 * time.Second)
		w.host.network = func(int, *fault) error { time.Sleep(500 * time.Millisecond); return nil }
		w.host.path(0).cut()
		time.Sleep(100 * time.Millisecond) // it is being taken up again
		began := time.Now()
		w.close()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if last := w.host.target.last(w.zero); last > 12*time.Second {
			t.Errorf("the last request came at %v", last)
		}
	})
}

// Nothing starts without commit, also not when the coordinator dies in between.
func TestNothingStartsWithoutCommit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, newHost(t), steady(50, time.Minute))
		w.link.Dial(t.Context())
		w.diary.await(t, time.Minute, "ready")
		w.arm(2 * time.Second)
		time.Sleep(5 * time.Second)
		w.link.Abort()
		time.Sleep(time.Second)
		w.arm(2 * time.Second)
		w.host.network = func(int, *fault) error { return errors.New("the coordinator was killed") }
		w.host.path(0).cut()
		w.host.wait.Wait()
		if n := len(w.host.target.seen); n > 0 {
			t.Errorf("%d requests", n)
		}
		w.close()
		w.ended(ExitLapsed)
	})
}

// An armed peer whose start was called off can be armed again; what counts is the last order.
func TestAbortAndArmAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, newHost(t), steady(20, 5*time.Second))
		w.link.Dial(t.Context())
		w.diary.await(t, time.Minute, "ready")
		w.arm(2 * time.Second)
		w.link.Abort()
		time.Sleep(10 * time.Second)
		w.arm(3 * time.Second)
		w.link.Commit()
		w.diary.await(t, time.Minute, "fin")
		w.exact(100)
		w.close()
		w.ended(0)
	})
}

// Orders that were given while the peer was out of reach are carried out when it is back.
func TestOrdersOutliveSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, newHost(t), steady(20, 5*time.Minute))
		w.begin()
		w.at(5 * time.Second)
		w.host.network = func(int, *fault) error {
			if time.Now().Before(w.zero.Add(12 * time.Second)) {
				return errors.New("no route to host")
			}
			return nil
		}
		w.host.path(0).cut()
		w.at(8 * time.Second)
		entries := []load.Change{{At: 20 * time.Second, Kind: load.Factor, Factor: 2}}
		w.link.Changes(1, entries)
		w.diary.await(t, time.Minute, "applied 2")
		w.at(30 * time.Second)
		if n := w.host.target.between(w.zero, 25*time.Second, 30*time.Second); n != 200 {
			t.Errorf("%d requests in 5 s at 40/s", n)
		}
		w.link.Stop(false)
		w.diary.await(t, time.Minute, "fin")
		if at := w.host.target.last(w.zero); at > 30500*time.Millisecond {
			t.Errorf("the last request came at %v", at)
		}
		w.account()
		w.close()
		w.ended(0, 0)
	})
}

// Close in the middle of a run ends the load at once and everything else within seconds.
func TestCloseEndsEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, newHost(t), steady(100, 5*time.Minute))
		w.begin()
		w.at(10 * time.Second)
		began := time.Now()
		w.close()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		if last := w.host.target.last(w.zero); last > 10500*time.Millisecond {
			t.Errorf("the last request came at %v", last)
		}
		w.ended(0)
	})
}

// A peer that cannot be made ready says in which step, in whose words, and leaves nothing behind.
func TestLinkFails(t *testing.T) {
	tests := map[string]struct {
		host func(h *memHost)
		file func(w *linkWorld)
		want []string
	}{
		"dial": {
			host: func(h *memHost) {
				h.network = func(int, *fault) error { return errors.New("Permission denied (publickey)") }
			},
			want: []string{"peer ada (ada@10.0.0.7): dial: Permission denied (publickey)"},
		},
		"version": {
			host: func(h *memHost) { h.hello = func(x *wire.Hello) { x.Proto = [2]int{7, 9}; x.Version = "9.9" } },
			want: []string{"hello", "9.9", "test"},
		},
		"connection cut in the middle of the clock": {
			host: func(h *memHost) {
				h.network = func(_ int, p *fault) error {
					time.AfterFunc(100*time.Millisecond, p.cut)
					p.delay(time.Millisecond, time.Millisecond)
					return nil
				}
			},
			want: []string{"clock"},
		},
		"policy": {
			host: func(h *memHost) { h.c.Policy = &wire.Policy{MaxDuration: time.Second} },
			want: []string{"preflight", "max_duration"},
		},
		"policy about targets": {
			host: func(h *memHost) { h.c.Policy = &wire.Policy{Targets: []string{"*.staging.internal"}} },
			want: []string{"preflight", "127.0.0.1"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHost(t)
				test.host(h)
				w := newWorld(t, h, steady(20, 30*time.Second))
				w.link.Dial(t.Context())
				w.diary.await(t, 2*time.Minute, "failed")
				var e *StartError
				if !errors.As(w.diary.failed, &e) {
					t.Fatalf("%T %v", w.diary.failed, w.diary.failed)
				}
				for _, want := range test.want {
					if !strings.Contains(e.Error(), want) {
						t.Errorf("%q does not say %q", e.Error(), want)
					}
				}
				w.close()
			})
		})
	}
}

// A rate above what the owner of a peer allows is refused when it is armed, and cut when it comes later.
func TestPolicyHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		h.c.Policy = &wire.Policy{MaxRate: 30}
		w := newWorld(t, h, steady(50, time.Minute))
		w.link.Dial(t.Context())
		w.diary.await(t, time.Minute, "ready")
		w.arm(2 * time.Second)
		if w.diary.failed == nil || !strings.Contains(w.diary.failed.Error(), "max_rate") {
			t.Errorf("50/s were armed where 30/s are allowed:\n%s", w.diary)
		}
		w.close()
	})
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		h.c.Policy = &wire.Policy{MaxRate: 60}
		w := newWorld(t, h, steady(50, time.Minute))
		w.begin()
		w.at(10 * time.Second)
		w.link.Changes(1, []load.Change{{At: 15 * time.Second, Kind: load.Factor, Factor: 1.5}})
		w.diary.await(t, time.Minute, "fin")
		if w.diary.fin.Err == "" {
			t.Errorf("%+v", w.diary.fin)
		}
		if last := w.host.target.last(w.zero); last > 10500*time.Millisecond {
			t.Errorf("the last request came at %v", last)
		}
		w.close()
		w.ended(ExitLapsed)
	})
}

// Asymmetric delays fool the comparison of clocks by no more than half of the round trip, and the bound says so.
func TestClockOverAsymmetricPath(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		h.network = func(_ int, p *fault) error { p.delay(20*time.Millisecond, 80*time.Millisecond); return nil }
		began := time.Now()
		h.c.Clock = func() time.Duration { return 12345*time.Second + time.Since(began) } // as if booted at another time
		w := newWorld(t, h, steady(50, 5*time.Second))
		w.begin()
		w.diary.await(t, time.Minute, "fin")
		b := w.diary.newest()
		if b.RTT != 100*time.Millisecond || b.Bound > 52*time.Millisecond {
			t.Errorf("round trip %v, bound %v", b.RTT, b.Bound)
		}
		truth := clockNow() - (12345*time.Second + time.Since(began))
		if off := (b.Offset - truth).Abs(); off > b.Bound {
			t.Errorf("the offset is wrong by %v, the bound is %v", off, b.Bound)
		}
		if skew := w.host.target.seen[0].Sub(w.zero) - 10*time.Millisecond; skew.Abs() > b.Bound {
			t.Errorf("it began %v beside run time zero, the bound is %v", skew, b.Bound)
		}
		w.close()
	})
}

// A scenario whose files are more than is carried to a peer fails the start, with what to do about it, before anything of it travels;
// up to there it is carried.
func TestJobAboveTheMost(t *testing.T) {
	for _, over := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			f := steady(50, time.Second)
			step := f.Scenarios[0].Steps[0]
			step.Body, step.Data = scenario.BodyFile, make([]byte, 3<<20)
			h := newHost(t)
			h.network = func(_ int, p *fault) error { p.rate(1 << 20); return nil }
			w := newWorld(t, h, f, func(c *LinkConfig) {
				if c.mostJob = len(wire.Encode(c.Job)); over {
					c.mostJob--
				}
			})
			w.link.Dial(t.Context())
			began := time.Now()
			w.diary.await(t, time.Minute, "ready", "failed")
			took := time.Since(began)
			if over {
				var e *StartError
				if want := "peer ada (ada@10.0.0.7): plan: the scenario with its files has 3 MB, and at most 3 are carried to a peer: use smaller bodies"; !errors.As(w.diary.failed, &e) || e.Error() != want || took > time.Second {
					t.Errorf("after %v: %v, want %q", took, w.diary.failed, want)
				}
			} else if w.diary.failed != nil || took < 3*time.Second {
				t.Errorf("after %v: %v", took, w.diary.failed)
			}
			w.close()
		})
	}
}

// A path that becomes long in the middle of a run is said to be by heartbeats within three seconds, and to be short again six seconds
// after it is; how well the clocks are known does not suffer.
func TestPathThatBecomesLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, newHost(t), steady(50, time.Minute))
		w.begin()
		for _, c := range []struct {
			at, way time.Duration
		}{{10 * time.Second, 400 * time.Millisecond}, {20 * time.Second, 0}} {
			w.at(c.at)
			w.host.path(0).delay(c.way, c.way)
			w.at(c.at + 3*time.Second)
			if c.way == 0 {
				w.at(c.at + 6*time.Second)
			}
			synctest.Wait()
			if b := w.diary.newest(); b.Slowest < 2*c.way || b.Slowest > 2*c.way+10*time.Millisecond || b.RTT > 10*time.Millisecond || b.Bound > 20*time.Millisecond {
				t.Errorf("%v each way: %+v", c.way, b)
			}
		}
		w.link.Stop(true)
		w.diary.await(t, time.Minute, "fin")
		w.close()
	})
}

// A slow path: nothing is lost, nobody is suspected, heartbeats come through.
func TestSlowPath(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		h.network = func(_ int, p *fault) error {
			p.rate(125_000)
			p.delay(20*time.Millisecond, 20*time.Millisecond)
			return nil
		}
		w := newWorld(t, h, steady(500, 30*time.Second))
		w.begin()
		w.diary.await(t, 2*time.Minute, "fin")
		w.exact(15000)
		for _, what := range []string{"suspect", "lost"} {
			if w.diary.count(what) > 0 {
				t.Errorf("there was %q:\n%s", what, w.diary)
			}
		}
		for _, b := range w.diary.beats {
			if b.RTT > time.Second {
				t.Errorf("heartbeat %d: round trip %v", b.Seq, b.RTT)
			}
		}
		w.close()
	})
}

// The process of the coordinator stands still for more than four seconds: its peers are not blamed for what it could not hear.
func TestCoordinatorStandsStill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, newHost(t), steady(20, 20*time.Second))
		_, near, far := newFault()
		session := wire.Client(near, wire.SessionConfig{})
		h := &health{l: w.link, call: &call{l: w.link, session: session}, looked: time.Now(), redialling: true, stop: func() {}}
		time.Sleep(4500 * time.Millisecond) // in which nobody looked
		h.look()
		if h.suspect || h.lost {
			t.Errorf("blamed for our own slowness:\n%s", w.diary)
		}
		for range 50 {
			time.Sleep(hearing)
			h.look()
		}
		if !h.lost { // the time that it is given ends
			t.Errorf("nothing was heard for 9.5 s, and it is not lost:\n%s", w.diary)
		}
		session.Close()
		far.Close()
		w.close()
	})
}

// A machine that sleeps takes no part any more when it wakes up: its run time stood still.
func TestMachineSleeps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		var slept atomic.Int64
		began := time.Now()
		h.c.Clock = func() time.Duration { return time.Since(began) + time.Duration(slept.Load()) }
		w := newWorld(t, h, steady(50, time.Minute))
		w.begin()
		w.at(10 * time.Second)
		slept.Store(int64(5 * time.Second))
		w.diary.await(t, time.Minute, "fin")
		if last := h.target.last(w.zero); last > 10060*time.Millisecond || !w.diary.fin.Lapsed {
			t.Errorf("the last request came at %v after it woke up; %+v", last-10*time.Second, w.diary.fin)
		}
		w.account()
		w.close()
		w.ended(ExitLapsed)
	})
}

// A process that its host tells to end (SIGTERM) finishes what it has in hand, gives its account and goes.
func TestHostEndsProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		h.target.takes = 2 * time.Second
		w := newWorld(t, h, steady(20, time.Minute))
		w.begin()
		w.at(10 * time.Second)
		h.stops[0]()
		w.diary.await(t, time.Minute, "warn: its host told it to end")
		w.diary.await(t, time.Minute, "fin")
		got := w.account()
		if last := h.target.last(w.zero); last > 10*time.Second+50*time.Millisecond || got.Unfinished > 0 || got.Requests != got.Started {
			t.Errorf("the last request came at %v; %+v", last, got)
		}
		h.wait.Wait() // without a bye
		w.close()
		w.ended(0, ExitLapsed) // the second was to tell the first one to end, and found that it had
	})
}

// Who has not got the token gets nothing.
func TestToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHost(t)
		w := newWorld(t, h, steady(20, 20*time.Second))
		w.begin()
		w.at(5 * time.Second)
		var incarnation string
		for i := range h.runs {
			incarnation = i
		}
		c, err := h.Find(t.Context(), incarnation, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := wire.WriteLine(c, wire.Greeting{Proto: wire.Proto, Token: strings.Repeat("0", 32), Resume: true}); err != nil {
			t.Fatal(err)
		}
		if got, err := wire.ReadWelcome(c); err != nil || got.OK || got.Code != codeToken {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection stays: %v", err)
		}
		w.diary.await(t, time.Minute, "fin")
		w.exact(400)
		w.close()
	})
}
