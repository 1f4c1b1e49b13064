package peer

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"lt/peer/wire"
)

const (
	// beatEvery is the pace of heartbeats. The first quickBeats come each quickBeat, so that the clocks are compared within two
	// tenths of a second, before anything bulky is on its way: they are clockProbes, and two that carry the news of the last answers.
	beatEvery  = 500 * time.Millisecond
	quickBeat  = 10 * time.Millisecond
	quickBeats = clockProbes + 2
)

// attachment is one session with the coordinator, and the goroutines that serve its streams.
type attachment struct {
	a       *agent
	session *wire.Session
	all     sync.WaitGroup
	done    <-chan struct{} // the session is over
	bye     atomic.Bool     // the coordinator said so

	opened  chan struct{} // closed once streams is there
	streams *wire.Peer
	taking  atomic.Bool // a job is on its way
	looking atomic.Bool // a preflight goes on

	mu   sync.Mutex
	sent map[uint64]time.Duration // heartbeats without an answer, on our clock
}

// attach serves a session on rw, whose both ends were introduced. The coordinator has the batches up to acked.
func (a *agent) attach(rw io.ReadWriteCloser, acked uint64) *attachment {
	at := &attachment{
		a: a, session: wire.Server(rw, wire.SessionConfig{Log: a.tell}),
		opened: make(chan struct{}), sent: map[uint64]time.Duration{},
	}
	at.done = at.session.Done()
	at.all.Go(func() {
		p, err := wire.AcceptStreams(at.session, at.request)
		if err != nil {
			at.session.Fail(err)
			return
		}
		at.streams = p
		close(at.opened)
		a.voice.to(at)
		for _, serve := range []func(){at.beat, at.answers, func() { _ = a.outbox.Serve(p.Metrics, acked) }} {
			at.all.Go(serve)
		}
	})
	return at
}

// close ends the session and waits for all that served it.
func (at *attachment) close() {
	at.a.voice.leave(at)
	at.session.Close()
	at.all.Wait()
	at.a.voice.leave(at) // it may have been opened just then
}

// beat sends heartbeats until the session ends.
func (at *attachment) beat() {
	t := time.NewTimer(0)
	defer t.Stop()
	for seq := uint64(1); ; seq++ {
		select {
		case <-t.C:
		case <-at.done:
			return
		}
		e := at.a.estimate()
		now := at.a.c.Clock()
		at.mu.Lock()
		at.sent[seq] = now
		delete(at.sent, seq-beatsKept)
		at.mu.Unlock()
		at.streams.Beats.Send(wire.Beat{
			Seq: seq, Sent: now, Offset: e.Offset, Bound: e.Bound, RTT: e.RTT, Probes: e.Probes, Begun: at.a.begun(), Lease: at.a.leaseLeft(),
			Slowest: e.Slowest,
		})
		if seq < quickBeats {
			t.Reset(quickBeat)
		} else {
			t.Reset(beatEvery)
		}
	}
}

// beatsKept is how many heartbeats may be on their way: those of two minutes, longer than any lease.
const beatsKept = 256

// answers takes the coordinator's answers. What it says of our clock is not asked: the time that counts is the one that we noted.
func (at *attachment) answers() {
	for {
		m, err := at.streams.Beats.Receive()
		if err != nil {
			return
		}
		arrived := at.a.c.Clock()
		at.mu.Lock()
		sent, ours := at.sent[m.Seq]
		delete(at.sent, m.Seq)
		at.mu.Unlock()
		if ours {
			at.a.compared(wire.Stamps{Sent: sent, Received: m.Received, Replied: m.Replied, Arrived: arrived})
			at.a.grant(sent, m.Grant)
		}
	}
}

// request carries out what the coordinator asks. It is called for one request at a time and does not wait.
func (at *attachment) request(r *wire.Request) {
	switch r.Kind {
	case wire.KindPlan:
		var p wire.Plan
		if r.Decode(&p) == nil {
			at.later(r, func() (any, error) { return at.plan(p) })
		}
	case wire.KindPreflight:
		at.later(r, func() (any, error) { return at.preflight() })
	case wire.KindArm:
		var o wire.Arm
		if r.Decode(&o) == nil {
			settle(r, at.a.arm(o))
		}
	case wire.KindCommit:
		settle(r, at.a.commit())
	case wire.KindAbort:
		settle(r, at.a.abort())
	case wire.KindChanges:
		var c wire.Changes
		if r.Decode(&c) == nil {
			applied, err := at.a.changes(c.From, c.Entries)
			answer(r, applied, err)
		}
	case wire.KindStop:
		var s wire.Stop
		if r.Decode(&s) == nil {
			settle(r, at.a.stop(s.Now))
		}
	case wire.KindBye:
		at.bye.Store(true)
		r.OK(nil)
		at.a.nudge()
	default:
		r.Refuse("version", "this version of lt does not know the request "+r.Kind.String()+": use the same version on both sides")
	}
}

// later carries out a request that takes its time.
func (at *attachment) later(r *wire.Request, do func() (any, error)) {
	at.all.Go(func() {
		v, err := do()
		answer(r, v, err)
	})
}

func settle(r *wire.Request, err error) {
	if err != nil {
		answer(r, nil, err)
		return
	}
	r.OK(nil)
}

// answer replies with a message, or says why there is none.
func answer(r *wire.Request, v any, err error) {
	var no *refusal
	switch {
	case errors.As(err, &no):
		r.Refuse(no.code, no.text)
	case err != nil:
		r.Refuse("internal", err.Error())
	default:
		r.OK(v)
	}
}

// plan takes the job.
func (at *attachment) plan(p wire.Plan) (any, error) {
	if at.taking.Swap(true) {
		return nil, refuse("busy", "a job is on its way already")
	}
	defer at.taking.Store(false)
	select {
	case <-at.opened:
	case <-at.done:
		return nil, at.session.Err()
	}
	data, err := at.streams.Files.Receive(p)
	if err != nil {
		return nil, refuse("limit", "%s", err)
	}
	var j Job
	if err := wire.DecodeJob(data, &j); err != nil {
		return nil, refuse("scenario", "%s", err)
	}
	return at.a.load(&j)
}

// preflight looks at the targets for as long as the session lives: one at a time, since each connects to all of them.
func (at *attachment) preflight() (any, error) {
	if at.looking.Swap(true) {
		return nil, refuse("busy", "a preflight goes on already")
	}
	defer at.looking.Store(false)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	at.all.Go(func() {
		select {
		case <-at.done:
			cancel()
		case <-ctx.Done():
		}
	})
	return at.a.preflight(ctx)
}
