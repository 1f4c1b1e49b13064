// Package knee turns measured points of a run into the curve of goodput and response time against offered load.
package knee

import "time"

// Point is what was measured while the offered load stayed within one narrow range: a stage held, or a window of a ramp.
// Rates are requests a second, Arrivals iterations a second; the Low and High ends are 95 % intervals of the mean goodput
// and of the percentiles' spread over the seconds of the window.
type Point struct {
	From, To                         time.Duration // run time
	Stage                            int
	Arrivals, Offered                float64
	Goodput, GoodputLow, GoodputHigh float64
	P50, P50Low, P50High             time.Duration
	P99, P99Low, P99High             time.Duration
	ErrorRate                        float64 // 0..1
	InFlight                         float64 // mean
	Seconds                          int     // that went into it
	Requests                         uint64
	Dropped                          uint64        // arrivals given up, which the percentiles count with the time they had waited
	DroppedFrom                      time.Duration // the shortest of these times
}

// LowerBound reports whether one of the percentiles is only a lower bound of the true one, because a dropped arrival may lie
// above it that counts below it.
func (p *Point) LowerBound(percentile time.Duration) bool {
	return p.Dropped > 0 && percentile >= p.DroppedFrom
}
