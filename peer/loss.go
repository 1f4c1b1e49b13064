package peer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"lt/engine/load"
	"lt/peer/wire"
)

const (
	// together is how much longer than the first of several lost peers the others are waited for: what takes one bastion down
	// takes all behind it, and is decided once.
	together = time.Second
	// proofsTogether is the same for peers that are proven dead, whose shares need not wait for a lease.
	proofsTogether = 200 * time.Millisecond
	// coolDown is how long after its loss a peer may take part anew, and doubles with every further life: one that comes and
	// goes must not have its share moved to and fro.
	coolDown  = 30 * time.Second
	mostLives = 5
	// worthJoining is how much of the load must be left for a peer to take part anew.
	worthJoining = 10 * time.Second
)

// lossState is what is not settled about losses.
type lossState struct {
	stopped bool // the run was told to stop because of one
}

// Suspect implements observer.
func (e *ears) Suspect(n int, silent time.Duration) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, _ time.Time) {
		if s.suspect = true; s.begun && s.living() && s.lost.IsZero() {
			s.m.State = "suspect"
			f.show(s, "%s was not heard for %s; its share stays its own", s.name, short(silent))
		}
	})
}

// Back implements observer.
func (e *ears) Back(n int) {
	f := (*Fleet)(e)
	f.peer(n, f.returned)
}

// returned notes that a source is heard again.
func (f *Fleet) returned(s *source, now time.Time) {
	was := s.lost
	s.suspect, s.lost, s.reason = false, time.Time{}, ""
	if !s.begun || !s.living() {
		return
	}
	f.shares.dirty = true // what could not be asked of it while it was silent
	s.m.State, s.m.Reason = "running", ""
	if s.draining {
		s.m.State = "draining"
	}
	if was.IsZero() {
		f.show(s, "%s is heard again", s.name)
		return
	}
	f.show(s, "%s is back after %s, within its lease: nothing was moved and nothing is missing", s.name, short(now.Sub(was)))
}

// Lost implements observer.
func (e *ears) Lost(n int, c Cause) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, now time.Time) { f.lose(s, now, f.lostFor(s, c, now)) })
}

// lose notes that a peer cannot be reached. Its share stays its own as long as its lease may last.
func (f *Fleet) lose(s *source, now time.Time, reason string) {
	if !s.living() || !s.lost.IsZero() {
		return
	}
	s.lost, s.reason = now, reason
	if !s.begun {
		return
	}
	s.m.State, s.m.Reason, s.m.LostAt = "lost", reason, max(0, f.run(now))
	f.show(s, "%s is lost: %s; up to %s of the load may be missing until it is back or its lease is over", s.name, reason, percent(s.m.Share))
}

// Gone implements observer.
func (e *ears) Gone(n int, c Cause) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, now time.Time) {
		f.lose(s, now, c.Text)
		f.explain(s, c)
		f.proven(s, now)
	})
}

// proven notes that a peer's process is dead for certain.
func (f *Fleet) proven(s *source, now time.Time) {
	if s.living() && s.gone.IsZero() {
		s.gone = now
	}
	if s.joins && !s.begun {
		f.refuse(s, &StartError{Peer: s.name, Phase: s.m.Step, Said: s.reason})
	}
}

// Rejoin implements observer.
func (e *ears) Rejoin(n int, h wire.Hello) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, _ time.Time) { s.back = &h })
}

// over is when the share of a lost source may be others'.
func (s *source) over() time.Time {
	if !s.gone.IsZero() {
		return s.gone.Add(proofsTogether)
	}
	return s.link.Over()
}

// watch decides about lost peers: those whose leases are over, or who are proven dead, are given up, all at once that went
// together.
func (f *Fleet) watch(now time.Time) {
	var lost []*source
	var first time.Time
	for _, s := range f.all {
		if s == nil || s.link == nil || !s.begun || !s.living() || s.lost.IsZero() {
			continue
		}
		lost = append(lost, s)
		if at := s.over(); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	if len(lost) == 0 {
		return
	}
	decide := first
	for _, s := range lost {
		if at := s.over(); at.After(decide) && !at.After(first.Add(together)) {
			decide = at
		}
	}
	if now.Before(decide) {
		f.at(decide)
		return
	}
	var names []string
	share := 0.0
	for _, s := range lost {
		s.link.Granting(false)
		if at := s.over(); now.Before(at) {
			// Not yet, or a heartbeat was answered while we looked: from here on its lease may not grow behind our back.
			s.link.Granting(true)
			f.at(at)
			continue
		}
		f.bury(s, now)
		names = append(names, s.name)
		share += s.m.Share
		f.show(s, "")
	}
	f.decide(names, share, now)
}

// bury gives a source up: nothing begins there any more.
func (f *Fleet) bury(s *source, now time.Time) {
	if f.closedModel() {
		f.countTo(now) // up to here it may have had its users
	}
	s.dead = now
	run := max(0, f.run(now))
	if f.closedModel() {
		f.follows(s, math.MaxInt, 0)
		return
	}
	beyond := f.beyond(s, run)
	f.follows(s, math.MaxInt, beyond)
	s.since = max(s.since, beyond)
	f.shares.late(stretch{n: s.n, from: beyond, until: math.MaxInt64})
}

// decide does what is to be done about sources that are given up.
func (f *Fleet) decide(names []string, share float64, now time.Time) {
	who := and(names)
	is := "is"
	if len(names) > 1 {
		is = "are"
	}
	if f.ending(now) {
		return // the others have done their parts: what this one did not say is missing in its account
	}
	if len(f.alive()) == 0 {
		f.say("%s %s lost, and no source of load is left", who, is)
		f.err = fmt.Errorf("no source of load is left: %s %s lost", who, is)
		if _, err := f.enter(load.Change{At: max(0, f.run(now)), Kind: load.Stop}); err != nil {
			f.err = errors.Join(f.err, err)
		}
		f.cut(now)
		return
	}
	if f.cfg.OnLoss != StopRun {
		f.redeal("%s %s lost", who, is)
		return
	}
	if !f.loss.stopped {
		f.loss.stopped = true
		f.put(reportDrain(fmt.Sprintf("%s %s lost with %s of the load, and a loss is to stop the run: it is drained", who, is, percent(share))))
	}
}

// alive are the sources that take part, or may still.
func (f *Fleet) alive() []*source {
	var out []*source
	for _, s := range f.all {
		if s != nil && s.begun && s.living() {
			out = append(out, s)
		}
	}
	return out
}

// renew starts those peers anew whose hosts are there again, once they have cooled down.
func (f *Fleet) renew(now time.Time) {
	if f.cfg.OnLoss == StopRun {
		return // whoever wants no loss wants no patched run
	}
	if f.counted() && f.closedModel() {
		return // its part of the iterations was dealt to its former self
	}
	end := f.log.Timeline().End()
	for _, s := range f.rows {
		if s.dead.IsZero() || s.back == nil || s.draining || s.renewing || s.lives >= mostLives || f.run(now)+worthJoining > end {
			continue
		}
		at := s.lost.Add(coolDown << s.lives)
		if now.Before(at) {
			f.at(at)
			continue
		}
		next := f.enlist(s.at)
		next.lives, next.joins = s.lives+1, true
		next.m = f.member(s)
		next.m.State, next.m.Reason, next.m.Share = "starting", "", 0
		s.renewing = true
		f.say("%s is there again and is started anew", s.name)
		f.dial(next)
	}
}

// replace puts a new life of a peer into the row of the one before.
func (f *Fleet) replace(next *source) {
	i := slices.IndexFunc(f.rows, func(s *source) bool { return s.name == next.name })
	if i < 0 {
		f.rows = append(f.rows, next)
		return
	}
	f.rows[i].replaced = true
	f.rows[i] = next
}

// and joins names as a sentence does.
func and(names []string) string {
	if len(names) > 8 {
		return fmt.Sprintf("%d peers", len(names))
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
