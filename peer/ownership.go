package peer

import (
	"math"
	"slices"
	"time"

	"lt/engine/load"
	"lt/peer/wire"
)

// Applied implements observer.
func (e *ears) Applied(n int, a wire.Applied) {
	f := (*Fleet)(e)
	f.peer(n, func(s *source, _ time.Time) {
		f.stoppedLate(s, a)
		f.toldLate(s, a)
		f.follows(s, a.Count, a.Late)
	})
}

// stoppedLate says that a source heard of a stop after its time. It went on until then; what it began is its own, and is reported.
func (f *Fleet) stoppedLate(s *source, a wire.Applied) {
	changes := f.log.Changes()
	for _, c := range changes[min(s.known, len(changes)):min(max(a.Count, s.known), len(changes))] {
		if c.Kind == load.Stop && c.At == f.log.Timeline().End() && a.At > c.At+load.Hearing && s.living() {
			f.say("%s heard of the stop %s late: what it began until then counts", s.name, short(a.At-c.At))
			return
		}
	}
}

// follows notes that a source has followed all epochs up to an entry of the log, those of which it learnt too late from an arrival
// on. Until then it went on as before, which counts: it made what it had given up, and did not make what it had taken up.
//
// For a source that is given up count is math.MaxInt, and late beyond all that it may have begun.
func (f *Fleet) follows(s *source, count int, late int64) {
	sh := &f.shares
	if count != math.MaxInt {
		s.known = max(s.known, count)
	}
	var first *epoch
	for i := range sh.epochs {
		e := &sh.epochs[i]
		if _, waits := e.waiting[s.n]; !waits || e.count > count {
			continue
		}
		delete(e.waiting, s.n)
		if first == nil {
			c := *e
			first = &c
		}
	}
	if first != nil && !f.closedModel() {
		sh.late(stretch{s.n, max(first.from, s.since), late, first.before, count == math.MaxInt})
		s.since = max(s.since, late) // up to there it is written down what it had
	}
	for _, e := range sh.epochs {
		if _, waits := e.waiting[s.n]; waits {
			return
		}
	}
	for i, h := range sh.held {
		if int(h) == s.n {
			sh.held[i], sh.safe[i] = nobody, max(s.since, late)
			sh.dirty = true
		}
	}
}

// heardOf are the plans by which a source may be working: that of the changes which it confirmed, and those of each further one, of
// which it may have heard.
func (f *Fleet) heardOf(s *source) (lines []*load.Timeline) {
	log := load.NewLog(&f.cfg.File.Load)
	for i, c := range f.log.Changes() {
		if i >= s.known {
			lines = append(lines, log.Timeline())
		}
		if c.Kind != load.Reshare && log.Append(c) != nil {
			break // there is none that the fleet's log has and this one does not take
		}
	}
	return append(lines, log.Timeline())
}

// beyond is the first arrival that a source surely has not begun at a run time. It is not always that of the plan: of changes of the
// level, or of a stop, after those that it confirmed it may not have heard.
func (f *Fleet) beyond(s *source, run time.Duration) (most int64) {
	for _, line := range f.heardOf(s) {
		most = max(most, line.FirstAfter(run))
	}
	return most
}

// stretch is arrivals from..until-1 in which a source had what an earlier table gave it; of no table, nothing. Open is one of a
// source that was given up before it could confirm a table: nobody knows whether it had the earlier one or the later one, and
// what either gave it may have been begun.
type stretch struct {
	n           int
	from, until int64
	table       []uint16
	open        bool
}

// late notes a stretch.
func (sh *shares) late(s stretch) {
	if s.from < s.until {
		sh.stretches = append(sh.stretches, s)
	}
}

// known is the first arrival of which it is not yet known who followed which table.
func (sh *shares) known() int64 {
	for _, e := range sh.epochs {
		if len(e.waiting) > 0 {
			return e.from
		}
	}
	return math.MaxInt64
}

// owned is how many of the arrivals from..to-1 belonged to numbers that which wants, as far as it is known who followed which
// table.
func (sh *shares) owned(from, to int64, which func(n uint16) bool) int64 {
	edges := []int64{from, to}
	edge := func(at int64) {
		if from < at && at < to {
			edges = append(edges, at)
		}
	}
	for _, e := range sh.epochs {
		edge(e.from)
	}
	for _, s := range sh.stretches {
		edge(s.from)
		edge(s.until)
	}
	slices.Sort(edges)
	total := int64(0)
	for i, lo := range edges[:len(edges)-1] {
		if hi := edges[i+1]; lo < hi {
			total += wanted(sh.had(lo), lo, hi, which)
		}
	}
	return total
}

// had is the table by which arrival i belonged to whom it did.
func (sh *shares) had(i int64) []uint16 {
	k := len(sh.epochs) - 1
	for k > 0 && sh.epochs[k].from > i {
		k--
	}
	table, own := sh.epochs[k].owner, false
	for _, s := range sh.stretches {
		if i < s.from || i >= s.until {
			continue
		}
		if !own {
			table, own = slices.Clone(table), true
		}
		for j := range table {
			switch {
			case s.table != nil && int(s.table[j]) == s.n:
				table[j] = s.table[j]
			case int(table[j]) == s.n && !s.open:
				table[j] = nobody
			}
		}
	}
	return table
}

// wanted is how many of the arrivals lo..hi-1 a table gives to numbers that which wants.
func wanted(table []uint16, lo, hi int64, which func(n uint16) bool) int64 {
	total := int64(0)
	for j, n := range table {
		if which(n) {
			total += inEntry(j, len(table), lo, hi)
		}
	}
	return total
}

// inEntry is how many of the numbers lo..hi-1 are entry j of a table of that size.
func inEntry(j, size int, lo, hi int64) int64 {
	below := func(n int64) int64 { return (n - int64(j) + int64(size) - 1) / int64(size) }
	return max(0, below(hi)-below(lo))
}
