package conductor

import (
	"fmt"
	"time"

	"lt/engine/ledger"
	"lt/engine/load"
)

// command does what the run is told.
func (r *Run) command(c Command) {
	r.follow() // it may have begun, or the load may have ended, since the last look
	now := r.now()
	switch c := c.(type) {
	case Stop:
		switch r.state {
		case Draining:
			r.event(now, EventNote, "it is draining already: what is in hand finishes")
		case Starting:
			r.event(now, EventUser, "the start was called off by hand")
			r.stop(ByUser)
		default:
			r.event(now, EventUser, "stopped by hand: draining")
			r.stop(ByUser)
		}
	case Now:
		if r.ended == "" && r.state != Draining {
			r.ended = ByUser
		}
		r.event(now, EventUser, "ended at once by hand")
		if r.state != Starting {
			r.state = Draining
		}
		r.cfg.Source.Cut()
	case Mark:
		text := c.Text
		if text == "" {
			text = "mark"
		}
		r.event(now, EventUser, "%s", text)
	case Snapshot:
		r.snapshot(c.Path)
	case Answer:
		r.cfg.Source.Answer(c.ID, c.Text, c.OK)
	case Add:
		if r.state == Draining {
			r.event(now, EventNote, "%s does not join: the run is ending", c.Spec)
		} else if err := r.cfg.Source.Add(c.Spec); err != nil {
			r.event(now, EventNote, "%s does not join: %s", c.Spec, err)
		} else {
			r.event(now, EventUser, "%s is asked to join", c.Spec)
		}
	case Drain:
		if r.state == Draining {
			r.event(now, EventNote, "%s is not drained: the run is ending, and it with it", c.Name)
		} else if err := r.cfg.Source.Drain(c.Name); err != nil {
			r.event(now, EventNote, "%s is not drained: %s", c.Name, err)
		} else {
			r.event(now, EventUser, "%s is drained: it gives its share to the others", c.Name)
		}
	default:
		switch r.state {
		case Starting:
			r.event(now, EventNote, "nothing was changed: the run has not begun")
		case Draining:
			r.event(now, EventNote, "nothing was changed: the load has ended")
		default:
			r.steer(c)
		}
	}
}

// steer changes the load.
func (r *Run) steer(c Command) {
	src := r.cfg.Source
	switch c := c.(type) {
	case Hold:
		kind, what := load.Hold, "held at the present load"
		if r.held {
			kind, what = load.Resume, "goes on from where it was held"
		}
		if at, err := src.Change(kind, 0); r.changed(at, err, what) {
			r.held = !r.held
			r.add(&ledger.Change{At: at, Kind: kind.String()})
		}
	case Pause:
		kind, what := load.Pause, "paused: the load is zero until it goes on"
		if r.paused {
			kind, what = load.Unpause, "goes on after the pause"
		}
		if at, err := src.Change(kind, 0); r.changed(at, err, what) {
			r.paused = !r.paused
			r.add(&ledger.Pause{At: at, Begins: r.paused})
		}
	case Next:
		at, err := src.Change(load.Next, 0)
		r.changed(at, err, "on to the next stage")
	case Factor:
		r.factor(c.By)
	}
	switch {
	case r.paused:
		r.state = Paused
	case r.held:
		r.state = Held
	default:
		r.state = Running
	}
}

func (r *Run) changed(at time.Duration, err error, what string) bool {
	if err != nil {
		r.event(r.now(), EventNote, "nothing was changed: %s", err)
		return false
	}
	r.event(at, EventUser, "%s", what)
	return true
}

// factor multiplies the load by a factor, within what the target's class and the scenario allow.
func (r *Run) factor(by float64) {
	st := r.cfg.Source.Timeline().At(r.now())
	f := min(max(st.Factor*by, minFactor), maxFactor)
	if by > 1 && r.cfg.AllowRate != nil {
		if err := r.cfg.AllowRate(r.cfg.Spec.Profile.Peak() * f); err != nil {
			r.event(r.now(), EventGuard, "not raised: %s", err)
			return
		}
	}
	if lim := r.cfg.Spec.MaxRate; lim > 0 && by > 1 && st.Rate >= lim {
		r.event(r.now(), EventNote, "not raised: max_rate is %g", lim)
		return
	}
	at, err := r.cfg.Source.Change(load.Factor, f)
	if r.changed(at, err, fmt.Sprintf("load set to %.0f %% of the profile", f*100)) {
		r.add(&ledger.Change{At: at, Kind: load.Factor.String(), Factor: f})
	}
}

// snapshot writes a report of the run so far.
func (r *Run) snapshot(path string) {
	if text := r.written(path); text != "" {
		r.event(r.now(), EventNote, "%s", text)
	}
}

// written writes a report and says where it is, or why it is not; empty: reports are not written here.
func (r *Run) written(path string) string {
	if r.cfg.Snapshot == nil {
		return ""
	}
	where, err := r.cfg.Snapshot(path)
	switch {
	case err != nil:
		return "the report was not written: " + err.Error()
	case r.state == Ended:
		return "report written to " + where
	}
	return "report so far written to " + where
}
