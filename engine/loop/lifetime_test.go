package loop

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestPost(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		const senders, each = 8, 500
		var l *Loop
		next := make([]int, senders)
		total := 0
		var all sync.WaitGroup
		run(t, o, &calls{}, func(lp *Loop) {
			l = lp
			for s := range senders {
				all.Go(func() {
					for i := range each {
						l.Post(func() {
							if next[s] != i {
								t.Errorf("sender %d: %d came when %d was due", s, i, next[s])
							}
							next[s]++
							if total++; total == senders*each {
								l.Stop()
							}
						})
					}
				})
			}
		})
		all.Wait()
		if total != senders*each {
			t.Errorf("%d of %d ran", total, senders*each)
		}
		l.Post(func() { t.Error("ran after the end") })
		l.Stop()
	})
}

// TestStop leaves connections open, opening and securing, and wants them shut
// without a word.
func TestStop(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		ended := make(chan error, 1)
		ep := tcp(t, func(c net.Conn) {
			_, err := io.Copy(io.Discard, c)
			ended <- err
		})
		var l *Loop
		h := &calls{
			opened: func(c *Conn, _ time.Duration) {
				l.Dial(&Endpoint{Addr: refusing(t)}, 0)
				l.Dial(ep, 0).Write([]byte("x"))
				l.Stop()
			},
			closed: func(_ *Conn, err error, _ time.Duration) {},
		}
		run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
		if err := <-ended; err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the server saw %v", err)
		}
		if err := l.Run(h); err == nil {
			t.Error("ran twice")
		}
	})
}

func TestStopBeforeRun(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		l, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		l.Stop()
		if err := l.Run(&calls{}); err != nil {
			t.Error(err)
		}
	})
}

func TestPanicGoesUp(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		ep := tcp(t, echo)
		defer func() {
			if v := recover(); v != "on purpose" {
				t.Errorf("recovered %v", v)
			}
		}()
		h := &calls{opened: func(*Conn, time.Duration) { panic("on purpose") }}
		run(t, o, h, func(l *Loop) { l.Dial(ep, 0); l.Dial(ep, 0) })
	})
}
