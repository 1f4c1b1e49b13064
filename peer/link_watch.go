package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lt/peer/wire"
)

// health is what supervise makes of a peer. It alone tells of changes, so they come in order.
type health struct {
	l       *Link
	call    *call         // the session that is listened to; nil: none
	suspect bool          // told
	lost    bool          // told
	rejoin  bool          // told
	gone    bool          // nothing is dialled any more
	stale   bool          // told
	signal  int           // that ended the peer's process, as in Cause, as far as the last break tells
	slack   time.Duration // by which our own slowness moves what is expected of the peer
	looked  time.Time     // when we last looked

	dismissed  bool // proven dead, or not to be dealt with: it is not told to end
	redialling bool
	hurried    bool // an attempt was brought forward, once a loss
	attempts   int
	next       time.Time // of the next attempt
	results    chan redialled
	stop       context.CancelFunc // of the attempt under way
}

// redialled is what became of an attempt to reach a peer again.
type redialled struct {
	call  *call
	hello wire.Hello
	err   error // errNoRun wrapped: the process is no more
}

// supervise listens to a peer from the time it is ready until Close.
func (l *Link) supervise(c *call) {
	h := &health{l: l, call: c, looked: time.Now(), results: make(chan redialled), stop: func() {}}
	t := time.NewTicker(hearing)
	defer t.Stop()
	defer h.part()
	for {
		var ended <-chan struct{}
		if h.call != nil {
			ended = h.call.session.Done()
		}
		select {
		case <-t.C:
			h.look()
		case <-ended:
			h.broke()
		case r := <-h.results:
			h.redialling = false
			h.stop()
			h.redialled(r)
		case <-l.ctx.Done():
			return
		}
	}
}

// part hangs up. A peer that Close did not reach is told to end over the session that was being taken up just then, or over one
// more: it listens to no other, and would wait for somebody who does not come.
func (h *health) part() {
	l := h.l
	h.stop()
	if h.redialling {
		if r := <-h.results; r.call != nil {
			h.hangUp()
			h.call = r.call
		}
	}
	defer func() {
		if h.call != nil {
			h.call.close()
		}
	}()
	if h.call != nil && !l.toldBye() {
		l.bye(h.call)
	}
	l.mu.Lock()
	by := l.byeBy
	l.mu.Unlock()
	ctx, cancel := context.WithDeadline(context.Background(), by)
	defer cancel()
	if h.dismissed || l.toldBye() || ctx.Err() != nil {
		return
	}
	if c, _, err := l.resume(ctx); err == nil {
		h.hangUp()
		h.call = c
		l.bye(c)
	}
}

// look compares how long the peer has been silent with what may be expected, and dials if it is time.
func (h *health) look() {
	now := time.Now()
	// If we come late ourselves, so did everything else here: it is not the peer's fault. What came meanwhile waits in a
	// buffer and is read within moments.
	if late := now.Sub(h.looked) - 2*hearing; late > 0 {
		h.slack = min(h.slack+late, mostSlack)
	}
	h.looked = now
	if h.call != nil {
		silent := now.Sub(h.call.session.Heard())
		switch {
		case silent <= suspectAfter && h.lost && !h.call.heardBy.Load() && !h.l.expired() && !h.l.done():
			// We hear it, and it does not hear us: after a break each direction of a connection waits for the end of its own back-off,
			// and what keeps the lease may come too late. Now that the host can be reached, a new connection is quicker.
			h.slack = 0
			if !h.hurried {
				h.hurried, h.next = true, now
				h.stop() // what is being tried since then waits for a back-off, too
			}
		case silent <= suspectAfter:
			h.slack = 0
			h.back()
		case silent > lostAfter+h.slack:
			h.lose(Cause{Text: fmt.Sprintf("nothing was heard of it for %s", silent.Round(100*time.Millisecond))})
		case silent > suspectAfter+h.slack && !h.suspect && !h.lost:
			h.suspect = true
			h.l.cfg.Observer.Suspect(h.l.cfg.N, silent)
		}
		h.lookAtBatches(now, silent)
	}
	if h.lost && !h.gone && !h.redialling && !now.Before(h.next) {
		h.redial()
	}
}

// back notes that the peer is heard. Within its lease nothing was lost by the silence; after it the peer has ended its part, and
// what it still has to say is taken all the same.
func (h *health) back() {
	if !h.suspect && !h.lost {
		return
	}
	if h.lost && h.l.expired() {
		h.rejoined(h.l.greeted())
		return
	}
	h.suspect, h.lost, h.attempts, h.signal = false, false, 0, 0
	h.stop() // an attempt that gets through all the same counts: the peer then listens to it alone
	h.l.cfg.Observer.Back(h.l.cfg.N)
}

// rejoined tells once that the host is there and could take part anew.
func (h *health) rejoined(hello wire.Hello) {
	if !h.rejoin {
		h.rejoin = true
		h.l.cfg.Observer.Rejoin(h.l.cfg.N, hello)
	}
}

func (h *health) lose(c Cause) {
	if h.lost {
		return
	}
	h.lost, h.hurried, h.attempts, h.next = true, false, 0, time.Now()
	if h.call != nil {
		h.call.heardBy.Store(false)
	}
	h.l.cfg.Observer.Lost(h.l.cfg.N, c)
}

// broke takes notice of the end of the session. That is no proof that the peer's process is dead, and changes nothing about its
// lease.
func (h *health) broke() {
	signal, err := h.call.cause()
	h.hangUp()
	if h.l.done() {
		h.gone = true // it said bye or has nothing more to say
		return
	}
	if h.l.gaveUp() {
		h.gone, h.dismissed = true, true
		h.l.Granting(false)
		h.lose(Cause{Text: fmt.Sprintf("it does not keep to the protocol and is not dialled again: %s", err)})
		return
	}
	h.signal = signal
	h.lose(Cause{Text: fmt.Sprintf("the connection broke: %s", err), Signal: signal})
	h.look()
}

// hangUp ends the session without waiting for its process to end.
func (h *health) hangUp() {
	if c := h.call; c != nil {
		h.l.spawn(c.close)
	}
	h.call = nil
}

// redial tries to reach the process of the peer over a new connection, beside the old one if there still is one.
func (h *health) redial() {
	ctx, stop := context.WithCancel(h.l.ctx)
	h.stop, h.redialling = stop, true
	h.attempts++
	h.next = time.Now().Add(min(time.Second<<min(h.attempts-1, 10), redialMost))
	h.l.spawn(func() {
		c, hello, err := h.l.resume(ctx)
		h.results <- redialled{c, hello, err}
	})
}

// redialled takes the outcome of an attempt.
func (h *health) redialled(r redialled) {
	switch {
	case errors.Is(r.err, ErrNoRun):
		h.gone, h.dismissed = true, true
		h.hangUp()
		h.lose(Cause{Text: "its process is gone"})
		h.l.Granting(false)
		h.l.cfg.Observer.Gone(h.l.cfg.N, Cause{Text: r.err.Error(), Signal: h.signal, Starved: starvedThere(r.err)})
		h.rejoined(r.hello)
	case r.err != nil:
		if h.lost && !errors.Is(r.err, context.Canceled) {
			h.l.say("reaching it again: %s", r.err)
		}
	default:
		h.hangUp() // the peer does not listen to it any more
		h.call = r.call
		h.l.attach(r.call)
		h.look()
	}
}

// lookAtBatches says when a peer that is heard delivers no figures.
func (h *health) lookAtBatches(now time.Time, silent time.Duration) {
	since, due := h.l.batchesDue(now)
	switch {
	case !due || since <= staleAfter:
		if h.stale && due {
			h.l.say("its figures come again")
		}
		h.stale = false
	case !h.stale && silent <= suspectAfter:
		h.stale = true
		h.l.say("it is heard, and no figures came for %s", since.Round(100*time.Millisecond))
	}
}
