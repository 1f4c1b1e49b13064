package wire

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// sim has two clocks: that of the coordinator is true time, the peer's is offset and drifts.
type sim struct {
	now, offset time.Duration
	drift       float64 // of the peer's clock, a part of the time
}

func (s *sim) peer() time.Duration {
	return s.now - s.offset + time.Duration(float64(s.now)*s.drift)
}

// exchange lets a beat and its answer travel.
func (s *sim) exchange(up, hold, down time.Duration) Stamps {
	var st Stamps
	st.Sent = s.peer()
	s.now += up
	st.Received = s.now
	s.now += hold
	st.Replied = s.now
	s.now += down
	st.Arrived = s.peer()
	return st
}

// The truth is always within the bound, however asymmetric the ways and however the clocks drift, and the bound is no wider than
// half of the smallest round trip and what a minute of drift can add.
func TestClockIsWithinItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delay, hold := rapid.Int64Range(int64(10*time.Microsecond), int64(2*time.Second)), rapid.Int64Range(0, int64(10*time.Millisecond))
		s := sim{
			now:    time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "now")),
			offset: time.Duration(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "offset")),
			drift:  rapid.Float64Range(-400e-6, 400e-6).Draw(t, "drift"),
		}
		var c Clock
		var least time.Duration
		for i := range rapid.IntRange(1, 60).Draw(t, "stamps") {
			st := s.exchange(time.Duration(delay.Draw(t, "up")), time.Duration(hold.Draw(t, "hold")), time.Duration(delay.Draw(t, "down")))
			if c.Add(st) && (i == 0 || st.RTT() < least) {
				least = st.RTT()
			}
			e := c.At(s.peer())
			truth := s.now - s.peer()
			// While an answer is held or under way the clocks drift as well: a few µs.
			if off := max(e.Offset-truth, truth-e.Offset); off > e.Bound+3*time.Millisecond {
				t.Fatalf("the offset is %v, estimated as %v +- %v", truth, e.Offset, e.Bound)
			}
			if e.Bound > c.least()/2+35*time.Millisecond || e.RTT != c.least() || e.Probes < 1 {
				t.Fatalf("%+v, and the smallest round trip is %v", e, c.least())
			}
			s.now += time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "pause"))
		}
	})
}

// One way takes 20 ms and the other 80: the error is what that makes it, 30 ms, and the bound owns up to it.
func TestClockAsymmetric(t *testing.T) {
	s := sim{offset: time.Hour}
	var c Clock
	for range 16 {
		c.Add(s.exchange(20*time.Millisecond, 0, 80*time.Millisecond))
		s.now += 30 * time.Millisecond
	}
	e := c.At(s.peer())
	if d := e.Offset - time.Hour; d < -30*time.Millisecond || d > -29*time.Millisecond {
		t.Error(d)
	}
	if e.Bound < 50*time.Millisecond || e.Bound > 51*time.Millisecond || e.RTT != 100*time.Millisecond || e.Probes != 16 {
		t.Errorf("%+v", e)
	}
}

// Stamps that were taken while the way was full do not count; those of a minute ago do not either.
func TestClockChoosesItsStamps(t *testing.T) {
	var c Clock
	s := sim{}
	if e := c.At(0); e != (Estimate{}) {
		t.Errorf("%+v", e)
	}
	c.Add(s.exchange(5*time.Millisecond, 0, 5*time.Millisecond))
	if c.Add(s.exchange(500*time.Millisecond, 0, 5*time.Millisecond)) {
		t.Error("a stamp of a full way was taken")
	}
	if !c.Add(s.exchange(9*time.Millisecond, 0, 9*time.Millisecond)) {
		t.Error("a stamp of nearly the usual round trip was not taken")
	}
	for _, bad := range []Stamps{{Sent: 10, Arrived: 5}, {Received: 10, Replied: 5, Arrived: 1 << 40}, {Received: 0, Replied: 100, Sent: 1 << 40, Arrived: 1<<40 + 50}, {}} {
		if c.Add(bad) {
			t.Errorf("%+v was taken", bad)
		}
	}
	s.now += 2 * clockWindow
	// The way became longer for good: after a minute the old one is forgotten.
	if !c.Add(s.exchange(200*time.Millisecond, 0, 200*time.Millisecond)) {
		t.Error("the new way was not believed")
	}
	if e := c.At(s.peer()); e.RTT != 400*time.Millisecond || e.Probes != 1 {
		t.Errorf("%+v", e)
	}
	for range 10_000 {
		c.Add(s.exchange(0, 0, 0))
	}
	if len(c.stamps) > clockStamps {
		t.Error(len(c.stamps))
	}
}

// What a round trip takes at most is known at once when a way becomes long, and forgotten within seconds when it is short again; what
// it takes at best, and with it the bound, stays what it was.
func TestClockKnowsASlowWay(t *testing.T) {
	var c Clock
	s := sim{}
	beat := func(way time.Duration) Estimate {
		c.Add(s.exchange(way, time.Millisecond, way))
		e := c.At(s.peer())
		s.now += 500 * time.Millisecond
		return e
	}
	for range 10 {
		beat(5 * time.Millisecond)
	}
	if e := beat(300 * time.Millisecond); e.RTT != 10*time.Millisecond || e.Slowest != 600*time.Millisecond {
		t.Errorf("%+v", e)
	}
	for i := range 12 {
		if e := beat(5 * time.Millisecond); i < 8 && e.Slowest != 600*time.Millisecond || i > 9 && e.Slowest != 10*time.Millisecond {
			t.Errorf("heartbeat %d after it: %+v", i, e)
		}
	}
	if e := c.At(s.peer() + time.Minute); e.Slowest != 0 {
		t.Errorf("%+v", e)
	}
	for range 10_000 {
		c.Add(s.exchange(0, 0, 0))
	}
	if len(c.trips) > clockStamps {
		t.Error(len(c.trips))
	}
}

func TestNowIsMonotonic(t *testing.T) {
	a := Now()
	time.Sleep(10 * time.Millisecond)
	if d := Now() - a; d < 9*time.Millisecond || d > 10*time.Second {
		t.Error(d)
	}
}
