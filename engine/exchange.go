package engine

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"lt/engine/h1"
	"lt/engine/journey"
	"lt/engine/loop"
	"lt/engine/metrics"
	"lt/engine/redact"
	"lt/engine/scenario"
)

const (
	// keepBody is how much of a body is kept for checks and extracts.
	keepBody = 1 << 20
	// exampleBody is how much of a body is kept for the example of an error.
	exampleBody = 4 << 10
	// keptBytes is how large a buffer an exchange may keep for its next use: as many are kept as were ever in hand at once.
	keptBytes = 8 << 10
	// maxExamples is how many kinds of wrong status have a body kept for their example.
	maxExamples = 50
	// maxSaid is how many messages of errors are remembered as they are shown.
	maxSaid = 1000
)

// progress says how far an exchange has come.
type progress uint8

const (
	resolving progress = iota
	connecting
	tunnelling // CONNECT was sent to the proxy
	securing   // TLS inside the tunnel
	ready      // the connection stands, but the lease is over
	awaiting   // the request is written
)

// exchange is one step of one user while it is in hand: the request, its redirects and its resend. What each answer touches
// comes first, in two cache lines.
type exchange struct {
	parser    h1.Parser
	conn      *loop.Conn
	step      *journey.Step
	start     time.Duration // actual start of the step
	wrote     time.Duration
	first     time.Duration // byte of the answer
	in, out   int64
	bodyLen   int64
	attempts  int32
	redirects int32
	via       int32
	serial    uint32 // tells this use of the struct from every other exchange of the shard
	status    uint16
	state     progress
	reused    bool // its present connection was kept
	dialled   bool // a connection was made for it
	resent    bool
	answered  bool // a byte of the answer was seen
	capture   bool // the body is kept
	cut       bool // not all of the body was kept
	keepAlive bool
	location  bool

	phases [metrics.Phases]time.Duration
	body   []byte
	raw    []byte
	held   []byte // the request that follows a redirect: it cannot be written again
	req    journey.Request
	head   h1.Head       // with its bytes in raw, if they are needed after the head has gone by
	hop    time.Duration // since when it waits for the name, then for the connection
	limit  int           // how much of the body is kept
}

// noPhases is what phases start from: none happened.
var noPhases = func() (p [metrics.Phases]time.Duration) {
	for i := range p {
		p[i] = -1
	}
	return p
}()

// begin makes ex ready for a step. What an answer sets before it is read is left as it is, since this is done for each
// request.
func (ex *exchange) begin(st *journey.Step, serial uint32, now time.Duration) {
	ex.step, ex.serial, ex.start = st, serial, now
	ex.state = resolving
	ex.reused, ex.dialled, ex.resent, ex.answered, ex.capture, ex.cut, ex.location = false, false, false, false, false, false, false
	ex.phases = noPhases
	ex.attempts, ex.redirects, ex.status = 1, 0, 0
	ex.in, ex.out, ex.bodyLen = 0, 0, 0
	ex.raw, ex.held = ex.raw[:0], ex.held[:0]
}

// newExchange takes an exchange from the shard's free list.
func (s *shard) newExchange() *exchange {
	if n := len(s.spare); n > 0 {
		ex := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return ex
	}
	return &exchange{}
}

// startStep begins the user's present step.
func (s *shard) startStep(slot uint32, u *user, now time.Duration) {
	if s.barred(now) {
		s.park(slot, u, parkedStep)
		return
	}
	st := s.steps(u)[u.step]
	if u.part == inSteps && !u.counted {
		s.rec.Due++
	}
	ex := s.newExchange()
	s.serial++
	ex.begin(st, s.serial, now)
	u.ex = ex
	u.wait = inFlight
	if s.render(slot, u, ex) {
		s.send(slot, u, ex, now)
	}
}

// render writes the step's request to s.out once more: the same bytes, so that a connection being opened need not hold them.
func (s *shard) render(slot uint32, u *user, ex *exchange) bool {
	s.setInput(u)
	var err error
	s.out, ex.req, err = s.request(s.out[:0], ex.step, &u.session)
	if err != nil {
		s.failLater(slot, u, metrics.Extract, err.Error())
		return false
	}
	return true
}

// request appends a step's request under s.input. One that goes to the proxy itself names the whole URL and has the proxy's
// credentials; one through a tunnel has neither, and which it is shows only when it is written.
func (s *shard) request(dst []byte, st *journey.Step, session *journey.Session) ([]byte, journey.Request, error) {
	p, or := s.e.cfg.Program, s.e.origins
	out, req, err := p.Append(dst, st, session, &s.input, nil)
	if or.proxy == nil || err != nil || req.Origin.TLS {
		return out, req, err
	}
	return p.Append(dst, st, session, &s.input, &or.forward)
}

// write sends what stands in s.out.
func (s *shard) write(ex *exchange, now time.Duration) {
	ex.state = awaiting
	ex.answered = false
	ex.parser.Begin(&s.sc, ex.step.Head)
	ex.wrote = now
	ex.out += int64(len(s.out))
	ex.conn.Write(s.out)
}

// Data is called by the loop: bytes have come.
func (s *shard) Data(c *loop.Conn, b []byte, now time.Duration) {
	s.tick(now)
	slot := c.Owner
	u := s.slots.at(slot)
	ex := u.ex
	if ex == nil || ex.conn != c || ex.state != awaiting && ex.state != tunnelling {
		if ex != nil && ex.conn == c {
			ex.conn = nil
		}
		s.hangUpOn(u, c) // nothing was asked on this connection
		return
	}
	if !ex.answered {
		ex.answered = true
		ex.first = now
	}
	ex.in += int64(len(b))
	for {
		n, ev, chunk, err := ex.parser.Feed(&s.sc, b)
		if err != nil {
			kind, detail := answerError(err)
			s.shown.detail, s.shown.of = detail, ""
			s.fail(slot, u, metrics.Protocol, s.phase(ex), kind, now)
			return
		}
		b = b[n:]
		switch ev {
		case h1.NeedMore:
			return
		case h1.HeadEnd:
			s.headOf(u, ex, now)
		case h1.Body:
			ex.bodyLen += int64(len(chunk))
			if ex.bodyLen > ex.step.Src.HTTP.MaxBody {
				s.fail(slot, u, metrics.Protocol, metrics.PhaseReceive, "body above max_body", now)
				return
			}
			if ex.capture {
				s.keepBytes(ex, chunk)
			}
		case h1.End:
			if ex.state == tunnelling {
				s.tunnelled(slot, u, ex, len(b), now)
				return
			}
			// An answer may come before all of its request has left; what is left goes ahead of the next request.
			ex.keepAlive = ex.keepAlive && len(b) == 0
			s.complete(slot, u, ex, now)
			return
		}
	}
}

// headOf looks at the head of an answer and decides what is kept of it.
func (s *shard) headOf(u *user, ex *exchange, now time.Duration) {
	h := &s.sc.Head
	ex.status, ex.keepAlive, ex.location = uint16(h.Status), h.KeepAlive, h.Location
	if ex.state == tunnelling {
		return
	}
	st := ex.step
	if h.SetCookie && st.Src.HTTP.Cookies != scenario.CookiesOff {
		s.e.cfg.Program.StoreCookies(st, &u.session, &ex.req, h, s.e.epoch.Add(now))
	}
	ex.capture, ex.limit = st.NeedBody, keepBody
	if !st.Right(h.Status) && s.firstOf(exampleKey{h.Status, st.ID}) && !ex.capture {
		ex.capture, ex.limit = true, exampleBody
	}
	check := &st.Src.Check // one that needs neither head nor body to judge has an example all the same
	if ex.capture || st.NeedHead || ex.location || check.Time > 0 || check.Size != nil {
		ex.raw = append(ex.raw[:0], h.Raw...)
		ex.head = *h
		ex.head.Raw = ex.raw
	}
}

// firstOf reports whether an answer is the first of its kind; beyond maxExamples kinds none is.
func (s *shard) firstOf(k exampleKey) bool {
	if _, ok := s.examples[k]; ok || len(s.examples) == maxExamples {
		return false
	}
	s.examples[k] = struct{}{}
	return true
}

// keepBytes keeps a piece of the body, up to the exchange's limit.
func (s *shard) keepBytes(ex *exchange, chunk []byte) {
	if ex.body == nil {
		if n := len(s.bodies); n > 0 {
			ex.body = s.bodies[n-1][:0]
			s.bodies = s.bodies[:n-1]
		}
	}
	room := ex.limit - len(ex.body)
	if len(chunk) > room {
		chunk, ex.cut = chunk[:room], true
	}
	ex.body = append(ex.body, chunk...)
}

// complete ends an exchange whose answer is whole.
func (s *shard) complete(slot uint32, u *user, ex *exchange, now time.Duration) {
	st := ex.step
	s.countPhases(ex, now)
	if ex.conn != nil && (!ex.keepAlive || st.Src.HTTP.Connections == scenario.PerRequest || !ex.conn.Usable()) {
		s.hangUpOn(u, ex.conn)
	}
	ex.conn = nil
	if most := st.Src.HTTP.Redirects; ex.location && most > 0 && isRedirect(ex.status) {
		if int(ex.redirects) >= most {
			s.fail(slot, u, metrics.Protocol, metrics.PhaseReceive, "more redirects than the "+strconv.Itoa(most)+" allowed", now)
			return
		}
		if s.redirect(slot, u, ex, now) {
			return
		}
	}
	if st.NeedBody && len(ex.body) > 0 && ex.head.ContentEncoding {
		if err := s.inflate(ex); err != nil {
			s.shown.detail, s.shown.of = err.Error(), ""
			s.fail(slot, u, metrics.Protocol, metrics.PhaseReceive, inflateMessage(err), now)
			return
		}
	}
	if ex.cut && st.NeedBody && !s.e.guard.cutBody.Swap(true) {
		s.note("the body of " + st.Src.Name + " is larger than 1 MiB: checks and extracts saw its beginning")
	}
	if len(st.Src.Extract) > 0 {
		s.setInput(u) // a random pick is drawn
	}
	v := s.e.cfg.Program.Judge(st, &u.session, &s.input, &journey.Answer{
		Status: int(ex.status), Head: &ex.head, Body: ex.body, BodyLen: ex.bodyLen, Cut: ex.cut, Time: now - u.intended,
	})
	class := metrics.NoError
	switch v.Result {
	case journey.BadStatus:
		class = metrics.Status
	case journey.FailedCheck:
		class = metrics.Check
	case journey.MissingValue:
		class = metrics.Extract
	}
	s.shown.detail, s.shown.of = v.Got, v.Of
	s.end(slot, u, ex, class, metrics.PhaseReceive, v.Message, v.Ends, now)
}

// inflate decodes a compressed body. One that is too long, or was not kept whole, is cut as any other would be; how long it would
// have become is not known, so its size is that of its beginning.
func (s *shard) inflate(ex *exchange) error {
	plain, err := journey.Inflate(nil, ex.head.Get("Content-Encoding"), ex.body, keepBody)
	switch {
	case err == nil:
	case errors.Is(err, journey.ErrInflateTooLong), ex.cut && errors.Is(err, journey.ErrInflateBroken):
		ex.cut = true
	default:
		return err
	}
	s.keepBack(ex)
	ex.body, ex.bodyLen = plain, int64(len(plain))
	return nil
}

// countPhases adds the parts of an attempt that is over.
func (s *shard) countPhases(ex *exchange, now time.Duration) {
	flushed := ex.wrote
	if ex.conn != nil && ex.conn.Pending() == 0 {
		flushed = min(max(ex.conn.FlushedAt(), ex.wrote), ex.first)
	}
	p := &ex.phases
	p[metrics.PhaseSend] = max(p[metrics.PhaseSend], 0) + flushed - ex.wrote
	p[metrics.PhaseWait] = max(p[metrics.PhaseWait], 0) + ex.first - flushed
	p[metrics.PhaseReceive] = max(p[metrics.PhaseReceive], 0) + now - ex.first
}

// redirect sends the request that follows a redirect. It is false if the answer stands as it is.
func (s *shard) redirect(slot uint32, u *user, ex *exchange, now time.Duration) bool {
	s.setInput(u)
	s.input.Attempt++
	prev := ex.req
	prev.Target = slices.Clone(prev.Target) // the session's, which the next target replaces
	follow := func(proxy *journey.Proxy) ([]byte, journey.Request, error) {
		return s.e.cfg.Program.Redirect(s.out[:0], ex.step, &u.session, &s.input, proxy, &prev, int(ex.status), ex.head.Get("Location"))
	}
	out, req, err := follow(nil)
	if err == nil && s.e.origins.proxy != nil && !req.Origin.TLS {
		out, req, err = follow(&s.e.origins.forward)
	}
	if err != nil {
		if errors.Is(err, journey.ErrForeign) && !s.e.guard.foreign.Swap(true) {
			s.note("a redirect of " + ex.step.Src.Name + " leads to a host that the scenario does not name; it is not followed (list it under hosts:)")
		}
		return false
	}
	s.out, ex.req = out, req
	ex.held = append(ex.held[:0], out...)
	ex.redirects++
	ex.attempts++
	s.keepBack(ex)
	ex.bodyLen, ex.cut = 0, false
	ex.status, ex.raw = 0, ex.raw[:0] // those of an answer that is not the step's
	s.send(slot, u, ex, now)
	return true
}

func isRedirect(status uint16) bool {
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308
}

// Timer is called by the loop: a pause is over, or an exchange has run out of time.
func (s *shard) Timer(slot uint32, now time.Duration) {
	s.tick(now)
	u := s.slots.at(slot)
	switch u.wait {
	case thinking:
		s.startStep(slot, u, now)
	case between:
		u.wait = idle
		s.beginNext(slot, u, u.intended, now)
	case resting:
		u.wait = idle
		s.free[u.scenario] = append(s.free[u.scenario], slot)
	case inFlight:
		if ex := u.ex; ex != nil {
			s.timeout(slot, u, ex, now)
		}
	}
}

// fail ends an exchange that got no answer to judge. Its connection is given up.
func (s *shard) fail(slot uint32, u *user, class metrics.Class, phase metrics.Phase, message string, now time.Duration) {
	ex := u.ex
	if c := ex.conn; c != nil {
		s.countOpened(ex)
		ex.conn = nil
		s.abandon(u, c)
	}
	s.end(slot, u, ex, class, phase, message, class == metrics.Extract, now)
}

// failLater ends an exchange that could not even be written, from the loop's next turn on: a user whose steps fail at once
// must not run in a circle inside one call.
func (s *shard) failLater(slot uint32, u *user, class metrics.Class, message string) {
	serial := u.ex.serial
	s.loop.Post(func() {
		now := s.loop.Now()
		s.tick(now)
		if u.ex != nil && u.ex.serial == serial {
			s.fail(slot, u, class, metrics.PhaseSend, message, now)
		}
	})
}

// end records the sample of a step and lets the user go on, unless the iteration is lost.
func (s *shard) end(slot uint32, u *user, ex *exchange, class metrics.Class, phase metrics.Phase, message string, lost bool, now time.Duration) {
	st := ex.step
	s.loop.CancelTimer(slot)
	sm := &s.sample
	sm.Stage, sm.Step = s.stageOf(u.intended), uint16(st.ID)
	sm.Class, sm.Phase, sm.Status = class, phase, ex.status
	sm.Intended, sm.Start, sm.End = u.intended, ex.start, now
	sm.Phases = ex.phases
	sm.Attempts, sm.BytesIn, sm.BytesOut = int(ex.attempts), ex.in, ex.out
	sm.Reused, sm.Stale, sm.Message, sm.Example = ex.reused && !ex.dialled, ex.resent, "", nil
	if class != metrics.NoError {
		u.failed = true
		s.shown.user, s.shown.ex = u, ex
		sm.Message, sm.Example = s.say(message), s.shown.text
	}
	s.rec.Sample(sm)
	s.shown.detail = ""
	s.release(u)
	s.advance(slot, u, st, lost, now)
}

// say makes a message fit to be shown: secrets masked, nothing in it that harms a terminal. Messages are few, so each is
// worked out once.
func (s *shard) say(message string) string {
	text, ok := s.said[message]
	if !ok {
		text = redact.Neutralise(s.e.cfg.Redact.Text(message))
		if len(s.said) < maxSaid {
			s.said[message] = text
		}
	}
	return text
}

// release gives an exchange back.
func (s *shard) release(u *user) {
	ex := u.ex
	u.ex = nil
	u.wait = idle
	if ex.conn != nil {
		s.abandon(u, ex.conn)
		ex.conn = nil
	}
	s.keepBack(ex)
	if cap(ex.raw) > keptBytes {
		ex.raw = nil
	}
	if cap(ex.held) > keptBytes {
		ex.held = nil
	}
	ex.parser.Reset(&s.sc)
	s.spare = append(s.spare, ex)
}

// keepBack gives the exchange's body back to the free list; a large one goes to the collector.
func (s *shard) keepBack(ex *exchange) {
	if ex.body != nil && cap(ex.body) <= 64<<10 && len(s.bodies) < 256 {
		s.bodies = append(s.bodies, ex.body)
	}
	ex.body = nil
}

// shown is what the example of an error is made of.
type shown struct {
	user   *user
	ex     *exchange
	detail string        // what was met instead of what was wanted
	of     string        // name of the field or member in which it was met
	text   func() string // shard.example; made once
}

// example shows an exchange as people read it: the request written once more, what came back, and what was wrong with it;
// masked and neutralised. The recorder asks for it at the first error of each kind.
func (s *shard) example() string {
	u, ex := s.shown.user, s.shown.ex
	s.setInput(u)
	out, _, err := s.request(nil, ex.step, &u.session)
	if err != nil {
		out = nil
	}
	own := u.session.Secrets(ex.step.Scenario, redact.SecretName)
	text := s.e.cfg.Redact.Exchange(out, ex.raw, ex.body, own)
	if s.shown.detail != "" {
		text += "\n\nfound: " + s.e.cfg.Redact.Excerpt(s.shown.detail, s.shown.of, own)
	}
	return text
}
