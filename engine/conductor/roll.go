package conductor

import (
	"slices"
	"time"

	"lt/engine/ledger"
	"lt/engine/load"
	"lt/engine/metrics"
)

// roll is what the conductor remembers of each source from one report to the next.
type roll []entry

// The sources are looked at with every View as well as when they report: while they start they say nothing of each step.

type entry struct {
	name  string
	told  metrics.Member // as the record knows it, if it does
	known bool
	seen  metrics.Member // as it was last
	since time.Duration  // of the conductor's own time: it began to start
	took  time.Duration  // until it was through with that; 0: not yet
}

// see takes what a source is at a time since the start was asked for, and says whether it got on since the last look.
func (r *roll) see(m *metrics.Member, at time.Duration) bool {
	e := r.find(m.Name)
	if e == nil {
		*r = append(*r, entry{name: m.Name, since: at, seen: *m})
		e = &(*r)[len(*r)-1]
	}
	old := e.seen
	e.seen = *m
	if m.State == "starting" && old.State != "starting" { // it joins anew
		e.since, e.took = at, 0
	}
	if e.took == 0 && (m.State != "starting" || m.Step == "ready" || m.Step == "armed") {
		e.took = max(1, at-e.since)
	}
	return old.State != m.State || old.Step != m.Step
}

// note is see for a source whose account may have changed, and says whether it has.
func (r *roll) note(m *metrics.Member, at time.Duration) bool {
	r.see(m, at)
	e := r.find(m.Name)
	old := e.told
	e.told = *m
	changed := !e.known || old.State != m.State || old.Share != m.Share || old.Weight != m.Weight || old.Label != m.Label || old.Reason != m.Reason || old.StartSkew != m.StartSkew || m.Account != nil
	e.known = true
	return changed
}

func (r *roll) find(name string) *entry {
	for i := range *r {
		if (*r)[i].name == name {
			return &(*r)[i]
		}
	}
	return nil
}

// forget lets the next note of a source count as a change.
func (r *roll) forget(name string) {
	if e := r.find(name); e != nil {
		e.known = false
	}
}

// sourceState is a member as the record keeps it.
func sourceState(at time.Duration, m *metrics.Member) *ledger.SourceState {
	if m.State == "lost" {
		at = m.LostAt
	}
	return &ledger.SourceState{At: at, Source: ledger.Source{
		Name: m.Name, Kind: m.Kind, Label: m.Label, Weight: m.Weight, Share: m.Share, State: m.State, Reason: m.Reason,
		Clock: m.Clock, Bound: m.Bound, RTT: m.RTT, StartSkew: m.StartSkew, Account: m.Account,
	}}
}

// sources are the sources as the screen shows them: what was measured of them, and what they are at this moment.
func (r *Run) sources(measured []metrics.SourceView, rate float64) []metrics.SourceView {
	out := slices.Clone(measured)
	if r.state == Ended && r.begun {
		return out
	}
	for _, m := range r.cfg.Source.Members() {
		i := slices.IndexFunc(out, func(v metrics.SourceView) bool { return v.Name == m.Name })
		if i < 0 {
			i = len(out)
			out = append(out, metrics.SourceView{Name: m.Name, LostAt: -1})
		}
		v := &out[i]
		v.Kind, v.Label, v.State, v.Weight, v.Share, v.Reason = m.Kind, m.Label, m.State, m.Weight, m.Share, m.Reason
		v.Clock, v.ClockBound, v.RTT, v.StartSkew, v.Log = m.Clock, m.Bound, m.RTT, m.StartSkew, m.Log
		v.Step, v.Progress, v.LostAt = m.Step, m.Progress, -1
		if m.State == "lost" {
			v.LostAt = m.LostAt
		}
		if e := r.roll.find(m.Name); e != nil {
			v.Starting = e.took
			if v.Starting == 0 {
				v.Starting = time.Since(r.called) - e.since
			}
		} else {
			v.Starting = time.Since(r.called)
		}
		if r.cfg.Spec.Model == load.Open {
			v.Asked = rate * v.Share
		}
	}
	return out
}
