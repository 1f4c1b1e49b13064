package metrics

import (
	"math"
	"slices"
	"time"
)

// series is the long memory of a run. Its newest seconds (liveSeconds) are whole in the tally, and what comes late amends them.
// An older second is sealed: it becomes a point of level 0, whose points are seconds, and goes into the open point of the level
// above, whose points are twice as long; that one, when it is full, is sealed in the same way. So every point is made of merged
// histograms, however long it is, and yet only one histogram a level is kept. The open points are disjoint: that of a level begins
// where its next point does and ends where that of the level below begins.
//
// The picture of the whole run is the lowest level that needs no more than MaxPoints points. Below it only level 0 is kept, for as
// far back as it has room.
type series struct {
	levels [levels]level
	whole  int // the level that shows the whole run
	sealed int // seconds below it are sealed
	dirty  int // first second that changed since the picture was made
	steps  int
	rate   float64 // makes a rate of the counts of the last point of the whole run
	buf    sketch
}

// levels is how many lengths a point may have. The longest is 8,192 s.
const levels = 14

// level is the run in points of one length.
type level struct {
	every   int // seconds a point
	first   int // the number of the first point that is kept; those from first+len(points) on are not sealed
	points  []pointTimes
	p99     [][]float32  // by step, then by point
	open    cell         // the full points of the level below that belong to the next point
	partial partialPoint // what the next point was when it was last asked for
	shown   Series       // as it was published last
}

// partialPoint is the times of the seconds [from, to) of a point that is not full.
type partialPoint struct {
	cell
	from, to int
}

// pointTimes is what a point has from times; what it has from counts comes from the rows. Milliseconds, NaN where nothing was counted.
type pointTimes struct {
	quantiles [4]float32 // pointQuantiles
	heat      Heat
}

var pointQuantiles = [4]float64{.5, .9, .99, .999}

func (t *pointTimes) show(p *Point) {
	q := &t.quantiles
	p.P50, p.P90, p.P99, p.P999, p.Heat = float64(q[0]), float64(q[1]), float64(q[2]), float64(q[3]), t.heat
}

// cell is the response times of a second or more.
type cell struct {
	response resting
	steps    []sketch // by step, coarse
}

func (c *cell) merge(o *cell, buf *sketch) {
	c.response.merge(&o.response, buf)
	if c.steps == nil {
		c.steps = slices.Clone(o.steps)
		return
	}
	for i := range o.steps {
		c.steps[i] = c.steps[i].merge(o.steps[i], buf)
	}
}

// The heat bands are ten a decade from 10 µs to 100 s, with one band for what is faster and one for what is slower.
const heatBands = 72

// heatEdges are the lower edges of the heat bands. The last edge closes the last band.
var heatEdges = func() (edges [heatBands + 1]time.Duration) {
	for i := range heatBands - 1 {
		edges[i+1] = time.Duration(math.Round(10e3 * math.Pow(10, float64(i)/10))).Round(time.Microsecond)
	}
	edges[heatBands] = Longest + 1
	return edges
}()

func (s *series) init(steps int) {
	s.steps = steps
	for i := range s.levels {
		s.levels[i] = level{every: 1 << i, p99: make([][]float32, steps)}
	}
}

// point is the point of the whole run that holds a second.
func (s *series) point(row int) int { return row / s.levels[s.whole].every }

// touch notes that seconds from row on have changed.
func (s *series) touch(row int) { s.dirty = min(s.dirty, row) }

// reach makes the series long enough for so many seconds; live finds those that are not sealed yet, nil where nothing came.
func (s *series) reach(rows int, live func(row int) *second, errors map[kind]*errorSum) {
	for s.whole < levels-1 && s.point(rows-1) >= MaxPoints {
		if s.whole > 0 {
			s.levels[s.whole].forget()
		}
		s.whole++
		for _, g := range errors {
			g.halve()
		}
	}
	for ; s.sealed < rows-liveSeconds; s.sealed++ {
		var c cell
		if sec := live(s.sealed); sec != nil {
			c = sec.cell
			*sec = second{}
		}
		s.seal(&c)
	}
}

// seal makes the second c the next of level 0, and whatever that fills the next of the levels above.
func (s *series) seal(c *cell) {
	for i := range s.levels {
		l := &s.levels[i]
		if i == 0 || i >= s.whole {
			l.seal(c)
		}
		if i == 0 && len(l.points) > MaxPoints-liveSeconds {
			l.drop(MaxPoints / 2)
		}
		if i+1 == len(s.levels) {
			return
		}
		up := &s.levels[i+1]
		up.open.merge(c, &s.buf)
		if (s.sealed+1)%up.every != 0 {
			return
		}
		full := up.open
		up.open = cell{}
		c = &full
	}
}

// seal makes c the next sealed point.
func (l *level) seal(c *cell) {
	l.points = append(l.points, c.point())
	for i := range l.p99 {
		l.p99[i] = append(l.p99[i], c.step99(i))
	}
}

// drop gives up the oldest n points, all of them sealed.
func (l *level) drop(n int) {
	l.first += n
	l.points = l.points[:copy(l.points, l.points[n:])]
	for i, line := range l.p99 {
		l.p99[i] = line[:copy(line, line[n:])]
	}
}

// forget gives up all points, for ever.
func (l *level) forget() { l.points, l.p99, l.shown = nil, nil, Series{} }

// late enters what came for a second that is sealed. Where it belongs to the open point of a level it counts as anything else; to a
// sealed point it adds its requests in the heat bands, but the percentiles are those of the times that were there when it was
// sealed.
func (s *series) late(row int, c *cell) {
	for i := range s.levels {
		l := &s.levels[i]
		if row/l.every == s.sealed/l.every {
			l.open.merge(c, &s.buf)
			return
		}
		if at := row/l.every - l.first; at >= 0 && at < len(l.points) {
			l.amend(at, c)
		}
	}
}

// amend enters c into a sealed point. Where nothing was known, c is what is known.
func (l *level) amend(at int, c *cell) {
	for i, line := range l.p99 {
		if math.IsNaN(float64(line[at])) {
			line[at] = c.step99(i)
		}
	}
	switch t, more := &l.points[at], c.point(); {
	case len(t.heat.Counts) == 0:
		*t = more
	case len(more.heat.Counts) > 0:
		t.heat = t.heat.plus(more.heat)
	}
}

func (h Heat) plus(o Heat) Heat {
	first, end := min(h.First, o.First), max(h.First+len(h.Counts), o.First+len(o.Counts))
	sum := Heat{first, make([]uint32, end-first)}
	for _, x := range []Heat{h, o} {
		for i, n := range x.Counts {
			sum.Counts[x.First-first+i] += n
		}
	}
	return sum
}

func (c *cell) point() pointTimes {
	var q [len(pointQuantiles)]float64
	c.response.milliseconds(pointQuantiles[:], q[:])
	t := pointTimes{heat: c.response.counts.heat()}
	for i := range q {
		t.quantiles[i] = float32(q[i])
	}
	return t
}

// step99 is the p99 of a step, in milliseconds; NaN where nothing was counted.
func (c *cell) step99(step int) float32 {
	out := [1]float64{math.NaN()}
	if step < len(c.steps) {
		c.steps[step].milliseconds(coarseBits, c.steps[step].count(), []float64{.99}, out[:])
	}
	return float32(out[0])
}

// seriesViews bring the pictures of the whole run and of its newest part, by second, up to date as far as the run is complete.
func (t *Tally) seriesViews(elapsed time.Duration) (whole, recent Series) {
	s := &t.series
	recent = t.levelView(&s.levels[0], elapsed)
	whole = recent
	if s.whole > 0 {
		whole = t.levelView(&s.levels[s.whole], elapsed)
	}
	s.dirty = math.MaxInt
	return whole, recent
}

// levelView shows a level. What was published before is not changed: slices are copied when something in them did.
func (t *Tally) levelView(l *level, elapsed time.Duration) Series {
	s := &t.series
	every := time.Duration(l.every) * time.Second
	last := min((len(t.rows)+l.every-1)/l.every, int((elapsed+every-1)/every))
	n := max(last-l.first, 0)
	old := &l.shown
	gone := l.first - int(old.From/every) // of the points published before
	kept := max(min(s.dirty/l.every-l.first, n-1, len(old.Points)-1-gone), 0)
	// With all its room from the start: what the picture takes does not grow with the run.
	v := Series{Every: every, From: time.Duration(l.first) * every, Points: make([]Point, n, MaxPoints), P99: make([][]float32, s.steps), Bands: heatEdges[:heatBands]}
	if kept > 0 {
		copy(v.Points[:kept], old.Points[gone:])
	}
	for i := range v.P99 {
		v.P99[i] = make([]float32, n)
		if kept > 0 {
			copy(v.P99[i][:kept], old.P99[i][gone:])
		}
	}
	for i := kept; i < n; i++ {
		p := &v.Points[i]
		if i < len(l.points) {
			l.points[i].show(p)
			for k := range v.P99 {
				v.P99[k][i] = l.p99[k][i]
			}
		} else {
			c := t.unsealed(l, l.first+i)
			now := c.point()
			now.show(p)
			for k := range v.P99 {
				v.P99[k][i] = c.step99(k)
			}
		}
		rate := t.count(p, l.first+i, l.every, elapsed)
		if l == &s.levels[s.whole] {
			s.rate = rate
		}
	}
	l.shown = v
	return v
}

// unsealed is the times of a point that is not sealed, or not wholly.
func (t *Tally) unsealed(l *level, i int) *cell {
	s := &t.series
	first, last := i*l.every, min((i+1)*l.every, len(t.rows))
	if l.every == 1 {
		if sec := t.findSecond(first); sec != nil {
			return &sec.cell
		}
		return &cell{}
	}
	var c partialPoint
	switch {
	case l.partial.from == first && l.partial.to >= max(first+1, s.sealed) && l.partial.to <= s.dirty:
		c = l.partial
		c.steps = slices.Clone(c.steps)
	case first < s.sealed:
		for j := 0; j < levels && s.levels[j].every <= l.every; j++ {
			c.merge(&s.levels[j].open, &s.buf)
		}
		c.to = s.sealed
	default:
		c.to = first
	}
	c.from = first
	for ; c.to < last; c.to++ {
		if c.to == last-1 { // the newest second is likely to change
			l.partial = c
			l.partial.steps = slices.Clone(c.steps)
		}
		if sec := t.findSecond(c.to); sec != nil {
			c.merge(&sec.cell, &s.buf)
		}
	}
	return &c.cell
}

// count adds up the rows of one point; rate makes a rate of its counts.
func (t *Tally) count(p *Point, i, every int, elapsed time.Duration) (rate float64) {
	first := i * every
	last := min(first+every, len(t.rows), int((elapsed+time.Second-1)/time.Second))
	var due, good, errors uint64
	var covered float64
	for k := first; k < last; k++ {
		w := &t.rows[k]
		covered += w.seconds()
		due += uint64(w.due)
		good += uint64(w.good)
		errors += uint64(w.errors)
		expected := 0
		for _, s := range t.sources {
			if s.expected(time.Duration(k) * time.Second) {
				expected++
			}
		}
		p.Gap = p.Gap || int(w.sources) < expected
	}
	p.Stage = t.stageAt(time.Duration(first)*time.Second + time.Duration(max(last-first, 1))*time.Second/2)
	if p.Stage == afterStages {
		p.Stage = NoStage
	}
	rate = per(max(covered, 0.001), i == 0)
	p.Offered, p.Goodput, p.Errors = float64(due)*rate, float64(good)*rate, float64(errors)*rate
	return rate
}
