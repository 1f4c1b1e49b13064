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
	e := &Engine{cfg: Config{Reading: func() limits.Reading { return limits.Reading{CPU: used} }}, origins: &origins{}}
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

// Each of our own addresses has its local ports, so more of them is the cure that it is said to be.
func TestSourceAddressesHaveTheirOwnPorts(t *testing.T) {
	for _, tc := range []struct {
		sources []string
		want    int
	}{{nil, 1000}, {[]string{"127.0.0.7"}, 1000}, {[]string{"127.0.0.7", "127.0.0.8", "127.0.0.9"}, 3000}, {[]string{"127.0.0.7", "127.0.0.8", "::1"}, 1000}} {
		f := get(once(1))
		f.HTTP.SourceIPs = tc.sources
		e := prepare(t, f, nil, &outcome{}, func(c *Config) {
			c.Reading = func() limits.Reading { return limits.Reading{Ports: 900, Files: 900, PortLimit: 1000} }
		})
		if got := newAudit(e, nil).read(0); got.PortLimit != tc.want || got.Ports != 900 {
			t.Errorf("%v: %d ports of %d, want 900 of %d", tc.sources, got.Ports, got.PortLimit, tc.want)
		}
	}
}
