package conductor

import (
	"time"

	"lt/engine/metrics"
	"lt/engine/slo"
)

const (
	// maxTurns bounds what is told of one criterion: one whose value plays around its limit would fill the diary.
	maxTurns = 20
	// maxTroubles bounds how many kinds of errors have their first told; the panel of errors has them all.
	maxTroubles = 50
)

// diary is what the events have told so far of the criteria and of the errors.
type diary struct {
	turns []int // by criterion: how often it was told that it fails or holds; odd: it fails
	met   map[trouble]struct{}
}

// trouble is a kind of errors as the diary tells it: what their first means does not depend on the step.
type trouble struct {
	class  metrics.Class
	status uint16
}

// judged tells of each criterion that ceases to hold, and that it holds again. One about the whole run is not told of before
// slo.Grace of it has counted: the first requests say little.
func (r *Run) judged(results []slo.Result, counted time.Duration) {
	if r.diary.turns == nil {
		r.diary.turns = make([]int, len(results))
	}
	for i := range results {
		res, turns := &results[i], &r.diary.turns[i]
		fails := *turns%2 == 1
		if res.Fails == fails || *turns == maxTurns || res.Window == 0 && counted < slo.Grace {
			continue
		}
		*turns++
		if res.Ends && r.state != Draining {
			continue // it is told with what it does
		}
		text, more := "holds now", ""
		if res.Fails {
			text = "does not hold"
		}
		if *turns == maxTurns {
			more = "; from now on its turns are not told"
		}
		r.event(r.now(), EventSLO, "%s %s: %s%s", res.Expr, text, res.Text, more)
	}
}

// troubles tells of the first error of each kind.
func (r *Run) troubles(errs []metrics.ErrorCount, steps []metrics.StepName) {
	for i := range errs {
		e := &errs[i]
		k := trouble{e.Class, e.Status}
		if _, told := r.diary.met[k]; told || len(r.diary.met) == maxTroubles || int(e.Step) >= len(steps) {
			continue
		}
		if r.diary.met == nil {
			r.diary.met = map[trouble]struct{}{}
		}
		r.diary.met[k] = struct{}{}
		kind := EventTarget
		if e.Class == metrics.Limit { // this machine's, never the target's
			kind = EventGuard
		}
		name := &steps[e.Step]
		r.event(e.First, kind, "first seen at %s/%s: %s", name.Scenario, name.Step, e.Message)
	}
}
