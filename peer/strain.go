package peer

import (
	"time"

	"lt/engine/metrics"
)

const (
	// rebalanceEvery is the least time between two corrections of the shares, so that the effect of one is seen before the next.
	rebalanceEvery = 30 * time.Second
	// strainedFor is how many seconds in a row a source must be unable to keep up before a part of its share is moved.
	strainedFor = 10
	// backOff is what is left of a share after one correction: a machine without time to spare answers all of it at once with
	// queues, so a quarter less already says much, and a wrong guess costs little.
	backOff = 0.75
	// The thresholds are those of the generator's verdict (metrics): own lag against the response time, and the share of
	// processor time from which on a machine has none to spare for more.
	strainLag   = time.Millisecond
	strainRatio = 0.10
	strainCPU   = 0.85
	strainShard = 0.95
)

// strainState is what is remembered about sources that cannot keep up.
type strainState struct {
	last time.Time // of the last correction
}

// judge looks at how a source kept up in an interval.
func (f *Fleet) judge(s *source, iv *metrics.Interval) {
	a := &iv.Audit
	cpu := 0.0
	if a.Cores > 0 {
		cpu = a.CPU / a.Cores
	}
	s.hot = cpu >= strainCPU
	strained := s.hot || a.ShardCPU > strainShard
	if lag := iv.Lag.Quantile(.99); !strained && lag > strainLag {
		var response metrics.Histogram
		for i := range iv.Records {
			if r := &iv.Records[i]; r.Outcome == metrics.Waited {
				response.Add(&r.Response)
			}
		}
		strained = float64(lag) > strainRatio*float64(response.Quantile(.99))
	}
	for range max(1, int((iv.Length+time.Second/2)/time.Second)) { // a slow link joins seconds
		s.strained = append(s.strained, strained)
	}
	if n := len(s.strained); n > strainedFor {
		s.strained = s.strained[n-strainedFor:]
	}
}

// struggles says whether a source could not keep up for as long as it takes.
func (s *source) struggles() bool {
	if len(s.strained) < strainedFor {
		return false
	}
	for _, b := range s.strained {
		if !b {
			return false
		}
	}
	return true
}

// balance moves a part of the shares of peers that cannot keep up to those that can.
func (f *Fleet) balance(now time.Time) {
	if f.cfg.KeepShares || f.alone() || f.ending(now) || now.Sub(f.strain.last) < rebalanceEvery || f.shares.dirty {
		return
	}
	var weak, strong []string
	var giving []*source
	all := f.partners()
	for _, s := range all {
		switch {
		case !s.heard() || s.draining:
		case s.struggles():
			weak = append(weak, s.name)
			giving = append(giving, s)
		case !s.hot:
			strong = append(strong, s.name)
		}
	}
	switch {
	case len(weak) == 0:
		return
	case len(weak) == len(all):
		f.once("all strained", "no source keeps up with its share, and none can take from another: the load is more than they can make")
		return
	case len(strong) == 0:
		format := "%s does not keep up with its share, and no other source has processor time to spare for a part of it"
		if len(weak) > 1 {
			format = "%s do not keep up with their shares, and no other source has processor time to spare for a part of them"
		}
		f.once("none to spare", format, and(weak))
		return
	}
	for _, s := range giving {
		s.tilt *= backOff
		s.strained = nil
	}
	f.strain.last = now
	format := "%s does not keep up and gives a part of the load to the others"
	if len(weak) > 1 {
		format = "%s do not keep up and give a part of the load to the others"
	}
	f.redeal(format, and(weak))
}

// release stops drained sources whose share has gone to others.
func (f *Fleet) release(now time.Time) {
	for _, s := range f.all {
		if s == nil || !s.draining || s.stopped || !s.living() {
			continue
		}
		if s.stopAt.IsZero() {
			if f.owns(s) {
				continue
			}
			// What is due before the epoch that takes its share is still its own.
			s.stopAt = f.epoch.Add(f.shares.epochs[len(f.shares.epochs)-1].at + aloneAhead)
		}
		if now.Before(s.stopAt) {
			f.at(s.stopAt)
			continue
		}
		s.stopped = true
		if s.link == nil {
			f.local.Drain()
		} else {
			s.link.Stop(false)
		}
	}
}

// owns says whether a source has a share, or has not let go of one yet.
func (f *Fleet) owns(s *source) bool {
	for i, n := range f.shares.owner {
		if int(n) == s.n || int(f.shares.held[i]) == s.n {
			return true
		}
	}
	return false
}
