package engine

import (
	"testing"
	"time"

	"lt/engine/limits"
)

// The last interval of a run may be a millisecond in which the process did nothing but end it: it must not look as if a
// whole core had been in use.
func TestShortIntervalKeepsTheShares(t *testing.T) {
	var used time.Duration
	e := &Engine{cfg: Config{Reading: func() limits.Reading { return limits.Reading{CPU: used} }}}
	a := newAudit(e, nil)
	a.at = time.Now().Add(-time.Second)
	used += 100 * time.Millisecond
	whole := a.read(0)
	if whole.CPU < 0.05 || whole.CPU > 0.15 {
		t.Fatalf("a second with 100 ms of work: %.3f cores", whole.CPU)
	}
	a.at = time.Now().Add(-time.Millisecond)
	used += time.Millisecond
	if short := a.read(0); short.CPU != whole.CPU {
		t.Errorf("a millisecond of work: %.3f cores, before it %.3f", short.CPU, whole.CPU)
	}
}
