package engine

import (
	"fmt"
	"sync"
	"time"

	"lt/engine/journey"
	"lt/engine/load"
)

// populate keeps the closed model at the number of users that the profile wants, and says when it next needs the shard.
func (s *shard) populate(now time.Duration) time.Duration {
	if s.users.Stale() {
		s.refresh(now)
	}
	end := s.e.cfg.Log.Timeline().End()
	if !s.closing && (now >= end || s.e.bound.used()) {
		s.close(min(now, end))
		s.dismissWaiting(now)
	}
	if s.closing {
		return s.cutAt
	}
	for {
		turn, ok := s.users.Peek()
		if !ok {
			return end
		}
		if turn.At > now {
			return min(end, turn.At)
		}
		s.users.Next()
		if turn.Start {
			s.join(turn.User, turn.At, s.loop.Now())
		} else if slot, ok := s.byNumber[uint32(turn.User)]; ok {
			s.dismiss(slot, now)
		}
	}
}

// join starts a user, intended at `at`. A user that left before comes back in the same slot.
func (s *shard) join(number int64, at, now time.Duration) {
	sc := uint16(s.mix.Scenario(number))
	slot, ok := s.byNumber[uint32(number)]
	if ok {
		u := s.slots.at(slot)
		u.leaving = false
		switch {
		case u.gone:
			s.enter(slot, u, at, now)
		case u.part == inTeardown:
			u.due = at // it comes back when it has left
		}
		return
	}
	if s.e.guard.full.Load() {
		if !s.e.bound.take(true, now) {
			return
		}
		s.rec.Scheduled++
		s.rec.Started++
		s.total++
		s.rec.Due++
		s.refuseUser(arrival{index: number, scenario: sc, due: at}, now)
		return
	}
	slot, u := s.slots.grow()
	s.byNumber[uint32(number)] = slot
	u.scenario, u.number = sc, uint32(number)
	s.enter(slot, u, at, now)
}

// enter lets a user of the closed model begin as if it had never been there; only the numbers of its iterations go on, so
// that its draws do not come again. Where another source may have had it before, they go on from a number that none has
// reached: each table after the first begins a range of 2^32 of its own.
func (s *shard) enter(slot uint32, u *user, at, now time.Duration) {
	index := int64(s.e.cfg.Log.Timeline().Deals(at)) << 32
	if u.began {
		index = max(index, u.index+1)
	}
	*u = user{scenario: u.scenario, number: u.number, index: index, session: u.session, began: u.began}
	u.session.Reset(s.e.cfg.Program.Scenarios[u.scenario])
	s.alive++
	u.intended = at
	s.beginNext(slot, u, at, now)
}

// beginNext starts the next iteration of a user of the closed model; free is when the user was there for it.
func (s *shard) beginNext(slot uint32, u *user, free, now time.Duration) {
	over := s.closing || now >= s.e.cfg.Log.Timeline().End()
	if !u.leaving && !over && s.barred(now) {
		s.park(slot, u, parkedNext)
		return
	}
	if u.leaving || over || !s.e.bound.take(!u.began, now) {
		s.retire(slot, u, now)
		return
	}
	u.began = true
	s.rec.Scheduled++
	s.rec.Started++
	s.total++
	s.rec.Lag(now-max(u.intended, free), max(free-u.intended, 0))
	if now-u.intended > lateAfter {
		s.rec.Late++
	}
	s.startIteration(slot, u, u.intended, now)
}

// nextIteration is where a user of the closed model goes after an iteration: to its next one after its pause, or away.
func (s *shard) nextIteration(slot uint32, u *user, sc *journey.Scenario, setupFailed bool, now time.Duration) {
	if u.leaving || s.closing || s.e.bound.used() {
		s.retire(slot, u, now)
		return
	}
	if sc.Pacing > 0 {
		u.intended = u.due + sc.Pacing // the grid: behind it, response time counts from it all the same
	} else {
		u.intended = now
		if last := sc.Steps[len(sc.Steps)-1]; last.HasThink {
			s.setInput(u)
			u.intended += s.e.cfg.Program.Pause(last, &s.input)
		}
	}
	if setupFailed {
		u.intended = max(u.intended, now+setupRest)
	}
	u.index++
	if u.intended <= now {
		s.beginNext(slot, u, now, now)
		return
	}
	s.pause(slot, u, between)
}

// dismiss lets a user that is not wanted any more finish its iteration; its pauses are cut short.
func (s *shard) dismiss(slot uint32, now time.Duration) {
	u := s.slots.at(slot)
	if u.gone || u.leaving {
		return
	}
	u.leaving = true
	switch u.wait {
	case thinking:
		s.loop.CancelTimer(slot)
		u.wait, u.intended = idle, now
		s.startStep(slot, u, now)
	case between, parkedNext:
		s.loop.CancelTimer(slot)
		s.retire(slot, u, now)
	}
}

// dismissWaiting sends those away that wait for their next iteration: at the end of the load, where pauses within an
// iteration keep their length, since all users finishing at once would be a burst that no profile asked for.
func (s *shard) dismissWaiting(now time.Duration) {
	for slot := range s.slots.n {
		if u := s.slots.at(slot); u.wait == between || u.wait == parkedNext {
			s.loop.CancelTimer(slot)
			s.retire(slot, u, now)
		}
	}
}

// still is what the process's standing still did to the closed model, as far as nobody was told of it yet.
type still struct {
	mu      sync.Mutex
	length  time.Duration
	users   int           // who were due meanwhile
	missing time.Duration // by which they begin later than by plan, all together
	leased  time.Duration // the part of that before the end of the lease, as it stood then
}

// add lets a shard's users know at now that the loop did not run for a while. The lease is to end at a run time, unless it is extended.
func (s *still) add(length time.Duration, u *load.Users, now, lease time.Duration) {
	users, missing, leased := u.Stopped(now, lease)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.length = max(s.length, length)
	s.users += users
	s.missing += missing
	s.leased += leased
}

// told is the sentence to say, once; empty if there is none. While the lease is over nobody knows whether those users will ever begin,
// and nothing is said until the last chance to. If they did not, what is missing after the lease is no affair of this source any
// more: whoever granted it counts that as its users without a source.
func (s *still) told(source string, over, last bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == 0 || over && !last {
		return ""
	}
	text := fmt.Sprintf("%s did not run for %.1f s: ", source, s.length.Seconds())
	if over {
		text += fmt.Sprintf("%d users that were due meanwhile never began, which leaves out %.0f user-seconds of the plan until its lease was over", s.users, s.leased.Seconds())
	} else {
		text += fmt.Sprintf("%d users that were due meanwhile begin over the ten seconds that follow, %.0f user-seconds later than planned in all", s.users, s.missing.Seconds())
	}
	s.length, s.users, s.missing, s.leased = 0, 0, 0, 0
	return text
}
