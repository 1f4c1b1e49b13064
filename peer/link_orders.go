package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"lt/engine/load"
	"lt/peer/wire"
)

// orders are what the fleet wants of a peer, and how far that has got. They outlive sessions: whatever a session did not carry
// out, the next one does.
type orders struct {
	arm       *wire.Arm
	armed     bool
	abort     bool
	commit    bool
	committed bool
	log       []load.Change // all entries, in order
	entered   int           // of these, in the peer's log
	stop      *wire.Stop
	stopped   bool
}

// told is how far a session has told its peer of the changes.
type told struct {
	sent    int // entries, whether or not they are in the peer's log yet
	waiting int // messages without an answer
}

// mostUnderWay is how many messages with changes may wait for their answers: half of what a peer takes. What is ordered beyond that
// goes together with the next one.
const mostUnderWay = 32

// underWay is a request that was sent and is not answered yet.
type underWay struct {
	task  *task
	asked *wire.Asked
}

// carryOut brings the peer to where the orders want it until the session ends. One request waits for the answer to the one before,
// but for changes: they are sent as they come, since the peer enters them in their order, and what is to hold at a time must
// not wait for the way of an earlier one and back.
func (c *call) carryOut() {
	l := c.l
	for {
		l.mu.Lock()
		next, wake := l.orders.next(&c.told), l.wake
		l.mu.Unlock()
		if next == nil {
			select {
			case <-wake:
			case <-c.session.Done():
				return
			}
			continue
		}
		asked, err := c.streams.Control.Ask(next.kind, next.body)
		switch {
		case err != nil:
			return // the session has ended
		case next.kind == wire.KindChanges:
			select {
			case c.changes <- underWay{next, asked}:
			case <-c.session.Done():
				return
			}
		case !c.settle(next, asked):
			return
		}
	}
}

// hearChanges takes the answers to changes.
func (c *call) hearChanges() {
	for {
		select {
		case u := <-c.changes:
			if !c.settle(u.task, u.asked) {
				return
			}
		case <-c.session.Done():
			return
		}
	}
}

// settle waits for the answer to a request and does what it means. False: the session has ended.
func (c *call) settle(t *task, asked *wire.Asked) bool {
	l := c.l
	ctx, cancel := context.WithTimeout(l.ctx, requestTime)
	err := asked.Wait(ctx, t.reply)
	cancel()
	if err == nil && t.check != nil {
		if err = t.check(); err != nil {
			c.violated(err)
			return false
		}
	}
	var no *wire.RefusedError
	switch {
	case err == nil:
		l.order(func(o *orders) {
			if t.kind == wire.KindChanges {
				c.told.waiting--
			}
			t.done(o)
		})
		if t.tell != nil {
			t.tell(l)
		}
	case errors.As(err, &no):
		l.refused(t, no)
	case ctx.Err() != nil && l.ctx.Err() == nil:
		c.session.Fail(fmt.Errorf("no answer to %q within %s", t.kind, requestTime))
		return false
	default:
		return false
	}
	return true
}

// task is one request that an order needs.
type task struct {
	kind  wire.Kind
	body  any
	reply any          // nil: it has none
	check func() error // what is wrong with the reply; may be nil
	done  func(o *orders)
	tell  func(l *Link) // whom it concerns, that it was done; may be nil
}

// next is what has to be asked of the peer now, and is noted as told; nil if it is where it should be, or if that has to wait for
// answers.
func (o *orders) next(t *told) *task {
	switch {
	case o.arm == nil:
		return nil
	case !o.armed && !o.abort && !o.committed:
		arm := o.arm
		return &task{
			kind: wire.KindArm, body: *arm, done: func(o *orders) { o.armed = o.arm == arm },
			tell: func(l *Link) { l.cfg.Observer.Armed(l.cfg.N) },
		}
	case o.armed && o.abort && !o.committed:
		return &task{kind: wire.KindAbort, done: func(o *orders) { o.armed, o.arm, o.abort = false, nil, false }}
	case !o.armed:
		return nil
	case o.commit && !o.committed:
		zero := base.Add(o.arm.Zero)
		return &task{kind: wire.KindCommit, done: func(o *orders) { o.committed = true }, tell: func(l *Link) { l.expect(zero) }}
	case o.stop != nil && o.stop.Now && !o.stopped && o.committed:
		return o.ending() // at once: nothing that it is yet to hear matters to it
	}
	if from := max(t.sent, o.entered); from < len(o.log) {
		entries := o.log[from:]
		// A stop never waits for answers.
		if t.waiting >= mostUnderWay && !slices.ContainsFunc(entries, func(c load.Change) bool { return c.Kind == load.Stop }) {
			return nil
		}
		t.sent = len(o.log)
		t.waiting++
		var applied wire.Applied
		return &task{
			kind: wire.KindChanges, body: wire.Changes{From: from, Entries: entries}, reply: &applied,
			check: func() error {
				if want := from + len(entries); applied.Count != want {
					return fmt.Errorf("it has %d entries of the log instead of %d", applied.Count, want)
				}
				return nil
			},
			done: func(o *orders) { o.entered = max(o.entered, applied.Count) },
			tell: func(l *Link) { l.cfg.Observer.Applied(l.cfg.N, applied) },
		}
	}
	if o.stop != nil && !o.stopped && o.committed {
		return o.ending()
	}
	return nil
}

// ending asks the peer to end its load.
func (o *orders) ending() *task {
	stop := o.stop
	return &task{kind: wire.KindStop, body: *stop, done: func(o *orders) { o.stopped = o.stop == stop }}
}

// refused takes a no to an order. A peer that cannot start has failed; one that does not follow the log of changes must not go
// on: its lease is let run out, and it is asked to end at once.
func (l *Link) refused(t *task, no *wire.RefusedError) {
	l.mu.Lock()
	committed := l.orders.committed
	switch t.kind {
	case wire.KindArm, wire.KindCommit:
		l.orders.arm, l.orders.commit = nil, false
	case wire.KindChanges:
		l.orders.entered = len(l.orders.log)
	default:
		t.done(&l.orders)
	}
	l.mu.Unlock()
	switch {
	case t.kind == wire.KindArm || t.kind == wire.KindCommit:
		l.cfg.Observer.Failed(l.cfg.N, l.failed(t.kind.String(), no, ""))
	case t.kind == wire.KindChanges && committed:
		l.say("it does not take a change of the load and is stopped: %s", no)
		l.Granting(false)
		l.Stop(true)
	}
}
