package peer

import (
	"time"

	"lt/engine/load"
)

// quota is how many arrivals of the open model a source may have begun at the very most. Arrivals are numbered and tables say whose
// each is, so this is no estimate; more can only come from an error of ours, and a load that nobody ordered is worse than none.
type quota struct {
	log     *load.Log
	source  int
	index   int64 // what is below was looked at, under the log of that time
	planned int64
}

// at is the quota at the run time now: what was the source's so far, and 2 % and a few more. Before the arrival reached it may have
// begun all of its own, whatever the log says now: see replica.
func (q *quota) at(now time.Duration, reached int64) int64 {
	end := max(q.log.Timeline().FirstAfter(now), reached)
	from, table := int64(0), []uint16{0} // before the first epoch all is the first source's
	count := func(to int64) {
		if to = min(to, end); to > max(from, q.index) {
			own := func(n int64) int64 { return load.Share(n, table, q.source, 0, 1) }
			q.planned += own(to-from) - own(max(q.index-from, 0))
		}
	}
	for _, c := range q.log.Changes() {
		if c.Kind == load.Reshare {
			count(c.Epoch.From)
			from, table = c.Epoch.From, c.Epoch.Table
		}
	}
	count(end)
	q.index = max(q.index, end)
	return q.planned + q.planned/50 + 10
}
