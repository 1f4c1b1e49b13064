package knee

import (
	"math"
	"slices"
	"time"

	"lt/engine/metrics"
)

const (
	// settle is what is left out after a change of load: while queues fill, neither the old nor the new level is measured.
	// It is 2 s or a fifth of the stage, whichever is less, so that a short stage keeps most of its seconds.
	settle      = 2 * time.Second
	settleShare = 5

	// window is the length of a point of a ramp: short enough that the load changes little within it, long enough that a
	// median of a few hundred requests stands behind it. A ramp of more than maxWindows of them has longer ones, in which the
	// load changes by no more than a hundredth of the ramp.
	window     = 4 * time.Second
	maxWindows = 100

	// open is how many seconds wait for sources that deliver late before they are folded into a point.
	open = 8

	// whole is the least part of a second that must have been reported for it to be measured.
	whole = 900 * time.Millisecond

	// maxSpread bounds the seconds whose own percentiles are kept to say how far they spread; beyond it every second one is
	// dropped and from then on only every second one is taken.
	maxSpread = 512
)

// Stage is what a curve has to know of a stage of the profile.
type Stage struct {
	Held   bool // one level throughout; false: a ramp
	Warmup bool // makes no points
	Length time.Duration
	Levels int // of a ramp in steps: it holds so many levels, equally long; 0: it climbs all the time
}

// Curve makes points out of the intervals of a run while it goes on: one for every piece of run time in which a stage was
// held, one for every window of a ramp or level of its steps. What lies in a pause, in warm-up, outside of stages, or within the settling
// time after a change makes none. Its memory grows by one Point a piece and no more. Only one goroutine may use it.
type Curve struct {
	stages []Stage
	steps  []metrics.StepName

	sealed  []Point // of the pieces to which nothing can be added any more
	pieces  []piece // the others, in the order of run time
	seconds [open]second
	newest  int // second that was reported last; -1 before the first
	sources map[string]bool
	stage   int // that holds or held last, pauses aside; -1 before the first
	changed bool
	points  []Point // the last answer of Points
}

// piece is run time [from, to) that yields one point, and what its seconds add up to.
type piece struct {
	stage    int
	from, to time.Duration
	every    time.Duration // a ramp is cut into windows that begin so far apart; 0: one level throughout
	rest     time.Duration // left out before the next window begins: a level of a ramp in steps has to settle
	part
}

// part is a sum over seconds. mean and m2 are Welford's running mean and sum of squared differences of the goodput.
type part struct {
	n                                  int
	last                               time.Duration // end of the latest
	arrivals, due, requests, bad, lost uint64
	lostFrom                           time.Duration // the shortest wait of a lost one
	inFlight                           float64
	mean, m2                           float64
	response                           metrics.Histogram
	p50, p99                           []time.Duration // of every stride-th second
	stride                             int
}

// second is one second of run time as the sources reported it.
type second struct {
	index                              int
	sources                            int
	covered                            time.Duration
	arrivals, due, requests, bad, lost uint64
	lostFrom                           time.Duration
	inFlight                           int
	response                           metrics.Histogram
}

// NewCurve makes a curve for a run with these stages and steps.
func NewCurve(stages []Stage, steps []metrics.StepName) *Curve {
	c := &Curve{stages: slices.Clone(stages), steps: slices.Clone(steps), newest: -1, stage: -1, sources: make(map[string]bool)}
	for i := range c.seconds {
		c.seconds[i].index = -1
	}
	return c
}

const forever = time.Duration(math.MaxInt64)

// Begin says that a stage holds from run time at on: at its own begin, and again when a pause, a hold or a change by hand
// has given the load another level. Whatever was measured before belongs to the piece before. A stage outside of the
// profile, such as metrics.NoStage in a pause, ends the piece before and makes no point. When the next level of a ramp in steps comes
// is not known any more once a pause or a hold has stopped the profile's clock: from a change on it is cut as every ramp.
func (c *Curve) Begin(stage int, at time.Duration) {
	c.End(at)
	if stage < 0 || stage >= len(c.stages) {
		return
	}
	again := stage == c.stage
	c.stage = stage
	s := c.stages[stage]
	if s.Warmup {
		return
	}
	from := at + min(settle, s.Length/settleShare)
	p := piece{stage: stage, from: ceil(from), to: forever} // only whole seconds are measured
	switch {
	case s.Held:
	case !again && s.Levels > 0 && s.Levels <= maxWindows && s.Length/time.Duration(s.Levels) >= window:
		p.every = s.Length / time.Duration(s.Levels)
		p.from = ceil(at + min(settle, p.every/settleShare))
		p.rest = p.from - at
	default:
		p.every = max(window, ceil(s.Length/maxWindows))
	}
	c.pieces = append(c.pieces, p)
}

// ceil is the whole second at or after d.
func ceil(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

// Level says that the load was set to another level at run time at, within the present stage: what follows is another point.
func (c *Curve) Level(at time.Duration) {
	if n := len(c.pieces); n > 0 && c.pieces[n-1].to == forever {
		c.Begin(c.pieces[n-1].stage, at)
	}
}

// End says that the present stage ends at run time at.
func (c *Curve) End(at time.Duration) {
	c.changed = true
	n := len(c.pieces)
	if n == 0 || c.pieces[n-1].to != forever {
		return
	}
	c.pieces[n-1].to = at
	if c.pieces[n-1].from >= at {
		c.pieces = c.pieces[:n-1]
	}
}

// Finish says that nothing more comes from any source.
func (c *Curve) Finish(at time.Duration) {
	c.End(at)
	clear(c.sources)
}

// Gone says that a source delivers nothing any more, unless it comes back.
func (c *Curve) Gone(source string) {
	c.changed = true
	delete(c.sources, source)
}

// Add takes one interval of one source. Nothing of it is kept.
func (c *Curve) Add(iv *metrics.Interval) {
	c.changed = true
	c.sources[iv.Source] = !iv.Final
	end := iv.From + max(iv.Length, 1)
	first, last := int(max(iv.From, 0)/time.Second), int(max(end-1, 0)/time.Second)
	first = max(first, last-open+1)
	c.reach(last)
	for k := first; k <= last; k++ {
		s := &c.seconds[k%open]
		if s.index != k {
			continue // older than what is still open
		}
		from := time.Duration(k) * time.Second
		s.covered = max(s.covered, min(end, from+time.Second)-max(iv.From, from))
		s.sources++
		s.inFlight += iv.InFlight
		s.arrivals += share(iv.Scheduled, first, last, k)
		s.due += share(iv.Due, first, last, k)
		for i := range iv.Records {
			c.record(s, &iv.Records[i], first, last, k)
		}
	}
}

func (c *Curve) record(s *second, r *metrics.Record, first, last, k int) {
	if int(r.Step) < len(c.steps) && c.steps[r.Step].Kind != metrics.KindStep {
		return
	}
	s.requests += share(r.Requests, first, last, k)
	s.bad += share(r.ErrorCount(), first, last, k)
	lost := share(r.Dropped, first, last, k)
	s.lostFrom = metrics.Shortest(s.lost, s.lostFrom, lost, r.DroppedFrom)
	s.lost += lost
	if r.Outcome == metrics.Waited && k == last {
		s.response.Add(&r.Response)
	}
}

// share spreads x over the seconds first..last so that the parts are the whole.
func share(x uint64, first, last, k int) uint64 {
	return metrics.Part(x, uint64(k-first), uint64(last-first+1))
}

// reach makes room for a second; those that fall out of the open ones are folded into their points.
func (c *Curve) reach(k int) {
	if k <= c.newest {
		return
	}
	for i := max(c.newest-open+1, 0); i <= min(c.newest, k-open); i++ {
		c.fold(&c.seconds[i%open])
	}
	for i := max(c.newest+1, k-open+1); i <= k; i++ {
		c.seconds[i%open] = second{index: i}
	}
	c.newest = k
	c.seal()
}

// seal makes points of the pieces that end before every open second, and lets go what they were made of.
func (c *Curve) seal() {
	oldest := time.Duration(c.newest-open+1) * time.Second
	n := 0
	for n < len(c.pieces) && c.pieces[n].to <= oldest {
		if p := &c.pieces[n]; p.n > 0 {
			c.sealed = append(c.sealed, point(p, &p.part))
		}
		n++
	}
	c.pieces = slices.Delete(c.pieces, 0, n)
}

// fold adds a second to the piece that it lies in.
func (c *Curve) fold(s *second) {
	if i := c.find(s); i >= 0 {
		c.pieces[i].add(s)
	}
}

// find is the position of the piece that a second lies wholly in; -1 if there is none or the second was not reported whole.
// A ramp's piece is cut here into windows as they fill, on a fixed grid, so that it does not matter when one asks.
func (c *Curve) find(s *second) int {
	if s.index < 0 || s.covered < whole {
		return -1
	}
	from := time.Duration(s.index) * time.Second
	for i := len(c.pieces) - 1; i >= 0; i-- {
		p := &c.pieces[i]
		if from < p.from {
			continue
		}
		if from+time.Second > p.to {
			return -1
		}
		if p.every == 0 {
			return i
		}
		begins := p.from + (from - p.from).Truncate(p.every)
		if from+time.Second > begins+p.every-p.rest {
			return -1
		}
		if begins == p.from {
			return i
		}
		next := piece{stage: p.stage, from: begins, to: p.to, every: p.every, rest: p.rest}
		p.to = p.from + p.every - p.rest
		c.pieces = slices.Insert(c.pieces, i+1, next)
		return i + 1
	}
	return -1
}

func (p *part) add(s *second) {
	p.n++
	p.last = max(p.last, time.Duration(s.index+1)*time.Second)
	p.arrivals += s.arrivals
	p.due += s.due
	p.requests += s.requests
	p.bad += s.bad
	p.lostFrom = metrics.Shortest(p.lost, p.lostFrom, s.lost, s.lostFrom)
	p.lost += s.lost
	p.inFlight += float64(s.inFlight)
	p.response.Add(&s.response)
	good := float64(s.requests-min(s.requests, s.bad)) / s.covered.Seconds()
	d := good - p.mean
	p.mean += d / float64(p.n)
	p.m2 += d * (good - p.mean)
	if s.response.Count() == 0 || (p.n-1)%max(p.stride, 1) != 0 {
		return
	}
	p.p50 = append(p.p50, s.response.Quantile(.5))
	p.p99 = append(p.p99, s.response.Quantile(.99))
	if len(p.p50) >= maxSpread {
		p.p50, p.p99, p.stride = everySecond(p.p50), everySecond(p.p99), 2*max(p.stride, 1)
	}
}

func everySecond(d []time.Duration) []time.Duration {
	for i := 0; 2*i < len(d); i++ {
		d[i] = d[2*i]
	}
	return d[:(len(d)+1)/2]
}

// clone is a copy to which seconds can be added without changing p.
func (p *part) clone() part {
	c := *p
	c.response = p.response.Clone()
	c.p50, c.p99 = slices.Clone(p.p50), slices.Clone(p.p99)
	return c
}

// Points are the points so far, in the order of run time; the last one grows while its stage is held. The slice belongs to
// the caller.
func (c *Curve) Points() []Point {
	if !c.changed {
		return slices.Clone(c.points)
	}
	c.changed = false
	living := c.living()
	sums := make(map[int]*part) // of the pieces that open seconds belong to
	for k := max(0, c.newest-open+1); k <= c.newest; k++ {
		s := &c.seconds[k%open]
		if s.index != k || s.sources < living {
			continue // who delivers late is waited for as long as a second is open
		}
		i := c.find(s)
		if i < 0 {
			continue
		}
		if sums[i] == nil {
			sum := c.pieces[i].clone()
			sums[i] = &sum
		}
		sums[i].add(s)
	}
	c.points = append(c.points[:0], c.sealed...)
	for i := range c.pieces {
		p := &c.pieces[i]
		sum := &p.part
		if sums[i] != nil {
			sum = sums[i]
		}
		if sum.n > 0 {
			c.points = append(c.points, point(p, sum))
		}
	}
	return slices.Clone(c.points)
}

// living is the number of sources that still deliver.
func (c *Curve) living() int {
	n := 0
	for _, alive := range c.sources {
		if alive {
			n++
		}
	}
	return n
}

// point is what a piece measured.
//
// The interval of the mean goodput is mean ± t·s/√n with Student's t for n−1 degrees of freedom and s the standard deviation
// of the seconds; for a single second s is taken as that of a Poisson count. The interval of a percentile is that of 95 % of
// the seconds' own percentiles, the least and the greatest where there are fewer than 40, widened to hold the merged one.
func point(p *piece, s *part) Point {
	n := float64(s.n)
	pt := Point{
		From: p.from, To: s.last, Stage: p.stage,
		Arrivals: float64(s.arrivals) / n, Offered: float64(s.due) / n, Goodput: s.mean,
		P50: s.response.Quantile(.5), P99: s.response.Quantile(.99),
		InFlight: s.inFlight / n, Seconds: s.n, Requests: s.requests, Dropped: s.lost, DroppedFrom: s.lostFrom,
	}
	if all := s.requests + s.lost; all > 0 {
		pt.ErrorRate = float64(s.bad+s.lost) / float64(all)
	}
	half := 1.96 * math.Sqrt(s.mean)
	if s.n > 1 {
		half = studentT(s.n-1) * math.Sqrt(s.m2/(n-1)/n)
	}
	pt.GoodputLow, pt.GoodputHigh = max(0, s.mean-half), s.mean+half
	pt.P50Low, pt.P50High = spread(s.p50, pt.P50)
	pt.P99Low, pt.P99High = spread(s.p99, pt.P99)
	return pt
}

func spread(of []time.Duration, middle time.Duration) (low, high time.Duration) {
	if len(of) == 0 {
		return middle, middle
	}
	d := slices.Sorted(slices.Values(of))
	cut := len(d) / 40 // 2.5 % at either end
	return min(d[cut], middle), max(d[len(d)-1-cut], middle)
}

// studentT is the two-sided 95 % point of Student's t distribution (Abramowitz and Stegun, table 26.10); beyond 30 degrees
// of freedom 1.96 + 2.4/df is within 0.1 % of it.
func studentT(df int) float64 {
	table := [...]float64{
		12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
		2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
	}
	if df <= len(table) {
		return table[df-1]
	}
	return 1.96 + 2.4/float64(df)
}
