package ledger

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"lt/engine/metrics"
)

// book is the account of one source: whether what it delivered covers the time from its first to its last word.
// Sums need no order, so intervals may come late or joined.
type book struct {
	any         bool
	first, last time.Duration // run time that its intervals span
	covered     time.Duration // the sum of their lengths
	due         uint64        // requests that became due in them
	final       bool
}

func (b *book) enter(iv *metrics.Interval) {
	if !b.any || iv.From < b.first {
		b.first = iv.From
	}
	b.any = true
	b.last = max(b.last, iv.From+iv.Length)
	b.covered += iv.Length
	b.due += iv.Due
	b.final = b.final || iv.Final
}

// tolerance is how much of a source's time may be missing by rounding of interval edges.
const tolerance = 500 * time.Millisecond

// missing is the time that the source owes, from its first word to its last, and up to end if it never said that it was done.
func (b *book) missing(end time.Duration) time.Duration {
	last := b.last
	if !b.final {
		last = max(last, end)
	}
	if owed := last - b.first - b.covered; owed > tolerance {
		return owed
	}
	return 0
}

// Data says whether the account of every source adds up: that of a source elsewhere by double entry, else by the time that its
// intervals cover. If not, the reasons are sentences, and unreported is an estimate of
// the requests that are missing: the time owed by each source, at the mean rate of what it did report. While the run goes
// on, nothing is owed for what is still to come.
func (l *Ledger) Data() (complete bool, unreported uint64, reasons []string) {
	if l.end == nil {
		reasons = append(reasons, fmt.Sprintf("the run has no end yet, or its record was cut off: this is how it stood after %s", l.now.Round(time.Second)))
	}
	for _, name := range slices.Sorted(maps.Keys(l.states)) {
		b := l.books[name]
		if a := l.states[name].Account; a != nil {
			// Who has an account has been asked, which says more than the time that its figures cover: a peer that is lost and comes
			// back owes nothing for the time between.
			if !a.Whole {
				unreported += a.Unreported
				reasons = append(reasons, name+": "+a.Text)
			}
			continue
		}
		switch {
		case b == nil && l.end != nil && l.states[name].State != "refused" && l.end.At > time.Second:
			reasons = append(reasons, fmt.Sprintf("%s never reported anything", name))
			continue
		case b == nil:
			continue
		}
		var end time.Duration
		if l.end != nil {
			end = l.end.At
		}
		if owed := b.missing(end); owed > 0 {
			n := uint64(float64(b.due) * float64(owed) / float64(max(b.covered, 1)))
			unreported += n
			reasons = append(reasons, fmt.Sprintf("%s did not report %s of its time, about %d requests", name, owed.Round(100*time.Millisecond), n))
		}
	}
	return len(reasons) == 0, unreported, reasons
}
