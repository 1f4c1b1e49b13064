package report

import (
	"fmt"
	"time"

	"lt/engine/ledger"
	"lt/engine/metrics"
)

// hides is the ratio of response to service time at the p99 above which a tool that starts its clock when it sends would tell
// another story.
const hides = 1.5

// notes are the sentences that keep a reader from taking the figures for what they are not.
func notes(l *ledger.Ledger) []string {
	h, s := l.Header(), l.Snapshot()
	t := &s.Totals
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if h.Closed() {
		say("Closed model: each user waits for its answer before it goes on, so a slow target was asked less; these percentiles are what so many patient users saw and are not comparable with those of an open run.")
	}
	if r, sv := t.Response.P99, t.Service.P99; sv > 0 && float64(r) > hides*float64(sv) {
		say("Response time counts from when a request was due: p99 %s. A tool that starts its clock when it sends would show p99 %s.", atLeast(&t.Response, r), duration(sv))
	}
	if t.Response.AtLeast {
		say("%s arrivals were given up before they began. They count with the time that they had waited, so what they reach is at least that long (>=).", count(t.Dropped))
	}
	if n := t.CutShort.Count; n > 0 && n*100 > t.Requests {
		say("%s requests (%s) never got a whole answer, after %s at the median; the percentiles are of those that did or waited in vain.", count(n), percent(float64(n)/float64(max(t.Requests, 1))), duration(t.CutShort.P50))
	}
	if n := t.Response.Count; n > 0 && n < enoughP99 {
		lies := fmt.Sprintf("lies between %s and %s (95 %%)", duration(t.Response.P99Low), duration(t.Response.P99High))
		if unbounded(&t.Response, t.Response.P99High) {
			lies = fmt.Sprintf("is %s or more (95 %%), and so few do not bound it from above", duration(t.Response.P99Low))
		}
		say("Only %s: the p99 %s. %s would make it firm.", many(n, "request"), lies, count(enoughP99))
	}
	for i := range s.Steps {
		v := &s.Steps[i]
		if i < len(h.OwnStatus) && h.OwnStatus[i] {
			continue
		}
		if n, of := redirects(v); of > 0 && 2*n > of {
			say("Most answers of %s are redirects (%s of %s) and were not followed: name the final URL, allow redirects, or check the status.", stepName(v.StepName), count(n), count(of))
		}
	}
	if skew, bound := together(s.Sources); bound > 0 {
		say("The sources share one run time within ±%s, as far as their links let it be measured; the first of each began up to %s after zero.", duration(bound), duration(skew))
	}
	if t.Unfinished > 0 {
		say("%s iterations were still in hand at the end and were cut: told to, or after %s of grace.", count(t.Unfinished), h.Graceful.Round(time.Millisecond))
	}
	return out
}

// redirects is how many answers of a step are redirects, of how many.
func redirects(v *metrics.StepView) (n, of uint64) {
	for _, c := range v.Status {
		of += c.Count
		switch c.Status {
		case 301, 302, 307, 308:
			n += c.Count
		}
	}
	return n, of
}

// judged is what the exit code means when nothing was demanded of the target.
const judged = "Without an SLO the exit code judges nothing: add one with --slo 'p99 < 300ms', or slo: in the scenario."

// apart is how far a source's run time may be from ours. Its clock was compared when run time zero was fixed, and is ever since; by how much
// the two disagree is what it may have run off, or what the first comparison, over a link that was slower then, was wrong by.
func apart(s *metrics.SourceView) time.Duration { return s.Clock.Abs() + s.ClockBound }

// together is how far the sources may be apart: the largest skew of a start, and the most by which a run time may be off.
func together(sources []metrics.SourceView) (skew, bound time.Duration) {
	for i := range sources {
		if s := &sources[i]; s.RTT > 0 {
			skew, bound = max(skew, s.StartSkew.Abs()), max(bound, apart(s))
		}
	}
	return skew, bound
}
