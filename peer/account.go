package peer

import (
	"fmt"
	"math"
	"slices"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/peer/wire"
)

const (
	// lastWords is how long peers are waited for after their load must have ended: their figures may be on the way.
	lastWords = 10 * time.Second
	// cutWords is the same after everything was ended at once; with the ladder by which links are closed it stays below 5 s.
	cutWords = 2500 * time.Millisecond
)

// Fin implements observer.
func (e *ears) Fin(n int, fin wire.Fin) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, now time.Time) {
		if s.fin != nil || !s.begun {
			return
		}
		s.fin = &fin
		// It is there to take part anew, though its link did not say so yet, or did not miss it at all because it was we who did not run
		// for so long. One whose lease was not over slept.
		over := fin.Lapsed && now.After(s.link.Over())
		if over && s.back == nil {
			hello := s.hello
			s.back = &hello
		}
		if !s.dead.IsZero() {
			// Late, but now it is known what it did: what it might have begun after that it did not.
			f.missedBy(s, max(0, f.run(s.dead)))
			s.link.Close()
			return
		}
		left := s.draining && !f.owns(s)
		// A lease that ran out near the end left arrivals of the plan unbegun, whatever else is over by now.
		early := !left && (fin.Lapsed || !f.ending(now) && !(f.counted() && fin.Err == ""))
		if !early {
			if s.suspect || !s.lost.IsZero() { // its account may come before its link says that it is there
				f.returned(s, now)
			}
			s.finished = true
			s.m.State = "done"
			if left {
				s.m.State = "left"
				s.link.Close()
			}
			text := ""
			if s.m.Reason = fin.Err; fin.Err != "" {
				text = s.name + " ended with an error: " + fin.Err
			}
			f.show(s, "%s", text)
			return
		}
		// It ended before its time, and said so in good order: what it reported is all that it did.
		why := "it ended early"
		switch {
		case fin.Err != "":
			why = "it ended early: " + fin.Err
		case fin.Lapsed:
			why = "its lease was over"
		}
		f.lose(s, now, why)
		f.bury(s, now)
		f.missedBy(s, max(0, f.run(now)))
		if over {
			s.link.Close() // it has no more to say
		}
		f.show(s, "")
		f.decide([]string{s.name}, s.m.Share, now)
	})
}

// counted says whether the run is over after a number of iterations: a source has then done its part when its own are begun, and
// may say so before the others.
func (f *Fleet) counted() bool { return f.cfg.File.Load.Iterations > 0 }

// ending says whether the load is over or about to be, so that moving shares has no use any more.
func (f *Fleet) ending(now time.Time) bool {
	line := f.log.Timeline()
	if !f.cutAt.IsZero() || f.begun && max(0, f.run(now))+f.ahead() >= line.End() {
		return true
	}
	return f.counted() && slices.ContainsFunc(f.all, func(s *source) bool { return s != nil && s.finished })
}

// finish ends the run when all that is to be expected has come, or has not come for long enough.
func (f *Fleet) finish(now time.Time) {
	here := f.all[0] == nil || f.all[0].finished
	settled := here
	for _, s := range f.all {
		if s == nil || s.link == nil || !s.begun {
			continue
		}
		settled = settled && !s.living()
	}
	end := f.log.Timeline().End()
	switch {
	case settled && (f.ending(now) || len(f.alive()) == 0):
	case !f.cutAt.IsZero():
		if by := f.cutAt.Add(cutWords); now.Before(by) || !here {
			f.at(by)
			return
		}
	case end == load.Never:
		return
	default:
		// This process's own part may be over long before: it was drained, its iterations were done first, or it had none in hand.
		by := f.epoch.Add(end + f.cfg.File.Load.Graceful + lastWords)
		if own := f.ended.Add(lastWords); own.After(by) {
			by = own
		}
		if now.Before(by) || !here {
			f.at(by)
			return
		}
	}
	f.settle(now)
	f.stage = over
}

// settle closes the accounts: of each peer what it says that it did against what came of it here.
func (f *Fleet) settle(now time.Time) {
	for i := range f.shares.epochs { // whoever has not confirmed an epoch by now never will
		for n := range f.shares.epochs[i].waiting {
			s, late := f.all[n], int64(0)
			if !f.closedModel() {
				late = f.beyond(s, max(0, f.run(f.mayBegin(s, now))))
			}
			f.follows(s, math.MaxInt, late)
		}
	}
	f.countTo(now)
	end := min(f.log.Timeline().End(), max(0, f.run(now))) // of what is due
	for _, s := range f.all {
		// What a source had and did not come to: it learnt too late that it had it, or it was due after the source was given up, which
		// might have begun it before its time.
		switch {
		case s == nil || s.link == nil || s.fin == nil:
		case f.closedModel() && (f.counted() || !s.dead.IsZero()): // it has done its part, or that was counted
		case f.cutAt.IsZero() || !s.dead.IsZero():
			f.missedBy(s, end)
		}
	}
	if t := f.gap.without; t >= 1 {
		f.say("load gap: users of the plan had no source for %.0f user-seconds in all, %s of the %.0f that were wanted", t, percent(t/f.gap.wanted), f.gap.wanted)
	}
	if n := f.gap.total; n > 0 {
		f.say("load gap: no source was there to begin %d arrivals of the plan, %s of all that were due", n, percent(float64(n)/float64(max(1, f.gap.index))))
	}
	accounts := make(map[string]*metrics.Account)
	for _, s := range f.all {
		if s == nil || s.link == nil || !s.begun {
			continue
		}
		a := f.close(s, now)
		if sum := accounts[s.name]; sum != nil {
			sum.Add(a)
		} else {
			accounts[s.name] = &a
		}
	}
	for _, s := range f.rows {
		a := accounts[s.name]
		if a == nil {
			continue
		}
		s.m.Account = a
		text := ""
		if !a.Whole {
			text = s.name + ": " + a.Text
		}
		if s.m.State != "lost" && s.m.State != "left" && s.m.State != "refused" && s.living() {
			s.m.State = "lost"
			s.m.LostAt = max(0, f.run(now))
		}
		if s.m.Reason == "" && !a.Whole {
			s.m.Reason = a.Text
		}
		f.show(s, "%s", text)
	}
}

// close is the account of one source.
func (f *Fleet) close(s *source, now time.Time) metrics.Account {
	got, last := s.link.Applied()
	if s.fin != nil {
		said := s.fin.Totals
		switch {
		case s.fin.LastSeq != last:
			return metrics.Account{Text: fmt.Sprintf("its account does not add up: it sent %d batches of figures and %d came", s.fin.LastSeq, last)}
		case said != got:
			return metrics.Account{Text: "its account does not add up: " + differ(said, got)}
		}
		return metrics.Account{Whole: true}
	}
	// Nobody knows what it did since it last reported. By its plan it cannot have been more than this, also if it did not hear of
	// a stop.
	run, end := max(0, f.run(f.mayBegin(s, now))), time.Duration(0)
	for _, line := range f.heardOf(s) {
		end = max(end, line.End())
	}
	a := metrics.Account{Window: max(0, min(run, end)-s.edge)}
	each := 1.0
	if got.Started > 0 {
		each = max(1, float64(got.Requests)/float64(got.Started))
	}
	about := "at most"
	if f.closedModel() { // how many its users made is the target's doing: as many as before, or as those of the others meanwhile
		about = "about"
		rate := float64(got.Requests) / max(time.Second, s.edge-s.from).Seconds()
		a.Unreported = uint64(max(rate, s.meanwhile.of(s.users))*a.Window.Seconds()) + uint64(s.inHand)
	} else {
		beyond := s.since // of one that is given up
		if s.dead.IsZero() {
			beyond = f.beyond(s, run)
		}
		owed := max(0, f.shares.owned(0, beyond, s.has)-int64(got.Scheduled))
		a.Unreported = uint64(float64(owed+int64(s.inHand))*each + 0.5)
	}
	a.Text = fmt.Sprintf("it never said what it did in all: %s %d requests of %s are unreported", about, a.Unreported, short(a.Window))
	return a
}

// mayBegin is until when a source that gave no account may begin what is its own: one that is lost does not hear of the end, and goes
// on as long as its lease may last.
func (f *Fleet) mayBegin(s *source, now time.Time) time.Time {
	switch {
	case !s.dead.IsZero():
		return s.dead
	case !s.lost.IsZero():
		return s.over()
	}
	return now
}

// differ names the first figure in which two accounts differ.
func differ(said, got wire.Totals) string {
	for _, x := range []struct {
		what      string
		said, got uint64
	}{
		{"arrivals", said.Scheduled, got.Scheduled},
		{"iterations begun", said.Started, got.Started},
		{"arrivals dropped", said.Dropped, got.Dropped},
		{"iterations", said.Iterations, got.Iterations},
		{"iterations cut at the end", said.Unfinished, got.Unfinished},
		{"requests", said.Requests, got.Requests},
		{"errors", said.Errors, got.Errors},
		{"bytes received", said.BytesIn, got.BytesIn},
		{"bytes sent", said.BytesOut, got.BytesOut},
		{"intervals", said.Intervals, got.Intervals},
	} {
		if x.said != x.got {
			return fmt.Sprintf("it says %d %s, and %d came", x.said, x.what, x.got)
		}
	}
	return "" // all that there is was compared
}
