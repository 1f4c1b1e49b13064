package engine

import (
	"errors"
	"io"
	"strconv"
	"time"

	"lt/engine/journey"
	"lt/engine/loop"
	"lt/engine/metrics"
)

// send brings the request that stands in s.out on its way: over the kept connection, or a new one.
func (s *shard) send(slot uint32, u *user, ex *exchange, now time.Duration) {
	ex.via = s.number(&ex.req)
	if c := u.connTo(ex.via); c != nil {
		ex.conn, ex.reused = c, true
		s.loop.SetTimer(slot, ex.start+ex.step.Src.HTTP.Timeout)
		if s.barred(now) {
			s.hold(slot, ex)
			return
		}
		s.write(ex, now)
		return
	}
	s.connect(slot, ex, now)
}

// ship writes the request over the connection that now stands.
func (s *shard) ship(slot uint32, u *user, ex *exchange, now time.Duration) {
	switch {
	case s.barred(now):
		s.hold(slot, ex)
		return
	case len(ex.held) > 0:
		s.out = append(s.out[:0], ex.held...)
	case !s.render(slot, u, ex):
		return
	}
	s.write(ex, now)
}

// hold lets an exchange wait for the lease with its request unwritten; its time goes on.
func (s *shard) hold(slot uint32, ex *exchange) {
	ex.state = ready
	s.parked = append(s.parked, slot)
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

// connect begins an attempt on a new connection.
func (s *shard) connect(slot uint32, ex *exchange, now time.Duration) {
	ex.reused, ex.dialled, ex.hop = false, true, now
	h := &ex.step.Src.HTTP
	s.loop.SetTimer(slot, min(ex.start+h.Timeout, now+h.ConnectTimeout))
	s.dial(slot, ex)
}

// dial opens the connection, after the name is resolved.
func (s *shard) dial(slot uint32, ex *exchange) {
	r := s.routes[ex.via]
	ep := s.e.origins.endpoint(r, ex.step.Src.HTTP.TLS)
	if ep == nil {
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
		if errors.As(a.err, new(refusal)) {
			class = metrics.Connect
		}
		s.fail(slot, u, class, metrics.PhaseDNS, shortError(a.err), now)
		return
	}
	ex.hop = now
	s.dial(slot, ex)
}

// Opened is called by the loop: a connection can be used, or a tunnel is secured.
func (s *shard) Opened(c *loop.Conn, now time.Duration) {
	s.tick(now)
	slot := c.Owner
	u := s.slots.at(slot)
	ex := u.ex
	if ex == nil || ex.conn != c {
		s.hangUpOn(u, c)
		return
	}
	if ex.state == connecting {
		s.rec.Opened++
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
		s.out = s.e.origins.tunnel(s.out[:0], ex.req.Origin)
		ex.out += int64(len(s.out))
		c.Write(s.out)
		return
	}
	u.keep(ex.via, c)
	s.loop.SetTimer(slot, ex.start+ex.step.Src.HTTP.Timeout)
	s.ship(slot, u, ex, now)
}

// countOpened counts the connection of an exchange that stood and came to nothing, because its handshake failed.
func (s *shard) countOpened(ex *exchange) {
	if ex.state == connecting && ex.conn.ConnectedAt() > 0 {
		s.rec.Opened++
	}
}

// tunnelled goes on when the proxy has answered a CONNECT; rest is how many bytes came behind the answer.
func (s *shard) tunnelled(slot uint32, u *user, ex *exchange, rest int, now time.Duration) {
	status := ex.status
	ex.status = 0 // the proxy's, not the target's
	switch {
	case status/100 != 2:
		s.fail(slot, u, metrics.Connect, metrics.PhaseConnect, "the proxy answered CONNECT with status "+strconv.Itoa(int(status)), now)
		return
	case rest > 0: // in TLS it is the client who speaks first
		s.fail(slot, u, metrics.Connect, metrics.PhaseConnect, "the proxy sent more than its answer to CONNECT", now)
		return
	}
	ex.state, ex.wrote = securing, now
	ex.conn.StartTLS(s.e.origins.tlsConfig(ex.step.Src.HTTP.TLS, ex.req.Origin.Host))
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
	phase := s.phase(ex)
	s.countOpened(ex)
	ex.conn = nil
	switch ex.state {
	case ready:
		return // nothing was asked on it: there will be another one when the lease allows the request
	case awaiting:
		switch {
		// The end of the connection is that of the body, if it is announced as such: over TLS an end without a goodbye may be
		// anybody's (RFC 9112 section 9.8).
		case ex.answered && errors.Is(err, io.EOF) && ex.parser.EOF(&s.sc) == nil:
			ex.keepAlive = false
			s.complete(slot, u, ex, now)
			return
		// RFC 9110 section 9.2.2: the kept connection may have died before the request reached anyone; one more on a new one.
		case !ex.answered && ex.reused && !ex.resent && ex.step.Idempotent:
			ex.resent = true
			ex.attempts++
			s.connect(slot, ex, now)
			return
		}
	}
	// What was pending is known exactly only if writing it went wrong, and then it was something, whatever is left of it now.
	var failed *loop.Error
	switch writing := errors.As(err, &failed) && failed.Op == "write"; {
	case writing && phase == metrics.PhaseWait:
		phase = metrics.PhaseSend
	case !writing && phase == metrics.PhaseSend:
		phase = metrics.PhaseWait
	}
	class, message := classify(err, phase)
	switch {
	case ex.state == tunnelling && isEOF(err):
		message = "the proxy closed the connection"
	case class == metrics.Connect || class == metrics.Refused:
		s.e.origins.doubt(s.routes[ex.via].host)
	}
	s.fail(slot, u, class, phase, message, now)
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
	case ready:
		return metrics.PhaseSend
	}
	switch {
	case ex.answered:
		return metrics.PhaseReceive
	case ex.conn != nil && ex.conn.Pending() > 0:
		return metrics.PhaseSend
	}
	return metrics.PhaseWait
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
			s.e.origins.doubt(s.routes[ex.via].host)
		}
	}
	s.fail(slot, u, class, p, what, now)
}

// hangUpOn closes a connection in order: it is not needed any more, or something came on it that nobody asked for.
func (s *shard) hangUpOn(u *user, c *loop.Conn) {
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
		s.hangUpOn(u, u.conn)
	}
	for len(u.more) > 0 {
		s.hangUpOn(u, u.more[len(u.more)-1].conn)
	}
}

// relieve closes the connections of a user that pauses when more are open than the limit of files bears.
func (s *shard) relieve(u *user) {
	if s.conns <= s.e.guard.files {
		return
	}
	before := s.conns
	s.hangUp(u)
	s.relieved += uint64(before - s.conns)
	if !s.e.guard.closing.Swap(true) {
		s.note("the limit of open files is near: users close their connections while they pause")
	}
}
