package engine

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// stallQuantile is the response time below which a share q of the requests stays when a target that answers after b
// freezes for s within a run of d at rate r, and then works its backlog off at rho = r/capacity:
//
//	Q(q) = b + max(0, s - (1-q)(1-rho) d)
//
// The affected requests are those intended within s/(1-rho) of the freeze, and the delays of their intended times are spread
// evenly over 0..s; the share 1-q of the largest is cut off.
func stallQuantile(q float64, b, s, d time.Duration, rho float64) time.Duration {
	return b + max(0, s-time.Duration((1-q)*(1-rho)*float64(d)))
}

// A target that freezes must lift the response times by the whole backlog, while the service times show the freeze only for
// what was in flight; and it must make no difference how few may be in flight.
func TestStallIsSeenWhateverTheLimit(t *testing.T) {
	const (
		rate = 200.0
		d    = 20 * time.Second
		s    = 5 * time.Second
		b    = 100 * time.Microsecond
	)
	for _, limit := range []int{0, 1000000, 100, 10, 4, 1} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tg := &target{release: frozen(b, 7*time.Second, s)}
				spec := even(rate, d)
				spec.MaxInFlight = limit
				o := play(t, get(spec), nil, over(tg))
				tg.wait.Wait()
				if want := uint64(rate * d.Seconds()); o.requests != want || o.scheduled != want || o.iterations != want {
					t.Fatalf("%d requests of %d iterations of %d arrivals, want %d of each", o.requests, o.iterations, o.scheduled, want)
				}
				if len(tg.seen) != int(o.requests) {
					t.Errorf("the target saw %d requests, %d were counted", len(tg.seen), o.requests)
				}
				rho := 0.0
				if limit > 0 {
					rho = rate * b.Seconds() / float64(limit)
				}
				for _, q := range []float64{0.5, 0.9, 0.95, 0.99, 0.999} {
					want := stallQuantile(q, b, s, d, rho)
					got := o.response.Quantile(q)
					if want >= 500*time.Millisecond {
						within(t, fmt.Sprintf("response p%g", q*100), got, want, 0.01)
					} else if got > 10*time.Millisecond {
						t.Errorf("response p%g is %v, want about %v", q*100, got, want)
					}
				}
				within(t, "response max", o.response.Max(), s+b, 0.01)
				mean := b + time.Duration(s.Seconds()*s.Seconds()/(1-rho)/d.Seconds()/2*1e9)
				within(t, "response mean", o.response.Mean(), mean, 0.01)
				if limit > 0 && limit <= 10 {
					// Only as many requests as may be in flight saw the freeze themselves.
					if p99 := o.service.Quantile(0.99); p99 > 10*time.Millisecond {
						t.Errorf("service p99 is %v with %d in flight: it must not show the freeze", p99, limit)
					}
					within(t, "the longest service", o.service.Max(), s+b, 0.01)
					if got, want := o.waiting.Max().Seconds(), s.Seconds()-float64(limit)/rate; math.Abs(got-want) > 0.02 {
						t.Errorf("the longest wait for a slot is %.3f s, want about %.3f s", got, want)
					}
				}
				if lag := o.lag.Max(); lag > 5*time.Millisecond {
					t.Errorf("lag is up to %v: waiting for a slot is not our delay", lag)
				}
			})
		})
	}
}

// An arrival that waits longer than drop_after is given up: counted, and its wait stands among the response times.
func TestDropAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := &target{release: frozen(time.Millisecond, 2*time.Second, 4*time.Second)}
		spec := even(100, 10*time.Second)
		spec.MaxInFlight, spec.DropAfter = 5, time.Second
		o := play(t, get(spec), nil, over(tg))
		tg.wait.Wait()
		if o.scheduled != 1000 || o.requests+o.dropped != 1000 {
			t.Fatalf("%d scheduled, %d requests, %d dropped: the parts are not the whole", o.scheduled, o.requests, o.dropped)
		}
		// In flight are five; what came in the four seconds of the freeze, less its last second, waited for a second in vain.
		if want := 300 - 5.0; math.Abs(float64(o.dropped)-want) > 3 {
			t.Errorf("%d dropped, want about %g", o.dropped, want)
		}
		if o.response.Count() != 1000 {
			t.Errorf("%d response times, want one for each arrival, dropped ones included", o.response.Count())
		}
		if o.service.Count() != o.requests {
			t.Errorf("%d service times of %d requests", o.service.Count(), o.requests)
		}
	})
}
