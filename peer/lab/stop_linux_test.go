package lab

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// A stop by hand holds within half a second of the key, for peers that are far away when they hear of it, half of a round trip of 900 ms
// later, and it does not wait for a change that lies further ahead: the load that was to be raised in a second is not. Nothing is
// lost by it, and every account is whole.
func TestStopByHandOverALongWay(t *testing.T) {
	t.Parallel()
	const way = 450 * time.Millisecond
	// For the key's way through the terminal and a request's to the target; that the machine stood still is counted apart.
	const tolerance = 150 * time.Millisecond
	l := Loopback(t, 2, Options{Host: map[string]HostOptions{"": {Fault: true}}})
	l.Host("p1").Fault.Delay(Both, way, 0)
	f := l.screen("p1,p2", 90, 60*time.Second)
	f.plan.Skew = way // as well as such a link lets clocks be compared
	f.at(4 * time.Second)
	f.Type("+")
	f.Type("q")
	key, _ := f.does(4*time.Second+100*time.Millisecond, func() { f.Type("y") })
	for source, after := range map[int]time.Duration{0: 0, 1: way, 2: 0} {
		f.silentFrom(source, f.by(key, 500*time.Millisecond+tolerance)+after)
	}
	Await(t, 20*time.Second, "the links to be closed", func() bool { return len(f.clients()) == 0 })
	f.Type("q")
	s, found := f.end(97)
	if s.Run.Ended != "user" || s.Verdict.Data != "complete" || s.Totals.Unreported != 0 || s.Totals.Shortfall != 0 || int64(found.Requests) != s.Totals.Requests {
		t.Errorf("%+v, %+v, %+v; the target saw %d", s.Run, s.Totals, s.Verdict, found.Requests)
	}
	for _, want := range []string{"load set to 110 % of the profile", "stopped before it could take effect: load set to 110 %"} {
		if !slices.ContainsFunc(s.Events, func(e Event) bool { return strings.Contains(e.Text, want) }) {
			t.Errorf("no event says %q: %+v", want, s.Events)
		}
	}
	for _, h := range l.Hosts {
		if row := s.Source(h.Name); row.State != "done" {
			t.Errorf("%+v", row)
		}
	}
}
