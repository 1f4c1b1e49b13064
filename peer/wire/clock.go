package wire

import "time"

// Stamps are the four times of one heartbeat and its answer: sent and answer arrived on the peer's clock, received and replied on
// the coordinator's.
type Stamps struct{ Sent, Received, Replied, Arrived time.Duration }

// RTT is the round trip without the time that the coordinator took to answer.
func (s Stamps) RTT() time.Duration { return (s.Arrived - s.Sent) - (s.Replied - s.Received) }

// Offset is the coordinator's clock less the peer's, if both ways took the same time. Whatever they took, the truth is within
// half of the round trip of it, because neither took less than nothing (Cristian 1989; RFC 5905, section 8).
func (s Stamps) Offset() time.Duration {
	return ((s.Received - s.Sent) + (s.Replied - s.Arrived)) / 2
}

const (
	clockWindow = 60 * time.Second
	// clockDrift is how far two clocks may come apart, as a part of the time: quartz is within 100 ppm, and the kernel corrects
	// it by at most 500 ppm. With it the bound of an old stamp grows, and a fresh one of a slightly longer round trip wins.
	clockDrift = 500e-6
	// clockStamps bounds what is kept of the window: two stamps a second and the ones at the start.
	clockStamps = 256
	// tripWindow is how long a round trip counts as one of late: those of ten heartbeats, so that one that took long is not the last
	// word, and none that came through by luck is either.
	tripWindow = 5 * time.Second
)

// Estimate is what is known of the difference of two clocks.
type Estimate struct {
	Offset time.Duration // coordinator's clock less the peer's
	Bound  time.Duration // the truth is within Offset +- Bound
	RTT    time.Duration // smallest of the window
	Probes int           // stamps of the window that were taken
	// Slowest is the largest round trip of the last five seconds, also of stamps that were not taken: how long a message and its answer
	// may take now, when the smallest says how long they took at best. 0: there was none.
	Slowest time.Duration
}

// Clock estimates the difference of two clocks from stamps: the one with the tightest bound in the last minute holds. Stamps whose
// round trip was more than twice the smallest say nothing and are left out. The zero value is ready; for one goroutine.
type Clock struct {
	stamps []Stamps // of the window, in order of arrival
	trips  []trip   // of the tripWindow, likewise
}

// trip is one round trip.
type trip struct{ arrived, took time.Duration }

// Add enters stamps and reports whether they were taken: they are refused if they cannot be true (something arrived before it was
// sent), if they are older than the newest, or if their round trip was long.
func (c *Clock) Add(s Stamps) bool {
	if n := len(c.stamps); s.Arrived < s.Sent || s.Replied < s.Received || s.RTT() < 0 || n > 0 && s.Arrived < c.stamps[n-1].Arrived {
		return false
	}
	old := 0
	for old < len(c.trips) && (s.Arrived-c.trips[old].arrived > tripWindow || len(c.trips)-old >= clockStamps) {
		old++
	}
	c.trips = append(append(c.trips[:0], c.trips[old:]...), trip{s.Arrived, s.RTT()})
	first := 0
	for first < len(c.stamps) && (s.Arrived-c.stamps[first].Arrived > clockWindow || len(c.stamps)-first >= clockStamps) {
		first++
	}
	c.stamps = append(c.stamps[:0], c.stamps[first:]...)
	if len(c.stamps) > 0 && s.RTT() > 2*c.least() {
		return false
	}
	c.stamps = append(c.stamps, s)
	return true
}

func (c *Clock) least() time.Duration {
	least := c.stamps[0].RTT()
	for _, s := range c.stamps[1:] {
		least = min(least, s.RTT())
	}
	return least
}

// At is the estimate at a time of the peer's clock; the zero value if there are no stamps yet.
func (c *Clock) At(now time.Duration) Estimate {
	if len(c.stamps) == 0 {
		return Estimate{}
	}
	e := Estimate{Bound: 1<<63 - 1, RTT: c.least(), Probes: len(c.stamps)}
	for _, t := range c.trips {
		if now-t.arrived <= tripWindow {
			e.Slowest = max(e.Slowest, t.took)
		}
	}
	for _, s := range c.stamps {
		age := max(now-s.Arrived, 0)
		// The answer's way takes half of what the round trip may be wrong by; odd nanoseconds count up.
		if b := (s.RTT()+1)/2 + time.Duration(float64(age)*clockDrift); b < e.Bound {
			e.Offset, e.Bound = s.Offset(), b
		}
	}
	return e
}
