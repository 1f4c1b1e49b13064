package conductor

import (
	"fmt"
	"math"
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
		if at, err := src.Change(kind, 0); r.changed(at, err, what, &ledger.Change{At: at, Kind: kind.String()}) {
			r.held = !r.held
		}
	case Pause:
		kind, what := load.Pause, "paused: the load is zero until it goes on"
		if r.paused {
			kind, what = load.Unpause, "goes on after the pause"
		}
		if at, err := src.Change(kind, 0); r.changed(at, err, what, &ledger.Pause{At: at, Begins: !r.paused}) {
			r.paused = !r.paused
		}
	case Next:
		at, err := src.Change(load.Next, 0)
		r.changed(at, err, "on to the next stage", nil)
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

// changed answers a change of the load that was ordered. The record gets item when it holds; nil: nothing.
func (r *Run) changed(at time.Duration, err error, what string, item ledger.Item) bool {
	if err != nil {
		r.event(r.now(), EventNote, "nothing was changed: %s", err)
		return false
	}
	r.event(at, EventUser, "%s", what)
	r.ahead = append(r.ahead, ahead{at, what, item})
	return true
}

// ahead is a change that was ordered for a time that has not come. Until then a stop may make it void.
type ahead struct {
	at   time.Duration
	what string
	item ledger.Item
}

// come enters what holds by a run time, if the load had not ended before.
func (r *Run) come(at time.Duration) {
	for len(r.ahead) > 0 && r.ahead[0].at <= at {
		if a := r.ahead[0]; a.item != nil && a.at <= r.cfg.Source.Timeline().End() {
			r.add(a.item)
		}
		r.ahead = r.ahead[1:]
	}
}

// void says what does not come any more because the load ends before it.
func (r *Run) void(end time.Duration) {
	r.come(end)
	for _, a := range r.ahead {
		r.event(end, EventNote, "stopped before it could take effect: %s", a.what)
	}
	r.ahead = nil
}

// factor multiplies the load by a factor, within what the target's class and the scenario allow.
func (r *Run) factor(by float64) {
	at := r.now()
	if n := len(r.ahead); n > 0 {
		at = max(at, r.ahead[n-1].at) // each press counts, also one before the last has taken effect
	}
	st := r.cfg.Source.Timeline().At(at)
	f := min(max(st.Factor*by, minFactor), maxFactor)
	if math.Abs(f-1) < 1e-6 {
		f = 1 // as often down as up is the profile itself, not a last bit above what is allowed
	}
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
	what := fmt.Sprintf("load set to %.0f %% of the profile", f*100)
	if lim := r.cfg.Spec.MaxRate; lim > 0 && r.cfg.Spec.Profile.Peak()*f > lim {
		what += fmt.Sprintf(", at most max_rate %g", lim)
	}
	at, err := r.cfg.Source.Change(load.Factor, f)
	r.changed(at, err, what, &ledger.Change{At: at, Kind: load.Factor.String(), Factor: f})
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
