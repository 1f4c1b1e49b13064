package peer

import (
	"time"

	"lt/engine/metrics"
)

// gapState is how far the part of the plan that nobody made has been counted.
type gapState struct {
	index int64         // all arrivals before it were looked at
	from  time.Duration // run time of that
	next  time.Time     // when it is counted again
	total int64
}

// count looks every second at the arrivals that have become due.
func (f *Fleet) count(now time.Time) {
	if f.closedModel() || f.alone() {
		return
	}
	if !now.Before(f.gap.next) {
		f.countTo(now)
		f.gap.next = now.Add(time.Second)
	}
	f.at(f.gap.next)
}

// countTo looks at the arrivals that have become due since the last time, and tells of those that nobody was there to begin. What a
// lost source may have begun before it was given up is not among them: it is in that source's account, as unreported.
func (f *Fleet) countTo(now time.Time) {
	run := max(0, f.run(now))
	to := min(f.log.Timeline().FirstAfter(run), f.shares.known())
	if f.closedModel() || to <= f.gap.index {
		return
	}
	n := f.shares.owned(f.gap.index, to, func(n uint16) bool { return n == nobody })
	f.missed(f.gap.from, run, n)
	f.gap.index, f.gap.from = to, run
}

// missed tells of arrivals that nobody began.
func (f *Fleet) missed(from, to time.Duration, n int64) {
	if n <= 0 {
		return
	}
	f.gap.total += n
	f.put(metrics.Report{Gap: &metrics.Gap{From: from, To: to, Arrivals: uint64(n)}})
}

// missedBy tells of what a source did not begin between its last word and a run time.
func (f *Fleet) missedBy(s *source, until time.Duration) {
	f.missed(s.edge, until, f.owes(s, until))
}

// owes is how many of a source's arrivals that were due up to a run time it has not reported. It comes to its own in their order;
// so their number says more than the time up to which it reported, which a source that did not hear of a change of the level
// has filled with others.
func (f *Fleet) owes(s *source, until time.Duration) int64 {
	if f.closedModel() {
		return 0
	}
	got, _ := s.link.Applied()
	line := f.log.Timeline()
	to := line.FirstAfter(until)
	if !s.dead.IsZero() {
		to = min(s.since, line.FirstAfter(line.End()))
	}
	return max(0, f.shares.owned(0, to, func(n uint16) bool { return int(n) == s.n })-int64(got.Scheduled))
}
