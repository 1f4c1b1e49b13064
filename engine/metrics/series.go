package metrics

import (
	"math"
	"slices"
	"time"
)

// series is the long memory behind Snapshot.Series: for each point what it takes to compute its percentiles again when it
// is joined with its neighbour. Counts come from the rows.
type series struct {
	every  int // seconds a point
	cells  []cell
	steps  [][]sketch // by step: response times, coarse
	dirty  int        // first point that changed since it was shown
	points []Point
	last   float64 // what makes a rate of the counts of the last of them
	p99    [][]float64
}

// cell is one point at rest.
type cell struct {
	response sketch // fine: joined points have exact percentiles
	service  sketch // coarse
	lag      sketch // coarse
	max      time.Duration
}

// heatEdges are the lower edges of the heat bands, ten a decade from 10 µs to 100 s, with one band for what is faster and
// one for what is slower. The last edge closes the last band.
var heatEdges = func() []time.Duration {
	edges := []time.Duration{0}
	for i := range 71 {
		edges = append(edges, time.Duration(math.Round(10e3*math.Pow(10, float64(i)/10))).Round(time.Microsecond))
	}
	return append(edges, Longest+1)
}()

func (s *series) init(steps int) {
	s.every = 1
	s.steps = make([][]sketch, steps)
	s.p99 = make([][]float64, steps)
}

// point is the point that holds a row.
func (s *series) point(row int) int { return row / s.every }

// touch notes that points from i on have changed.
func (s *series) touch(i int) { s.dirty = min(s.dirty, i) }

// reach makes the series long enough for a row, joining neighbours while it would have more than MaxPoints points.
func (s *series) reach(row int, errors map[kind]*errorSum) {
	for s.point(row) >= MaxPoints {
		s.join(errors)
	}
	for len(s.cells) <= s.point(row) {
		s.cells = append(s.cells, cell{})
	}
}

// join makes one point of every two.
func (s *series) join(errors map[kind]*errorSum) {
	s.every *= 2
	half := (len(s.cells) + 1) / 2
	for i := range half {
		c := s.cells[2*i]
		if 2*i+1 < len(s.cells) {
			o := s.cells[2*i+1]
			c = cell{c.response.merge(o.response), c.service.merge(o.service), c.lag.merge(o.lag), max(c.max, o.max)}
		}
		s.cells[i] = c
	}
	clear(s.cells[half:])
	s.cells = s.cells[:half]
	for k, old := range s.steps {
		joined := make([]sketch, (len(old)+1)/2)
		for i, sk := range old {
			joined[i/2] = joined[i/2].merge(sk)
		}
		s.steps[k] = joined
	}
	for _, g := range errors {
		joined := make([]uint32, (len(g.points)+1)/2)
		for i, n := range g.points {
			joined[i/2] += n
		}
		g.points = joined
	}
	s.dirty = 0
}

// add enters the times of one interval at a row.
func (s *series) add(row int, response, service, lag *Histogram) {
	c := &s.cells[s.point(row)]
	c.response = c.response.merge(response.appendSketch(nil, fineBits))
	c.service = c.service.merge(service.appendSketch(nil, coarseBits))
	c.lag = c.lag.merge(lag.appendSketch(nil, coarseBits))
	c.max = max(c.max, response.Max())
}

func (s *series) addStep(row, step int, response *Histogram) {
	p := s.point(row)
	for len(s.steps[step]) <= p {
		s.steps[step] = append(s.steps[step], nil)
	}
	s.steps[step][p] = s.steps[step][p].merge(response.appendSketch(nil, coarseBits))
}

var pointQuantiles = []float64{.5, .9, .95, .99, .999}

// fill computes the quantiles and heat of a point.
func (c *cell) fill(p *Point) {
	var q [5]float64
	c.response.milliseconds(fineBits, pointQuantiles, q[:])
	longest := ms(c.max)
	p.P50, p.P90, p.P95, p.P99, p.P999 = min(q[0], longest), min(q[1], longest), min(q[2], longest), min(q[3], longest), min(q[4], longest)
	p.Max = longest
	if len(c.response) == 0 {
		p.Max = math.NaN()
	}
	var one [1]float64
	c.service.milliseconds(coarseBits, []float64{.99}, one[:])
	p.ServiceP99 = one[0]
	c.lag.milliseconds(coarseBits, []float64{.99}, one[:])
	p.Lag99 = one[0]
	p.Heat = c.response.bands(heatEdges)
}

// seriesView brings the points up to date as far as the run is complete. What was published before is not changed: slices
// are copied when something in them did.
func (t *Tally) seriesView(elapsed time.Duration) Series {
	s := &t.series
	every := time.Duration(s.every) * time.Second
	n := min(len(s.cells), int((elapsed+every-1)/every))
	from := min(s.dirty, max(n-1, 0), max(len(s.points)-1, 0))
	points := make([]Point, n)
	copy(points[:from], s.points)
	for i := from; i < n; i++ {
		points[i], s.last = t.point(i, elapsed)
		s.cells[i].fill(&points[i])
	}
	for k := range s.steps {
		line := make([]float64, n)
		copy(line[:from], s.p99[k])
		for i := from; i < n; i++ {
			line[i] = math.NaN()
			if i < len(s.steps[k]) {
				s.steps[k][i].milliseconds(coarseBits, []float64{.99}, line[i:i+1])
			}
		}
		s.p99[k] = line
	}
	s.points, s.dirty = points, n
	return Series{Every: every, Points: points, Bands: slices.Clone(heatEdges[:len(heatEdges)-1])}
}

// point adds up the rows of one point; rate makes a rate of its counts.
func (t *Tally) point(i int, elapsed time.Duration) (p Point, rate float64) {
	first := i * t.series.every
	last := min(first+t.series.every, len(t.rows), int((elapsed+time.Second-1)/time.Second))
	var scheduled, due, answered, good, errors uint64
	var covered float64
	p.Sources = math.MaxInt
	for k := first; k < last; k++ {
		w := &t.rows[k]
		covered += w.seconds()
		scheduled += uint64(w.scheduled)
		due += uint64(w.due)
		answered += uint64(w.answers)
		good += uint64(w.good)
		errors += uint64(w.errors)
		p.Late += uint64(w.late)
		p.Dropped += uint64(w.dropped)
		p.Users, p.InFlight = max(p.Users, int(w.users)), max(p.InFlight, int(w.inFlight))
		p.Sources = min(p.Sources, int(w.sources))
		expected := 0
		for _, s := range t.sources {
			if s.expected(time.Duration(k) * time.Second) {
				expected++
			}
		}
		p.Gap = p.Gap || int(w.sources) < expected
	}
	if last <= first {
		p.Sources = 0
	}
	p.Stage = t.stageAt(time.Duration(first)*time.Second + time.Duration(max(last-first, 1))*time.Second/2)
	if p.Stage == afterStages {
		p.Stage = NoStage
	}
	rate = per(max(covered, 0.001), i == 0)
	p.Arrivals, p.Offered, p.Throughput, p.Goodput, p.Errors = float64(scheduled)*rate, float64(due)*rate, float64(answered)*rate, float64(good)*rate, float64(errors)*rate
	return p, rate
}
