package engine

import (
	"time"

	"lt/engine/journey"
	"lt/engine/scenario"
)

// steps is the list that the user is in the middle of.
func (s *shard) steps(u *user) []*journey.Step {
	sc := s.e.cfg.Program.Scenarios[u.scenario]
	switch u.part {
	case inSetup:
		return sc.Setup
	case inTeardown:
		return sc.Teardown
	}
	return sc.Steps
}

// startIteration begins one pass of a user through its scenario, and its setup before it if it has not had one.
func (s *shard) startIteration(slot uint32, u *user, intended, now time.Duration) {
	sc := s.e.cfg.Program.Scenarios[u.scenario]
	u.failed, u.running, u.step, u.counted = false, true, 0, s.schedule != nil
	u.due, u.intended = intended, intended
	u.part = inSteps
	switch {
	case !u.ready && len(sc.Setup) > 0:
		u.part = inSetup
		u.session.Restore() // an earlier setup may have failed half-way
	case !u.ready:
		u.session.Save()
		u.ready = true
	case sc.Cookies != scenario.KeepCookies:
		u.session.Restore()
	}
	s.inHand++
	s.peak = max(s.peak, s.inHand)
	s.startStep(slot, u, now)
}

// advance goes on after a step that ended at now. lost says that the iteration cannot go on.
func (s *shard) advance(slot uint32, u *user, st *journey.Step, lost bool, now time.Duration) {
	switch {
	case u.part == inTeardown:
		u.step++
		if int(u.step) < len(s.steps(u)) {
			u.intended = now
			s.startStep(slot, u, now)
			return
		}
		s.retired(slot, u, now)
		return
	case u.part == inSetup && u.failed, lost:
		s.endIteration(slot, u, now)
		return
	}
	u.step++
	pause := time.Duration(0)
	last := int(u.step) >= len(s.steps(u))
	if st.HasThink && !u.leaving && (!last || u.part == inSetup) {
		s.setInput(u)
		pause = s.e.cfg.Program.Pause(st, &s.input)
	}
	if last {
		if u.part == inSteps {
			s.endIteration(slot, u, now)
			return
		}
		u.session.Save()
		u.ready = true
		u.part, u.step = inSteps, 0
	} else if u.part == inSteps {
		u.counted = false // with its arrival only the first one was
	}
	u.intended = now + pause
	if pause <= 0 {
		s.startStep(slot, u, now)
		return
	}
	s.pause(slot, u, thinking)
}

// pause lets the user wait until its next intended start.
func (s *shard) pause(slot uint32, u *user, why waiting) {
	u.wait = why
	s.loop.SetTimer(slot, u.intended)
	s.relieve(u)
}

// endIteration counts an iteration that came to its end and lets the slot go on.
func (s *shard) endIteration(slot uint32, u *user, now time.Duration) {
	s.rec.Iterations++
	if u.failed {
		s.rec.Failed++
	}
	s.inHand--
	u.running = false
	sc := s.e.cfg.Program.Scenarios[u.scenario]
	if sc.Connections == scenario.PerIteration {
		s.hangUp(u)
	}
	setupFailed := !u.ready
	u.part = inSteps
	if s.schedule == nil {
		s.nextIteration(slot, u, sc, setupFailed, now)
		return
	}
	if setupFailed {
		u.intended = now + setupRest
		s.pause(slot, u, resting)
	} else {
		u.wait = idle
		s.free[u.scenario] = append(s.free[u.scenario], slot)
		s.relieve(u)
	}
	s.serveQueue(now)
}

// serveQueue gives the slots that are free to those that wait for one, oldest first.
func (s *shard) serveQueue(now time.Duration) {
	for s.inHand < s.limit {
		head, ok := s.queue.head()
		if !ok {
			return
		}
		s.queue.pop()
		if now-head.due >= s.e.spec.DropAfter {
			s.drop(int(head.scenario), head.due, now, false)
			continue
		}
		s.serve(head, now, now)
	}
}

// retire ends a user that is in the middle of nothing, with its teardown if it was set up.
func (s *shard) retire(slot uint32, u *user, now time.Duration) {
	u.wait, u.leaving = idle, true
	if u.ready && len(s.e.cfg.Program.Scenarios[u.scenario].Teardown) > 0 && !s.e.cut.Load() {
		u.part, u.step, u.intended = inTeardown, 0, now
		s.leavers++
		s.startStep(slot, u, now)
		return
	}
	s.bye(u)
}

// retired is the end of a teardown. A user of the closed model may be wanted again by then.
func (s *shard) retired(slot uint32, u *user, now time.Duration) {
	s.leavers--
	s.bye(u)
	if !u.leaving && !s.closing {
		s.enter(slot, u, u.due, now)
	}
}

func (s *shard) bye(u *user) {
	u.gone = true
	s.alive--
	s.hangUp(u)
}

// retireAll lets every user go that is still there when no iteration is in hand any more. Those who are on their way out go on.
func (s *shard) retireAll(now time.Duration) {
	for slot := range s.slots.n {
		if u := s.slots.at(slot); !u.gone && u.part != inTeardown {
			s.loop.CancelTimer(slot)
			s.retire(slot, u, now)
		}
	}
}

// cutAll ends what is in hand at once: iterations are counted as unfinished, arrivals that still wait as dropped.
func (s *shard) cutAll() {
	now := s.loop.Now()
	if s.over {
		return
	}
	s.tick(now)
	if !s.closing {
		s.close(now)
	}
	s.cutAt = now
	s.retiring = true
	for slot := range s.slots.n {
		u := s.slots.at(slot)
		s.loop.CancelTimer(slot)
		if u.running {
			u.running = false
			s.rec.Unfinished++
			s.inHand--
		}
		if u.ex != nil {
			s.release(u)
		}
		if !u.gone {
			s.bye(u)
		}
	}
	s.leavers = 0
	s.parked = nil
	for head, ok := s.queue.head(); ok; head, ok = s.queue.head() {
		s.queue.pop()
		s.drop(int(head.scenario), head.due, now, false)
	}
}

// setInput names the draws of the user's present iteration, and the attempt of its step in hand.
func (s *shard) setInput(u *user) {
	s.input = journey.Input{Seed: s.e.spec.Seed, Iteration: u.index, User: u.number, Source: s.e.cfg.Source, Now: s.e.epoch.Add(u.intended)}
	if u.ex != nil {
		s.input.Attempt = int(u.ex.attempts) - 1
	}
}
