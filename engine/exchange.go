package engine

import (
	"errors"
	"strconv"
	"time"

	"lt/engine/h1"
	"lt/engine/journey"
	"lt/engine/loop"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

const (
	// keepBody is how much of a body is kept for checks and extracts.
	keepBody = 1 << 20
	// exampleBody is how much of a body is kept for the example of an error.
	exampleBody = 4 << 10
	// maxExamples is how many kinds of errors keep an example.
	maxExamples = 50
)

// progress says how far an exchange has come.
type progress uint8

const (
	resolving progress = iota
	connecting
	tunnelling // CONNECT was sent to the proxy
	securing   // TLS inside the tunnel
	awaiting   // the request is written
)

// exchange is one step of one user while it is in hand: the request, its redirects and its resend.
type exchange struct {
	parser    h1.Parser
	conn      *loop.Conn
	req       journey.Request
	step      *journey.Step
	via       int32
	state     progress
	reused    bool
	resent    bool
	answered  bool // a byte of the answer was seen
	capture   bool // the body is kept
	cut       bool // not all of the body was kept
	keepAlive bool
	location  bool
	limit     int           // how much of the body is kept
	start     time.Duration // actual start of the step
	hop       time.Duration // start of this attempt
	wrote     time.Duration
	first     time.Duration
	phases    [metrics.Phases]time.Duration
	attempts  int
	redirects int
	in, out   int64
	status    int
	head      h1.Head // with bytes of its own, if capture or NeedHead
	raw       []byte
	held      []byte // the request that follows a redirect, while it waits for a connection
	body      []byte
	bodyLen   int64
	serial    uint32 // distinguishes this use of the struct from earlier ones
}

// noPhases is what phases start from: none happened.
var noPhases = func() (p [metrics.Phases]time.Duration) {
	for i := range p {
		p[i] = -1
	}
	return p
}()

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
	st := s.steps(u)[u.step]
	if u.part == inSteps && !u.counted {
		s.rec.Due++
	}
	ex := s.newExchange()
	*ex = exchange{parser: ex.parser, raw: ex.raw[:0], held: ex.held[:0], serial: ex.serial + 1, step: st, start: now, hop: now, phases: noPhases, attempts: 1}
	u.ex = ex
	u.wait = inFlight
	if s.render(slot, u, ex) {
		s.send(slot, u, ex, now)
	}
}

// proxyFor is the proxy that a request has to be written for; nil unless it goes through one in plain.
func (s *shard) proxyFor() *journey.Proxy {
	if s.e.origins.proxy == nil {
		return nil
	}
	return &s.e.origins.forward
}

// send brings the request that stands in s.out on its way: over the kept connection, or a new one.
func (s *shard) send(slot uint32, u *user, ex *exchange, now time.Duration) {
	ex.via = s.number(&ex.req)
	if c := u.connTo(ex.via); c != nil {
		ex.conn, ex.reused = c, true
		s.loop.SetTimer(slot, ex.start+ex.step.Src.HTTP.Timeout)
		s.write(ex, now)
		return
	}
	ex.reused = false
	s.dial(slot, ex, now)
}

// number is the origin's number in the shard's routes.
func (s *shard) number(req *journey.Request) int32 {
	if req.OriginID >= 0 {
		return int32(req.OriginID)
	}
	if n, ok := s.dynamic[req.Origin]; ok {
		return n
	}
	n := int32(len(s.routes))
	s.routes = append(s.routes, s.e.origins.route(req.Origin))
	s.dynamic[req.Origin] = n
	return n
}

// dial opens a connection for an exchange, after the name is resolved.
func (s *shard) dial(slot uint32, ex *exchange, now time.Duration) {
	h := &ex.step.Src.HTTP
	s.loop.SetTimer(slot, min(ex.start+h.Timeout, ex.hop+h.ConnectTimeout))
	r := s.routes[ex.via]
	ep, ok, err := s.e.origins.endpoint(r, h)
	if !ok || err != nil {
		ex.state = resolving
		serial := ex.serial
		s.e.origins.ask(r.host, func(a *answer) {
			s.loop.Post(func() { s.resolved(slot, serial, a) })
		})
		return
	}
	ex.state = connecting
	ex.conn = s.loop.Dial(ep, slot)
	s.conns++
	s.opened++
}

// resolved goes on with an exchange that waited for a name.
func (s *shard) resolved(slot, serial uint32, a *answer) {
	now := s.loop.Now()
	s.tick(now)
	u := s.slots.at(slot)
	ex := u.ex
	if ex == nil || ex.serial != serial || ex.state != resolving {
		return
	}
	ex.phases[metrics.PhaseDNS] = max(ex.phases[metrics.PhaseDNS], 0) + now - ex.hop
	if a.err != nil {
		class := metrics.DNS
		if errors.Is(a.err, errRefusedAddress) {
			class = metrics.Connect
		}
		s.fail(slot, u, class, metrics.PhaseDNS, s.e.cfg.Redact.Text(shortError(a.err)), now)
		return
	}
	ex.hop = now
	s.dial(slot, ex, now)
}

// Opened is called by the loop: a connection can be used, or a tunnel is secured.
func (s *shard) Opened(c *loop.Conn, now time.Duration) {
	s.tick(now)
	slot := c.Owner
	u := s.slots.at(slot)
	ex := u.ex
	if ex == nil || ex.conn != c {
		s.drop1(u, c)
		return
	}
	if ex.state == connecting {
		ex.phases[metrics.PhaseConnect] = max(ex.phases[metrics.PhaseConnect], 0) + c.ConnectedAt() - ex.hop
	}
	if t := c.SecuredAt(); t > 0 {
		from := c.ConnectedAt()
		if ex.state == securing {
			from = ex.wrote
		}
		ex.phases[metrics.PhaseTLS] = max(ex.phases[metrics.PhaseTLS], 0) + t - from
	}
	if s.e.origins.proxy != nil && ex.req.Origin.TLS && ex.state == connecting {
		ex.state = tunnelling
		ex.parser.Begin(&s.sc, true)
		s.out = s.e.origins.connect(s.out[:0], ex.req.Origin)
		c.Write(s.out)
		return
	}
	u.keep(ex.via, c)
	s.loop.SetTimer(slot, ex.start+ex.step.Src.HTTP.Timeout)
	if len(ex.held) > 0 {
		s.out = append(s.out[:0], ex.held...)
	} else if !s.render(slot, u, ex) {
		return
	}
	s.write(ex, now)
}

// render writes the step's request to s.out once more: the same bytes, so that a connection being opened need not hold them.
func (s *shard) render(slot uint32, u *user, ex *exchange) bool {
	s.setInput(u)
	var err error
	s.out, ex.req, err = s.e.cfg.Program.Append(s.out[:0], ex.step, &u.session, &s.input, s.proxyFor())
	if err != nil {
		s.failLater(slot, u, metrics.Extract, err.Error())
		return false
	}
	return true
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
		s.drop1(u, c) // nothing was asked on this connection
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
			s.fail(slot, u, metrics.Protocol, s.phase(ex), shortError(err), now)
			return
		}
		b = b[n:]
		switch ev {
		case h1.NeedMore:
			return
		case h1.HeadEnd:
			if !s.headOf(slot, u, ex, now) {
				return
			}
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
			ex.keepAlive = ex.keepAlive && len(b) == 0 && c.Pending() == 0
			s.complete(slot, u, ex, now)
			return
		}
	}
}

// headOf looks at the head of an answer. It is false if the exchange ended over it.
func (s *shard) headOf(slot uint32, u *user, ex *exchange, now time.Duration) bool {
	h := &s.sc.Head
	ex.status, ex.keepAlive, ex.location = h.Status, h.KeepAlive, h.Location
	if ex.state == tunnelling {
		return true
	}
	st := ex.step
	if h.SetCookie && st.Scenario.Cookies != scenario.CookiesOff {
		s.e.cfg.Program.StoreCookies(st, &u.session, &ex.req, h, s.e.epoch.Add(now))
	}
	ex.limit = keepBody
	ex.capture = st.NeedBody
	wrong := h.Status >= 400 && !s.hasExample(metrics.Status, h.Status, st.ID)
	if wrong && !ex.capture {
		ex.capture, ex.limit = true, exampleBody
	}
	if ex.capture || st.NeedHead || ex.location {
		ex.raw = append(ex.raw[:0], h.Raw...)
		ex.head = *h
		ex.head.Raw = ex.raw
	}
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

// tunnelled goes on when the proxy has answered a CONNECT.
func (s *shard) tunnelled(slot uint32, u *user, ex *exchange, rest int, now time.Duration) {
	if ex.status/100 != 2 || rest > 0 {
		s.fail(slot, u, metrics.Connect, metrics.PhaseConnect, "the proxy answered CONNECT with status "+strconv.Itoa(ex.status), now)
		return
	}
	ex.state, ex.wrote = securing, now
	ex.conn.StartTLS(s.e.origins.tlsConfig(ex.step.Src.HTTP.TLS, ex.req.Origin.Host))
}

// complete ends an exchange whose answer is whole.
func (s *shard) complete(slot uint32, u *user, ex *exchange, now time.Duration) {
	st := ex.step
	s.countPhases(ex, now)
	if !ex.keepAlive || st.Scenario.Connections == scenario.PerRequest || st.Src.HTTP.Connections == scenario.PerRequest {
		s.closeConn(u, ex.conn)
	}
	ex.conn = nil
	if most := st.Src.HTTP.Redirects; ex.location && most > 0 && isRedirect(ex.status) {
		if ex.redirects >= most {
			s.fail(slot, u, metrics.Protocol, metrics.PhaseReceive, "more redirects than the "+strconv.Itoa(most)+" allowed", now)
			return
		}
		if s.redirect(slot, u, ex, now) {
			return
		}
	}
	if st.NeedBody && len(ex.body) > 0 {
		if enc := ex.head.Get("Content-Encoding"); len(enc) > 0 {
			plain, err := journey.Inflate(nil, enc, ex.body, keepBody)
			if err != nil {
				s.fail(slot, u, metrics.Protocol, metrics.PhaseReceive, inflateMessage(err), now)
				return
			}
			ex.body = plain
		}
	}
	if ex.cut && st.NeedBody && !s.e.guard.cutBody.Swap(true) {
		s.note("the body of " + st.Src.Name + " is larger than 1 MiB: checks and extracts saw its beginning")
	}
	s.setInput(u)
	v := s.e.cfg.Program.Judge(st, &u.session, &s.input, &journey.Answer{
		Status: ex.status, Head: &ex.head, Body: ex.body, BodyLen: ex.bodyLen, Cut: ex.cut, Time: now - u.intended,
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
	s.end(slot, u, ex, class, metrics.PhaseReceive, v.Message, now)
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
	prev := ex.req
	out, req, err := s.e.cfg.Program.Redirect(s.out[:0], ex.step, &u.session, &s.input, s.proxyFor(), &prev, ex.status, ex.head.Get("Location"))
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
	ex.hop = now
	s.keepBack(ex)
	ex.bodyLen, ex.cut = 0, false
	s.send(slot, u, ex, now)
	return true
}

func isRedirect(status int) bool {
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308
}

// phase is where an exchange stands.
func (s *shard) phase(ex *exchange) metrics.Phase {
	switch ex.state {
	case resolving:
		return metrics.PhaseDNS
	case connecting:
		if ex.conn != nil && ex.conn.ConnectedAt() > 0 {
			return metrics.PhaseTLS
		}
		return metrics.PhaseConnect
	case tunnelling:
		return metrics.PhaseConnect
	case securing:
		return metrics.PhaseTLS
	}
	switch {
	case ex.answered:
		return metrics.PhaseReceive
	case ex.conn != nil && ex.conn.Pending() > 0:
		return metrics.PhaseSend
	}
	return metrics.PhaseWait
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
		s.beginNext(slot, u, now)
	case resting:
		u.wait = idle
		s.free[u.scenario] = append(s.free[u.scenario], slot)
	case inFlight:
		if ex := u.ex; ex != nil {
			s.timeout(slot, u, ex, now)
		}
	}
}

// timeout ends an exchange that ran out of time; which time it was decides the class.
func (s *shard) timeout(slot uint32, u *user, ex *exchange, now time.Duration) {
	h := &ex.step.Src.HTTP
	p := s.phase(ex)
	class, what := metrics.Timeout, "no whole answer within the step's timeout of "+h.Timeout.String()
	if now < ex.start+h.Timeout {
		what = "no connection within " + h.ConnectTimeout.String()
		switch p {
		case metrics.PhaseDNS:
			class = metrics.DNS
		case metrics.PhaseTLS:
			class = metrics.TLS
		default:
			class = metrics.Connect
			s.e.origins.ask(s.routes[ex.via].host, nil)
		}
	}
	s.fail(slot, u, class, p, what, now)
}

// Closed is called by the loop: a connection is gone.
func (s *shard) Closed(c *loop.Conn, err error, now time.Duration) {
	s.tick(now)
	s.conns--
	slot := c.Owner
	u := s.slots.at(slot)
	u.forget(c)
	ex := u.ex
	if ex == nil || ex.conn != c {
		return
	}
	p := s.phase(ex)
	ex.conn = nil
	if ex.state == awaiting && ex.answered && isEOF(err) {
		if ex.parser.EOF(&s.sc) == nil { // the end of a body that lasts until the connection's end
			ex.keepAlive = false
			s.completeClosed(slot, u, ex, now)
			return
		}
	}
	if ex.state == awaiting && ex.reused && !ex.answered && !ex.resent && ex.step.Idempotent {
		// RFC 9110 9.2.2: the kept connection had died before the request reached anyone; one more on a new one.
		ex.resent = true
		ex.attempts++
		ex.hop = now
		ex.reused = false
		s.dial(slot, ex, now)
		return
	}
	class, message := classify(err, p)
	if class == metrics.Connect || class == metrics.Refused {
		s.e.origins.ask(s.routes[ex.via].host, nil)
	}
	s.fail(slot, u, class, p, message, now)
}

// completeClosed is complete for an answer whose end was the end of its connection.
func (s *shard) completeClosed(slot uint32, u *user, ex *exchange, now time.Duration) {
	if ex.state == tunnelling {
		s.fail(slot, u, metrics.EOF, metrics.PhaseConnect, "the proxy closed the connection", now)
		return
	}
	s.complete(slot, u, ex, now)
}

// fail ends an exchange that got no answer to judge. Its connection is given up.
func (s *shard) fail(slot uint32, u *user, class metrics.Class, phase metrics.Phase, message string, now time.Duration) {
	ex := u.ex
	if ex.conn != nil {
		c := ex.conn
		ex.conn = nil
		s.abandon(u, c)
	}
	s.end(slot, u, ex, class, phase, message, now)
}

// failLater ends an exchange that could not even be written, from the loop's next turn on: a user whose steps fail at once
// must not run in a circle inside one call.
func (s *shard) failLater(slot uint32, u *user, class metrics.Class, message string) {
	serial := u.ex.serial
	message = s.e.cfg.Redact.Text(message)
	s.loop.Post(func() {
		now := s.loop.Now()
		s.tick(now)
		if u.ex != nil && u.ex.serial == serial {
			s.fail(slot, u, class, metrics.PhaseSend, message, now)
		}
	})
}

// end records the sample of a step and lets the user go on.
func (s *shard) end(slot uint32, u *user, ex *exchange, class metrics.Class, phase metrics.Phase, message string, now time.Duration) {
	st := ex.step
	s.loop.CancelTimer(slot)
	sm := &s.sample
	sm.Stage, sm.Step = s.stageOf(u.intended), uint16(st.ID)
	sm.Class, sm.Phase, sm.Status = class, phase, uint16(ex.status)
	sm.Intended, sm.Start, sm.End = u.intended, ex.start, now
	sm.Phases = ex.phases
	sm.Attempts, sm.BytesIn, sm.BytesOut = ex.attempts, ex.in, ex.out
	sm.Reused, sm.Stale, sm.Message, sm.Example = ex.reused, ex.resent, message, nil
	if class != metrics.NoError {
		u.failed = true
		if class == metrics.Limit {
			s.own++
		}
		if !s.hasExample(class, ex.status, st.ID) && len(s.examples) < maxExamples {
			s.examples[exampleKey{class, uint16(ex.status), uint16(st.ID)}] = struct{}{}
			example := s.example(u, ex)
			sm.Example = func() string { return example }
		}
	}
	s.rec.Sample(sm)
	lost := class == metrics.Extract
	s.release(u)
	s.advance(slot, u, st, lost, now)
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

func (s *shard) hasExample(class metrics.Class, status, step int) bool {
	_, ok := s.examples[exampleKey{class, uint16(status), uint16(step)}]
	return ok
}

// example shows an exchange as people read it: the request written once more, and what came back; masked and neutralised.
func (s *shard) example(u *user, ex *exchange) string {
	s.setInput(u)
	text := ""
	if out, _, err := s.e.cfg.Program.Append(nil, ex.step, &u.session, &s.input, s.proxyFor()); err == nil {
		text = s.e.cfg.Redact.Request(out)
	}
	if len(ex.raw) > 0 {
		body := ex.body[:min(len(ex.body), exampleBody)]
		text += "\n\n" + s.e.cfg.Redact.Response(ex.raw, body)
	}
	return text
}

// drop1 closes a connection on which something came that nobody asked for.
func (s *shard) drop1(u *user, c *loop.Conn) {
	u.forget(c)
	c.Close()
	s.conns--
}

// closeConn closes the connection of an exchange whose answer is whole.
func (s *shard) closeConn(u *user, c *loop.Conn) {
	if c == nil {
		return
	}
	u.forget(c)
	c.Close()
	s.conns--
}

// abandon closes a connection in the middle of something.
func (s *shard) abandon(u *user, c *loop.Conn) {
	u.forget(c)
	c.Reset()
	s.conns--
}

// hangUp closes the connections that a user keeps.
func (s *shard) hangUp(u *user) {
	if u.conn != nil {
		s.closeConn(u, u.conn)
	}
	for len(u.more) > 0 {
		s.closeConn(u, u.more[len(u.more)-1].conn)
	}
}
