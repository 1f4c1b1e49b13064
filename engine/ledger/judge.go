package ledger

import (
	"fmt"
	"time"

	"lt/engine/metrics"
	"lt/engine/slo"
)

// grace is how long after its end a second waits to be judged for living sources that have not delivered it: a slow link joins five,
// and who is silent for longer than that is not living any more. What is on the screen does not wait so long.
const grace = 7 * time.Second

// newJudge reads the criteria of a header.
func newJudge(h *Header, stages []metrics.StageInfo) (*slo.Judge, error) {
	criteria := make([]*slo.Criterion, len(h.SLO))
	for i, expr := range h.SLO {
		c, err := slo.Parse(expr)
		if err != nil {
			return nil, fmt.Errorf("slo %q: %w", expr, err)
		}
		criteria[i] = c
	}
	return slo.NewJudge(criteria, h.Steps, stages)
}

// tellSeconds tells the judge of every second that has become complete, each once and in order.
func (l *Ledger) tellSeconds() {
	complete := l.complete()
	for to := l.told + time.Second; to <= complete; to += time.Second {
		l.judge.Second(to, l.counts(to-time.Second, to))
		l.told = to
		for len(l.pieces) > 1 && l.pieces[0].to <= to-edgeError { // no later second touches it
			l.pieces = l.pieces[1:]
		}
	}
}

// complete is the run time up to which every living source has delivered, or beyond it what ended longer than the grace
// ago: a source that hangs must not keep the others from being judged.
func (l *Ledger) complete() time.Duration {
	delivered, waiting := l.now, false
	for name, s := range l.states {
		b := l.books[name]
		switch {
		case !living(s.State) || b != nil && b.final:
		case b == nil:
			delivered, waiting = 0, true
		default:
			delivered, waiting = min(delivered, b.last), true
		}
	}
	if !waiting {
		return l.now
	}
	return max(delivered, (l.now - grace).Truncate(time.Second))
}

// edgeError is how far the edge of a stage may lie beside the whole second that it is meant to be at.
const edgeError = 10 * time.Millisecond

// counts reports whether the totals refer to all of the run time [from, to): stages hold it, none of them a warm-up, and no
// pause.
func (l *Ledger) counts(from, to time.Duration) bool {
	held := from + edgeError
	for _, p := range l.pieces {
		if p.to <= held || p.from >= to-edgeError {
			continue
		}
		if p.from > held+edgeError || p.stage == metrics.NoStage || l.header.Stages[p.stage].Warmup {
			return false
		}
		held = p.to
	}
	return held >= to-edgeError
}
