package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"lt/engine/redact"
	"lt/peer/wire"
)

// base is where the coordinator's clock begins. It is monotonic; only differences of it mean anything.
var base = time.Now()

// clockNow is the coordinator's clock: that of wire.Arm.Zero and of the answers to heartbeats.
func clockNow() time.Duration { return time.Since(base) }

// endTime is how long the process that carried a session may take to end after it, and to say why.
const endTime = 300 * time.Millisecond

// call is one session with a peer, and the goroutines that serve its streams.
type call struct {
	l       *Link
	rw      io.ReadWriteCloser
	session *wire.Session
	streams *wire.Coordinator
	probes  atomic.Int64  // stamps that the peer's estimate of the clocks rests on
	beats   atomic.Uint64 // heartbeats so far
	probed  chan struct{} // there is a heartbeat; one slot
	heardBy atomic.Bool   // what we say arrives there, as far as its heartbeats tell
	told    told          // of the orders; held by the link's lock
	changes chan underWay // that wait for their answers
	all     sync.WaitGroup
}

// newCall makes the session on a stream whose both ends were introduced, and hangs up if that fails. Its streams are served from
// attach on.
func (l *Link) newCall(rw io.ReadWriteCloser) (*call, error) {
	c := &call{l: l, rw: rw, probed: make(chan struct{}, 1), changes: make(chan underWay, mostUnderWay+1)}
	c.heardBy.Store(true) // it answered the greeting
	c.session = wire.Client(rw, wire.SessionConfig{Log: func(line string) { l.say("%s", line) }, Recover: l.cfg.Recover})
	var err error
	if c.streams, err = wire.OpenStreams(c.session, c.event); err != nil {
		c.session.Close()
		return nil, err
	}
	return c, nil
}

// attach makes a call the one that counts and serves its streams.
func (l *Link) attach(c *call) {
	l.mu.Lock()
	l.call = c
	l.orders.stopped = false // whatever the session before carried out at last, it may not have been told
	l.mu.Unlock()
	for _, serve := range []func(){c.answerBeats, c.takeBatches, c.takeLines, c.carryOut, c.hearChanges} {
		c.all.Go(func() {
			defer l.cfg.Recover()
			serve()
		})
	}
}

// close ends the session, and the process that carries it by its ladder, and waits for both.
func (c *call) close() {
	c.session.Close()
	c.all.Wait()
}

// cause is why the session ended, with what the process that carried it has to say, and the signal that ended the peer's as far as
// that tells.
func (c *call) cause() (signal int, err error) {
	err = c.session.Err()
	p, ok := c.rw.(interface {
		Done() <-chan struct{}
		Ended() string
		Signal(pid int) int
	})
	if !ok || errors.Is(err, wire.ErrClosed) {
		return 0, err
	}
	select {
	case <-p.Done():
		return p.Signal(c.l.greeted().PID), fmt.Errorf("%w (%s)", err, redact.Neutralise(p.Ended()))
	case <-time.After(endTime):
		return 0, err
	}
}

// violated ends a session in which the peer did not keep to the protocol. It may have been an accident, but not again and again.
func (c *call) violated(err error) {
	c.l.mu.Lock()
	c.l.broken++
	c.l.mu.Unlock()
	c.session.Fail(err)
}

// do sends a request and waits for its answer.
func (c *call) do(ctx context.Context, kind wire.Kind, body, reply any) error {
	return c.streams.Control.Do(ctx, kind, body, reply)
}

// answerBeats answers heartbeats as they come: their stamps compare the clocks, and they carry the lease.
func (c *call) answerBeats() {
	for {
		b, err := c.streams.Beats.Receive()
		if err != nil {
			return
		}
		received := clockNow()
		grant := c.l.grant()
		c.streams.Beats.Send(wire.Answer{Seq: b.Seq, Received: received, Replied: clockNow(), Grant: grant})
		c.probes.Store(int64(b.Probes))
		// Not every heartbeat is news: after a break the network delivers first what it had kept.
		if age := received - b.Sent - b.Offset; age < time.Second+b.Bound && b.Lease > c.l.cfg.Grace-suspectAfter {
			c.heardBy.Store(true)
		}
		c.beats.Store(b.Seq)
		select {
		case c.probed <- struct{}{}:
		default:
		}
		c.l.cfg.Observer.Beat(c.l.cfg.N, b)
	}
}

// compareClocks waits until the peer has compared the clocks often enough. On a busy machine most stamps took much longer than the
// quickest one and are not used; that so many were exchanged and a few were good is enough then, and the bound says how good.
func (c *call) compareClocks() error {
	late := time.NewTimer(clockTime)
	defer late.Stop()
	for {
		n := c.probes.Load()
		if n >= clockProbes || n >= minProbes && c.beats.Load() > clockProbes {
			return nil
		}
		select {
		case <-c.probed:
			c.l.step("clock", float64(n)/clockProbes)
		case <-late.C:
			return fmt.Errorf("%d of %d heartbeats were answered within %s: the connection is too slow to compare the clocks", n, clockProbes, clockTime)
		case <-c.session.Done():
			_, err := c.cause()
			return err
		case <-c.l.ctx.Done():
			return errEnded
		}
	}
}

// takeBatches applies what the peer measured, each batch once.
func (c *call) takeBatches() {
	for {
		b, err := c.streams.Metrics.Receive()
		if err != nil {
			return
		}
		last, err := c.l.take(b)
		if err != nil {
			c.violated(err)
			return
		}
		c.streams.Metrics.Send(wire.Ack{Upto: last})
	}
}

// take applies a batch, unless that was done before, and returns the number of the last one applied.
func (l *Link) take(b wire.Batch) (last uint64, err error) {
	l.taking.Lock()
	defer l.taking.Unlock()
	iv, fresh, err := l.inbox.Take(b)
	if err != nil {
		return 0, err
	}
	if fresh {
		l.mu.Lock()
		l.batchAt = time.Now()
		l.mu.Unlock()
		l.cfg.Observer.Interval(l.cfg.N, iv)
	}
	_, last = l.inbox.Account()
	l.finish(last)
	return last, nil
}

// finish tells of the peer's account when everything before it was applied. The lock for taking is held.
func (l *Link) finish(last uint64) {
	l.mu.Lock()
	fin := l.fin
	tell := fin != nil && !l.finTold && last >= fin.LastSeq
	l.finTold = l.finTold || tell
	l.mu.Unlock()
	if tell {
		l.cfg.Observer.Fin(l.cfg.N, *fin)
	}
}

// expect has figures come from a time on, or from now if it has passed.
func (l *Link) expect(from time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); from.Before(now) {
		from = now
	}
	l.batchAt = from
}

// batchesDue says whether figures should come, and for how long none came.
func (l *Link) batchesDue(at time.Time) (since time.Duration, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.batchAt.IsZero() || l.fin != nil {
		return 0, false
	}
	return at.Sub(l.batchAt), true
}

// done says whether the peer has nothing more to say.
func (l *Link) done() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closing || l.finTold
}

func (l *Link) gaveUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken >= nonsense
}

// linesPerSecond bounds what a peer's log may cost us, whatever the peer believes that it may say.
const linesPerSecond = 400

// takeLines passes the peer's log on.
func (c *call) takeLines() {
	second, n := time.Now(), 0
	for {
		line, err := c.streams.Log.Receive()
		if err != nil {
			return
		}
		if now := time.Now(); now.Sub(second) >= time.Second {
			second, n = now, 0
		}
		if n++; n <= linesPerSecond {
			c.l.cfg.Observer.Log(c.l.cfg.N, redact.Neutralise(line.Text))
		}
	}
}

// event takes what the peer says unasked.
func (c *call) event(kind wire.Kind, body []byte) {
	switch kind {
	case wire.KindFin:
		var fin wire.Fin
		if err := wire.Decode(body, &fin); err != nil {
			c.violated(err)
			return
		}
		fin.Err = redact.Neutralise(fin.Err)
		c.l.mu.Lock()
		if c.l.fin == nil {
			c.l.fin = &fin
		}
		c.l.mu.Unlock()
		c.l.taking.Lock()
		_, last := c.l.inbox.Account()
		c.l.finish(last)
		c.l.taking.Unlock()
	case wire.KindWarn:
		var w wire.Warn
		if err := wire.Decode(body, &w); err != nil {
			c.violated(err)
			return
		}
		w.Text = redact.Neutralise(w.Text)
		c.l.cfg.Observer.Warn(c.l.cfg.N, w)
	} // a later version may say more
}

var errEnded = errors.New("the run has ended")
