package metrics

import "time"

// Quantiles sums up one histogram. Times are zero when Count is. Mean and StdDev are exact, not from bucket middles.
type Quantiles struct {
	Count                              uint64
	Min, Mean, StdDev                  time.Duration
	P50, P75, P90, P95, P99, P999      time.Duration
	Max                                time.Duration
	AtLeast                            bool          // dropped arrivals are among the values: the true times would have been longer
	AtLeastFrom                        time.Duration // the shortest wait of a dropped one; see LowerBound
	P99Low, P99High, P999Low, P999High time.Duration // 95 % intervals by rank, for the small counts at which they are printed grey
}

// LowerBound reports whether one of the percentiles (or the maximum) is only a lower bound of the true one, and so printed with
// >=. A dropped arrival is counted with the time that it had waited, and its true time would have been longer. Where all
// dropped ones had waited longer than a percentile says they lie above it anyhow, and it stands; else some could have moved
// from below it to above it.
func (q *Quantiles) LowerBound(percentile time.Duration) bool {
	return q.AtLeast && percentile >= q.AtLeastFrom
}

// dropped marks a summary of response times in which so many dropped arrivals are, of which the shortest had waited from.
func (q *Quantiles) dropped(n uint64, from time.Duration) {
	q.AtLeast, q.AtLeastFrom = n > 0, from
}

// Snapshot is an immutable picture of a run so far, built from all intervals that have arrived. It is safe to keep, to
// compare, and to read from many goroutines.
type Snapshot struct {
	Elapsed time.Duration // run time up to which the picture is complete
	Totals  Totals        // without warm-up, pauses, setup and teardown
	Window  Window        // the last 10 s (or less), warm-up included, for the row of figures
	Steps   []StepView    // in journey order, setup and teardown rows included
	Stages  []StageView   // that have begun
	Sources []SourceView
	Errors  []ErrorView // most frequent first
	Series  Series      // the whole run
	Recent  Series      // the newest minutes, by second
	Verdict Verdict
}

// Totals are sums and rates over the counted part of a run: profile time without warm-up and pauses.
type Totals struct {
	Counted      time.Duration // the time that rates refer to
	Requests     uint64
	Errors       uint64
	ErrorRate    float64 // (errors + dropped) / (requests + dropped), 0..1
	Iterations   uint64
	Failed       uint64
	Unfinished   uint64
	Scheduled    uint64
	Started      uint64
	Late         uint64
	Dropped      uint64
	Stale        uint64
	BytesIn      uint64
	BytesOut     uint64
	UsersPeak    int
	InFlightPeak int
	Opened       uint64
	Shortfall    uint64 // arrivals scheduled and neither begun nor dropped, and those that no source was there to begin

	ArrivalsRPS, OfferedRPS, ThroughputRPS, GoodputRPS float64

	Response, Service Quantiles // headline: waited outcomes
	CutShort          Quantiles // response times of the others
	Lag, Queued       Quantiles
}

// Window is what the row of figures shows: the last Length of complete seconds.
type Window struct {
	Length                                  time.Duration
	OfferedRPS, ThroughputRPS, GoodputRPS   float64
	ErrorRate                               float64
	Response, Lag                           Quantiles
	InFlight, Users, QueuedNow, Connections int
}

// StepView is one row of the table of steps, over the whole run so far (warm-up left out as in the totals).
type StepView struct {
	StepName
	ID            int
	Requests      uint64
	Attempts      uint64
	Errors        uint64
	Dropped       uint64
	ByClass       [Classes]uint64
	Status        []StatusCount
	Reused        uint64
	Stale         uint64
	BytesIn       uint64
	BytesOut      uint64
	ThroughputRPS float64
	WindowRPS     float64 // last 10 s
	Response      Quantiles
	Service       Quantiles
	Phases        [Phases]Quantiles
	Share         float64 // of the time of an iteration of its scenario, 0..1
	Distribution  []Band  // response time, for the detail view
	ServiceBands  []Band
}

// Band is the number of requests with a time within [Low, High).
type Band struct {
	Low, High time.Duration
	Count     uint64
}

// StageView is one stage with what was intended within it.
type StageView struct {
	Name                                               string
	Index                                              int
	Warmup                                             bool
	From, To                                           time.Duration // run time; To is the present edge while it runs
	ErrorRate                                          float64
	ArrivalsRPS, OfferedRPS, ThroughputRPS, GoodputRPS float64
	Response                                           Quantiles
}

// SourceView is one place that load comes from.
type SourceView struct {
	Name                         string
	Kind                         string // local, ssh, exec
	Label                        string
	State                        string // starting, running, draining, done, lost, refused, left
	Weight                       int
	Share                        float64 // 0..1 of the load
	Asked                        float64 // arrivals a second
	Done                         float64 // arrivals begun a second, last 10 s
	Requests                     uint64
	Errors                       uint64
	BytesIn                      uint64
	BytesOut                     uint64
	Users, InFlight, Connections int
	Response                     Quantiles
	Lag                          Quantiles
	Audit                        Audit
	CPUPeak                      float64       // of its cores, 0..1
	FilesPeak                    int           // descriptors in use
	MemoryPeak                   uint64        // bytes in use
	Age                          time.Duration // of its newest data
	Clock, ClockBound, RTT       time.Duration
	StartSkew                    time.Duration
	LostAt                       time.Duration // negative: not lost
	Reason                       string
	Verdict                      Verdict
	Step                         string        // while it starts, as Member.Step
	Progress                     float64       // of that step, 0..1; 0: unknown
	Starting                     time.Duration // that its start has taken, up to now or until it was ready
	Log                          []string      // last lines
}

// ErrorView is one group of errors.
type ErrorView struct {
	Class       Class
	Phase       Phase
	Status      int
	Step        StepName
	StepID      int
	Message     string
	Count       uint64
	First, Last time.Duration
	Example     string // masked and neutralised
	Hint        string // likely cause and next command, one line
	Sources     []string
	Series      []float64 // errors a second, one a point of Snapshot.Series
}

// Series is a run over time, in at most MaxPoints points. When the whole run would need more, two neighbours are joined, so the
// resolution halves and the memory stays; the newest part goes on by second beside it, at least MaxPoints/2 of them.
type Series struct {
	Every  time.Duration   // length of a point
	From   time.Duration   // run time at which the first point begins; zero for the whole run
	Points []Point         // point i covers [From+i*Every, From+(i+1)*Every)
	P99    [][]float32     // response time by step, then by point, milliseconds; NaN where nothing ended
	Bands  []time.Duration // lower edges of the heat bands: band b covers [Bands[b], Bands[b+1])
}

// MaxPoints bounds a Series.
const MaxPoints = 900

// Point is one step of a Series. Rates are a second. Percentiles are NaN where nothing ended; milliseconds.
type Point struct {
	Offered, Goodput, Errors float64
	P50, P90, P99, P999      float64
	Stage                    int16
	Gap                      bool // a living source did not deliver it
	Heat                     Heat // response time, waited
}

// Heat is the number of requests in each of some neighbouring bands of Series.Bands; the bands below First and above the last
// count hold none.
type Heat struct {
	First  int
	Counts []uint32
}

// Health is the generator's own state.
type Health uint8

// The states, mild to severe.
const (
	OK Health = iota
	Strained
	Saturated
)

// String is the state's name in files and on the screen.
func (h Health) String() string {
	switch h {
	case Strained:
		return "strained"
	case Saturated:
		return "saturated"
	}
	return "ok"
}

// Verdict says whether the figures are the target's or our own, and why. Reasons are sentences, the heaviest first.
type Verdict struct {
	Health  Health
	Reasons []string
}
