package peer

import (
	"testing"
	"time"
)

// A source that was given up may have reported beyond that, as long as it finished what was in hand when its lease ended. What it did
// not begin is told with a time that a ledger takes all the same: one that ends before it begins is none, and its arrivals would be
// missing without being declared.
func TestAGapBeforeTheLastReportHasItsTime(t *testing.T) {
	f := &Fleet{told: make(chan struct{}, 1)}
	f.missed(24*time.Second, 20*time.Second, 131)
	if len(f.backlog) != 1 || f.backlog[0].Gap == nil {
		t.Fatalf("%+v", f.backlog)
	}
	if g := f.backlog[0].Gap; g.To < g.From || g.To != 20*time.Second || g.Arrivals != 131 {
		t.Errorf("%d arrivals are missing from %v to %v", g.Arrivals, g.From, g.To)
	}
}
