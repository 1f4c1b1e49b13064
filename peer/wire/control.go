package wire

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"lt/engine/redact"
)

// controlQueue is how many control messages may wait for the connection. There are a few in a minute; whoever does not read
// them is broken.
const controlQueue = 64

// openRequests is how many requests may wait for their answers: some of them start what takes time.
const openRequests = 64

// Control is the control stream: the coordinator's requests, the peer's replies and events. Safe for concurrent use.
type Control struct {
	st    *Stream
	queue chan Envelope

	mu      sync.Mutex
	sending sync.Mutex // keeps the numbers of requests in the order of the queue
	lastID  uint64
	waiting map[uint64]chan Envelope
	open    atomic.Int32 // requests that the peer has not answered
}

// newControl makes the coordinator's side. event gets what is no reply to a request; its error ends the session.
func newControl(st *Stream, event func(Envelope) error) *Control {
	c := &Control{st: st, queue: make(chan Envelope, controlQueue), waiting: make(map[uint64]chan Envelope)}
	c.start(func(e Envelope) error {
		if e.ID == 0 {
			return event(e)
		}
		c.mu.Lock()
		answer := c.waiting[e.ID]
		delete(c.waiting, e.ID)
		c.mu.Unlock()
		if answer != nil { // else whoever asked does not wait any more
			answer <- e
		}
		return nil
	})
	return c
}

// newServing makes the peer's side.
func newServing(st *Stream, request func(*Request)) *Control {
	c := &Control{st: st, queue: make(chan Envelope, controlQueue)}
	var last uint64
	c.start(func(e Envelope) error {
		if e.ID <= last {
			return fmt.Errorf("request %d came after request %d: their numbers go up", e.ID, last)
		}
		last = e.ID
		if c.open.Add(1) > openRequests {
			return fmt.Errorf("%d requests wait for their answers, and the coordinator asks on", openRequests)
		}
		request(&Request{Kind: e.Kind, body: e.Body, id: e.ID, c: c})
		return nil
	})
	return c
}

func (c *Control) start(handle func(Envelope) error) {
	s := c.st.s
	go func() {
		defer s.cfg.recover()
		for {
			var e Envelope
			if c.st.receive(&e) != nil {
				return
			}
			if err := handle(e); err != nil {
				s.Fail(err)
				return
			}
		}
	}()
	go func() {
		defer s.cfg.recover()
		for {
			select {
			case e := <-c.queue:
				if c.st.send(&e) != nil {
					return
				}
			case <-s.Done():
				return
			}
		}
	}()
}

// put queues a message. It never waits.
func (c *Control) put(e Envelope) error {
	select {
	case <-c.st.s.Done():
		return c.st.s.Err()
	default:
	}
	select {
	case c.queue <- e:
		return nil
	default:
		err := fmt.Errorf("%d control messages wait: the other side does not read them", controlQueue)
		c.st.s.Fail(err)
		return err
	}
}

// RefusedError is a request that the peer answered with an Error.
type RefusedError struct {
	Code, Text string // as Error has them, neutralised
}

func (e *RefusedError) Error() string { return e.Text }

// Do sends a request and waits for its reply, whose message is read into reply, a pointer, unless that is nil. body is the request's
// message; nil if it has none. The error is a *RefusedError if the peer refused, that of ctx when it is
// over first (a reply that comes later is dropped), or that of the session.
func (c *Control) Do(ctx context.Context, kind Kind, body, reply any) error {
	a, err := c.Ask(kind, body)
	if err != nil {
		return err
	}
	return a.Wait(ctx, reply)
}

// Asked is a request on its way. Wait is to be called once.
type Asked struct {
	c      *Control
	kind   Kind
	id     uint64
	answer chan Envelope
}

// Ask sends a request and does not wait for anything, so that the next one need not wait for the way of this one and back. Requests
// arrive in the order in which they were asked. The error is that of the session.
func (c *Control) Ask(kind Kind, body any) (*Asked, error) {
	var raw []byte
	if body != nil {
		raw = Encode(body)
	}
	a := &Asked{c: c, kind: kind, answer: make(chan Envelope, 1)}
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mu.Lock()
	c.lastID++
	a.id = c.lastID
	c.waiting[a.id] = a.answer
	c.mu.Unlock()
	if err := c.put(Envelope{ID: a.id, Kind: kind, Body: raw}); err != nil {
		a.forget()
		return nil, err
	}
	return a, nil
}

// forget has a reply that may still come dropped.
func (a *Asked) forget() {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	delete(a.c.waiting, a.id)
}

// Wait waits for the reply, as Do does.
func (a *Asked) Wait(ctx context.Context, reply any) error {
	defer a.forget()
	s := a.c.st.s
	var e Envelope
	select {
	case e = <-a.answer:
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", a.kind, ctx.Err())
	case <-s.Done():
		select { // the last that was said may have been the answer
		case e = <-a.answer:
		default:
			return s.Err()
		}
	}
	switch {
	case e.Kind == KindError:
		var refused Error
		if err := Decode(e.Body, &refused); err != nil {
			s.Fail(err)
			return err
		}
		return &RefusedError{Code: redact.Neutralise(refused.Code), Text: redact.Neutralise(refused.Text)}
	case e.Kind != KindOK:
		err := fmt.Errorf("%s was answered with %s, which is no reply", a.kind, e.Kind)
		s.Fail(err)
		return err
	case reply == nil:
		return nil
	}
	if err := Decode(e.Body, reply); err != nil {
		s.Fail(err)
		return err
	}
	return nil
}

// Event sends an event. It never waits; the error is the end of the session.
func (c *Control) Event(kind Kind, body any) error {
	return c.put(Envelope{Kind: kind, Body: Encode(body)})
}

// Request is a request of the coordinator's that waits for its reply.
type Request struct {
	Kind Kind
	body []byte
	id   uint64
	c    *Control
	once sync.Once
}

// Decode reads the request's message into v, a pointer. If it is none, the session ends with the error.
func (r *Request) Decode(v any) error {
	err := Decode(r.body, v)
	if err != nil {
		r.c.st.s.Fail(err)
	}
	return err
}

// OK answers that it was done; body is the message that the kind's reply names, nil if it names none. Only the first answer counts.
// It never waits. Safe for concurrent use.
func (r *Request) OK(body any) { r.reply(KindOK, body) }

// Refuse answers that it was not done, and why, in a sentence; otherwise it is as OK.
func (r *Request) Refuse(code, text string) { r.reply(KindError, Error{Code: code, Text: text}) }

func (r *Request) reply(kind Kind, body any) {
	r.once.Do(func() {
		var raw []byte
		if body != nil {
			raw = Encode(body)
		}
		r.c.open.Add(-1)
		_ = r.c.put(Envelope{ID: r.id, Kind: kind, Body: raw}) // the session tells
	})
}
