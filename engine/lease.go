package engine

import (
	"time"

	"lt/engine/loop"
)

// A source's lease may end while it has work in hand: whoever granted it has fallen silent, or this process was stopped. From
// then on nothing begins, no iteration and no request of one: users that come to their next request wait, parked, and arrivals stay
// where they are. If the lease is extended before the grace is over, the users go on in the order and at the pace at which they came,
// and what was due meanwhile is dropped; else everything is cut, and those arrivals are not in our account: they may have been
// given to others, and whoever deals them out counts them.

// barred says whether nothing may begin at now. It is asked before every iteration and every request.
func (s *shard) barred(now time.Duration) bool {
	if over := s.e.cfg.Lease.Over(now); over != s.lapsed {
		s.turned(over, now)
	}
	return s.lapsed
}

// turned notes at now that the lease is over, or was extended after it had been over. That was when the engine heard of it, however
// long the shard was kept from running since; a shard that looks at the lease before the engine has taken the time is there at once.
func (s *shard) turned(over bool, now time.Duration) {
	s.lapsed = over
	switch {
	case !over:
		at := now
		if extended := time.Duration(s.e.extended.Load()); extended >= s.since {
			at = min(extended, now)
		}
		s.gap = max(s.gap, at)
		s.resume, s.interval = now, (now-s.since)/time.Duration(max(1, len(s.parked)))
	case s.e.cfg.Lease.Revoked():
		s.since = now
	default:
		s.since = min(now, s.e.cfg.Lease.Until())
	}
}

// leaseMoved is called by whoever moves the end of the lease: a shard whose lease is over sleeps until it is extended.
func (e *Engine) leaseMoved(was time.Duration) {
	now := time.Since(e.epoch)
	switch {
	case e.cfg.Lease.Revoked():
	case now >= was:
		e.extended.Store(int64(now))
	default:
		return // it was not over, so nobody waits
	}
	e.tell(func(s *shard) { s.barred(s.loop.Now()) })
}

// anothers says whether an arrival became due after the end of the lease.
func (s *shard) anothers(due time.Duration) bool { return s.lapsed && due >= s.since }

// keepLease looks at the lease once a turn: it lets those go on who were parked under one that was extended, and ends the
// engine's run if it was not. It says when it has to be called again.
func (s *shard) keepLease(now time.Duration) time.Duration {
	if !s.barred(now) {
		for len(s.parked) > 0 && !s.lapsed {
			if now < s.resume {
				return min(s.resume, s.e.cfg.Lease.Until())
			}
			slot := s.parked[0]
			s.parked = s.parked[1:]
			s.resume += s.interval
			s.unpark(slot, now)
		}
		return s.e.cfg.Lease.Until()
	}
	if end := s.since + min(s.e.spec.Graceful, lapseGrace); now < end {
		return end // or when it is extended
	}
	if !s.e.cut.Load() {
		s.e.lapsed.Store(true)
		s.e.Cut()
	}
	return loop.Never
}

// park lets a user wait for the lease.
func (s *shard) park(slot uint32, u *user, why waiting) {
	u.wait = why
	s.parked = append(s.parked, slot)
}

// unpark lets a user go on, unless it does not wait any more.
func (s *shard) unpark(slot uint32, now time.Duration) {
	u := s.slots.at(slot)
	switch {
	case u.wait == parkedStep:
		u.wait = idle
		s.startStep(slot, u, now)
	case u.wait == parkedNext:
		u.wait = idle
		s.beginNext(slot, u, u.intended, now)
	case u.ex != nil && u.ex.state == ready:
		if u.ex.conn == nil {
			s.connect(slot, u.ex, now) // it was lost meanwhile
		} else {
			s.ship(slot, u, u.ex, now)
		}
	}
}
