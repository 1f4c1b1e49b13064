package engine

import (
	"time"

	"lt/engine/loop"
	"lt/engine/metrics"
)

// arrival is an iteration that has become due.
type arrival struct {
	index    int64
	due      time.Duration
	scenario uint16
}

// nextArrival says when the open model next needs the shard: the next arrival, the head of the queue giving up, or the end.
func (s *shard) nextArrival(now time.Duration) time.Duration {
	next := s.cutAt
	if !s.closing {
		if _, due, ok := s.schedule.Peek(); ok {
			next = due
			if s.anothers(due) {
				next = loop.Never
			}
		} else {
			next = max(s.e.cfg.Log.Timeline().End(), now)
		}
	}
	if head, ok := s.queue.head(); ok {
		next = min(next, head.due+s.e.spec.DropAfter)
		if s.turnover < next {
			next = s.turnover + 1 // there may be more slots then
		}
	}
	return next
}

// begin takes every arrival that is due by `by` off the schedule, and gives up those in the queue that waited too long.
func (s *shard) begin(by, now time.Duration) {
	if s.schedule.Stale() {
		s.refresh(now)
	}
	s.barred(now)
	for first := true; !s.closing; first = false {
		index, due, ok := s.schedule.Peek()
		if !ok || due > by || s.anothers(due) {
			break
		}
		if !first && due > s.gap {
			now = s.look() // what began before it took its time
		}
		if due > s.turnover {
			s.deal(due, now)
		}
		s.schedule.Next()
		s.rec.Scheduled++
		s.rec.Due++
		sc := s.mix.Scenario(index)
		if due <= s.gap {
			s.drop(sc, due, now, true)
			continue
		}
		s.arrive(arrival{index: index, scenario: uint16(sc), due: due}, now)
	}
	for {
		head, ok := s.queue.head()
		if !ok || now-head.due < s.e.spec.DropAfter {
			break
		}
		s.queue.pop()
		s.drop(int(head.scenario), head.due, now, false)
	}
	if by > s.turnover {
		s.deal(by, now)
	}
	if s.closing {
		return
	}
	// Without a pending arrival the load is over if the profile is, or if the bound on iterations is reached; but not
	// because it is paused.
	end := s.e.cfg.Log.Timeline().End()
	index, _, ok := s.schedule.Peek()
	if n := s.e.spec.Iterations; !ok && (now >= end || n > 0 && index >= n) {
		s.close(min(now, end))
	}
}

// look reads the clock in the middle of a call, where the process may have been stopped as well.
func (s *shard) look() time.Duration {
	now := s.loop.Now()
	if now-s.seen > stallAfter {
		s.gap = now
	}
	s.seen = now
	return now
}

// close is the end of the load: nothing becomes due any more, what is in hand has its grace.
func (s *shard) close(at time.Duration) {
	s.closing = true
	s.cutAt = at + s.e.spec.Graceful
}

// drain is the end of this source's load before its time.
func (s *shard) drain() {
	now := s.loop.Now()
	if s.over {
		return
	}
	s.tick(now)
	if s.closing {
		return
	}
	if s.schedule != nil {
		s.begin(now, now)
	}
	s.close(now)
	if s.users != nil {
		s.dismissWaiting(now)
	}
}

// drop gives an arrival up. It counts as offered, and the time it waited stands in the response times of its first step.
func (s *shard) drop(scenario int, due, now time.Duration, stalled bool) {
	first := s.e.cfg.Program.Scenarios[scenario].Steps[0]
	s.rec.Drop(s.stageOf(due), uint16(first.ID), now-due, stalled)
}

// arrive gives an arrival a slot, or lets it wait for one.
func (s *shard) arrive(a arrival, now time.Duration) {
	if s.queue.len() > 0 || s.inHand >= s.limit {
		s.hit = true
		if now-a.due >= s.e.spec.DropAfter {
			s.drop(int(a.scenario), a.due, now, false)
			return
		}
		s.queue.push(a)
		return
	}
	s.serve(a, a.due, now)
}

// serve begins an iteration; free is when there was a slot for it.
func (s *shard) serve(a arrival, free, now time.Duration) {
	if s.barred(now) {
		s.drop(int(a.scenario), a.due, now, true)
		return
	}
	if now-a.due > lateAfter {
		s.rec.Late++
	}
	s.rec.Lag(now-max(a.due, free), max(free-a.due, 0))
	s.rec.Started++
	s.total++
	slot, u := s.take(a.scenario)
	if u == nil {
		s.refuseUser(a, now)
		return
	}
	u.index, u.due = a.index, a.due
	s.startIteration(slot, u, a.due, now)
}

// take finds a free slot of a scenario, the one used last first, or makes one. It is nil when the memory guard forbids new users.
func (s *shard) take(scenario uint16) (uint32, *user) {
	if free := s.free[scenario]; len(free) > 0 {
		slot := free[len(free)-1]
		s.free[scenario] = free[:len(free)-1]
		return slot, s.slots.at(slot)
	}
	if s.e.guard.full.Load() {
		return 0, nil
	}
	slot, u := s.slots.grow()
	u.scenario = scenario
	u.session.Reset(s.e.cfg.Program.Scenarios[scenario])
	s.alive++
	return slot, u
}

// refuseUser records an arrival that has begun and for which memory allowed no new user: an error of our own machine.
func (s *shard) refuseUser(a arrival, now time.Duration) {
	first := s.e.cfg.Program.Scenarios[a.scenario].Steps[0]
	s.sample = metrics.Sample{
		Stage: s.stageOf(a.due), Step: uint16(first.ID), Class: metrics.Limit, Phase: metrics.PhaseSend,
		Intended: a.due, Start: now, End: now, Phases: noPhases, Attempts: 0,
		Message: "no memory for a new virtual user: the limit is near",
	}
	s.rec.Sample(&s.sample)
	s.rec.Iterations++
	s.rec.Failed++
}

// queue holds arrivals that wait for a slot, oldest first, in a ring.
type queue struct {
	ring    []arrival
	at, cnt int
}

func (q *queue) len() int { return q.cnt }

func (q *queue) head() (arrival, bool) {
	if q.cnt == 0 {
		return arrival{}, false
	}
	return q.ring[q.at], true
}

func (q *queue) push(a arrival) {
	if q.cnt == len(q.ring) {
		ring := make([]arrival, max(64, 2*len(q.ring)))
		n := copy(ring, q.ring[q.at:])
		copy(ring[n:], q.ring[:q.at])
		q.ring, q.at = ring, 0
	}
	q.ring[(q.at+q.cnt)%len(q.ring)] = a
	q.cnt++
}

func (q *queue) pop() {
	q.at = (q.at + 1) % len(q.ring)
	q.cnt--
}
