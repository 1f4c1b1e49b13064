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
	if !u.ready {
		if len(sc.Setup) > 0 {
			u.part = inSetup
		} else {
			u.session.Save()
			u.ready = true
		}
	} else if sc.Cookies != scenario.KeepCookies {
		u.session.Restore()
	}
	s.inHand++
	s.peak = max(s.peak, s.inHand)
	s.startStep(slot, u, now)
}

// advance goes on after a step that ended at now.
func (s *shard) advance(slot uint32, u *user, st *journey.Step, lost bool, now time.Duration) {
	switch {
	case u.part == inTeardown:
		u.step++
		if int(u.step) < len(s.steps(u)) {
			u.intended = now
			s.startStep(slot, u, now)
			return
		}
		s.retired(u)
		return
	case u.part == inSetup && u.failed, lost:
		s.endIteration(slot, u, now)
		return
	}
	u.step++
	pause := time.Duration(0)
	last := int(u.step) >= len(s.steps(u))
	if st.HasThink && !u.leaving && !(last && u.part == inSteps) {
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
	} else {
		u.counted = false
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
	if s.conns > s.e.guard.files {
		s.hangUp(u)
		if !s.e.guard.closing.Swap(true) {
			s.note("the limit of open files is near: users close their connections while they think")
		}
	}
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
	}
	s.serveQueue(now)
}

// serveQueue gives the slots that are free to those that wait for one, oldest first.
func (s *shard) serveQueue(now time.Duration) {
	for s.limit == 0 || s.inHand < s.limit {
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

// nextIteration is where a user of the closed model goes after an iteration: to its next one after its pause, or away.
func (s *shard) nextIteration(slot uint32, u *user, sc *journey.Scenario, setupFailed bool, now time.Duration) {
	u.index++
	if u.leaving || s.closing || s.iterationsUsed() {
		s.retire(slot, u, now)
		return
	}
	switch {
	case sc.Pacing > 0:
		u.due += sc.Pacing // the grid: behind it, response time counts from it all the same
		u.intended = u.due
	default:
		u.intended = now
		if last := sc.Steps[len(sc.Steps)-1]; last.HasThink {
			s.setInput(u)
			u.intended += s.e.cfg.Program.Pause(last, &s.input)
		}
	}
	if setupFailed {
		u.intended = max(u.intended, now+setupRest)
	}
	if u.intended <= now {
		s.beginNext(slot, u, now)
		return
	}
	s.pause(slot, u, between)
}

// iterationsUsed reports whether the iterations that the closed model may begin are used up.
func (s *shard) iterationsUsed() bool {
	return s.e.spec.Iterations > 0 && s.e.begun.Load() >= s.e.spec.Iterations
}

// beginNext starts the next iteration of a user of the closed model.
func (s *shard) beginNext(slot uint32, u *user, now time.Duration) {
	if u.leaving || s.closing || s.e.cfg.Lease.Over(now) {
		s.retire(slot, u, now)
		return
	}
	if n := s.e.spec.Iterations; n > 0 && s.e.begun.Add(1) > n {
		s.retire(slot, u, now)
		return
	}
	s.rec.Scheduled++
	s.rec.Started++
	lag := now - u.intended
	s.rec.Lag(lag, 0)
	if lag > lateAfter {
		s.rec.Late++
	}
	s.startIteration(slot, u, u.intended, now)
}

// populate keeps the closed model at the number of users that the profile wants, and says when it next needs the shard.
func (s *shard) populate(now time.Duration) time.Duration {
	if s.users.Stale() {
		s.refresh()
	}
	end := s.e.cfg.Log.Timeline().End()
	if !s.closing && (now >= end || s.iterationsUsed()) {
		s.close(min(now, end))
		for slot := range s.slots.n {
			s.dismiss(slot, now)
		}
	}
	next := s.cutAt
	if !s.closing {
		next = end
		for {
			turn, ok := s.users.Peek()
			if !ok {
				break
			}
			if turn.At > now {
				next = min(next, turn.At)
				break
			}
			s.users.Next()
			if turn.Start {
				s.join(turn.User, turn.At, now)
			} else if slot, ok := s.byNumber[turn.User]; ok {
				s.dismiss(slot, now)
			}
		}
	}
	return next
}

// join starts user number, intended at `at`. A user that left before comes back as the same slot.
func (s *shard) join(number int64, at, now time.Duration) {
	sc := uint16(s.mix.Scenario(number))
	if s.e.guard.full.Load() {
		s.refuseUser(arrival{index: number, scenario: sc, due: at}, now)
		return
	}
	slot, ok := s.byNumber[number]
	var u *user
	if ok {
		u = s.slots.at(slot)
		if !u.gone {
			u.leaving = false
			return
		}
		*u = user{}
	} else {
		slot, u = s.slots.grow()
		s.byNumber[number] = slot
	}
	u.scenario, u.number = sc, uint32(number)
	u.session.Reset(s.e.cfg.Program.Scenarios[sc])
	s.alive++
	u.intended = at
	s.beginNext(slot, u, now)
}

// dismiss lets a user finish its iteration; a pause is cut short.
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
	case between:
		s.loop.CancelTimer(slot)
		s.retire(slot, u, now)
	}
}

// retire ends a user, with its teardown if it was set up.
func (s *shard) retire(slot uint32, u *user, now time.Duration) {
	if u.gone {
		return
	}
	u.wait = idle
	if u.ready && u.part != inTeardown && len(s.e.cfg.Program.Scenarios[u.scenario].Teardown) > 0 && !s.e.cut.Load() {
		u.part, u.step, u.intended = inTeardown, 0, now
		s.leavers++
		s.startStep(slot, u, now)
		return
	}
	s.bye(u)
}

// retired is the end of a teardown.
func (s *shard) retired(u *user) {
	s.leavers--
	s.bye(u)
}

func (s *shard) bye(u *user) {
	u.gone = true
	s.alive--
	s.hangUp(u)
}

// retireAll lets every slot of the open model go, at the end.
func (s *shard) retireAll(now time.Duration) {
	for slot := range s.slots.n {
		u := s.slots.at(slot)
		s.loop.CancelTimer(slot)
		if !u.gone && u.ex == nil {
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
	for head, ok := s.queue.head(); ok; head, ok = s.queue.head() {
		s.queue.pop()
		s.drop(int(head.scenario), head.due, now, false)
	}
}

// setInput names the draws of the user's present iteration.
func (s *shard) setInput(u *user) {
	s.input = journey.Input{Seed: s.e.spec.Seed, Iteration: u.index, User: u.number, Now: s.e.epoch.Add(u.intended)}
}
