package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"lt/engine/ledger"
	"lt/engine/metrics"
)

// SummarySchema names the version of the summary. Keys never disappear in a later one.
const SummarySchema = "lt.summary/1"

// Document is the summary of a run: the contract with scripts, in the order of its keys. Times are in the unit that their name
// says, rates a second, shares 0..1.
type Document struct {
	Schema       string     `json:"schema"`
	Run          Run        `json:"run"`
	Verdict      Verdict    `json:"verdict"`
	Totals       Totals     `json:"totals"`
	ResponseTime Times      `json:"response_time_ms"`
	ServiceTime  Times      `json:"service_time_ms"`
	Lag          Times      `json:"lag_ms"`
	Queued       Times      `json:"queued_ms"`
	Steps        []Step     `json:"steps"`
	Errors       []Error    `json:"errors"`
	Stages       []Stage    `json:"stages"`
	Intervals    []Interval `json:"intervals"`
	Sources      []Source   `json:"sources"`
	Events       []Event    `json:"events"`
	SLO          []SLO      `json:"slo"`
	Knee         Knee       `json:"knee"`
}

// Run says what was run. Duration is until the load ended, Drain what came after.
type Run struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Scenario string            `json:"scenario"`
	Target   string            `json:"target"`
	Started  string            `json:"started"`
	Duration float64           `json:"duration_s"`
	Drain    float64           `json:"drain_s"`
	Version  string            `json:"version"`
	Seed     uint64            `json:"seed"`
	Arrivals string            `json:"arrivals"`
	Ended    string            `json:"ended"`
	Labels   map[string]string `json:"labels"`
	Basis    string            `json:"basis"`
	Host     json.RawMessage   `json:"host"`
}

// Verdict is what the run is worth: whether the SLOs held, whether the generator kept up, whether all data is there.
type Verdict struct {
	SLO       string   `json:"slo"`
	Generator string   `json:"generator"`
	Data      string   `json:"data"`
	Reasons   []string `json:"reasons"`
}

// Totals leave out warm-up, pauses, setup and teardown.
type Totals struct {
	Requests         uint64  `json:"requests"`
	Errors           uint64  `json:"errors"`
	ErrorRate        float64 `json:"error_rate"`
	Iterations       uint64  `json:"iterations"`
	IterationsFailed uint64  `json:"iterations_failed"`
	Unfinished       uint64  `json:"unfinished"`
	ArrivalsRPS      float64 `json:"arrivals_rps"`
	OfferedRPS       float64 `json:"offered_rps"`
	ThroughputRPS    float64 `json:"throughput_rps"`
	GoodputRPS       float64 `json:"goodput_rps"`
	Late             uint64  `json:"late"`
	Dropped          uint64  `json:"dropped"`
	Shortfall        uint64  `json:"shortfall"`
	Unreported       uint64  `json:"unreported"`
	BytesIn          uint64  `json:"bytes_in"`
	BytesOut         uint64  `json:"bytes_out"`
	UsersPeak        int     `json:"users_peak"`
	InFlightPeak     int     `json:"in_flight_peak"`
	Opened           uint64  `json:"connections_opened"`
	Stale            uint64  `json:"stale"`
}

// Times sums up one histogram, in milliseconds.
type Times struct {
	Min    float64 `json:"min"`
	Mean   float64 `json:"mean"`
	StdDev float64 `json:"stddev"`
	P50    float64 `json:"p50"`
	P75    float64 `json:"p75"`
	P90    float64 `json:"p90"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
	P999   float64 `json:"p99.9"`
	Max    float64 `json:"max"`
	Count  uint64  `json:"count"`
}

// Step is one step of one scenario.
type Step struct {
	Scenario      string            `json:"scenario"`
	Step          string            `json:"step"`
	Kind          string            `json:"kind"`
	Requests      uint64            `json:"requests"`
	Attempts      uint64            `json:"attempts"`
	Errors        uint64            `json:"errors"`
	ThroughputRPS float64           `json:"throughput_rps"`
	BytesIn       uint64            `json:"bytes_in"`
	BytesOut      uint64            `json:"bytes_out"`
	Reused        uint64            `json:"reused"`
	Status        map[string]uint64 `json:"status"`
	ErrorsByClass map[string]uint64 `json:"errors_by_class"`
	ResponseTime  Times             `json:"response_time_ms"`
	ServiceTime   Times             `json:"service_time_ms"`
	Phases        PhaseTimes        `json:"phases_ms"`
}

// PhaseTimes are the parts of a step's service time.
type PhaseTimes struct {
	DNS     Times `json:"dns"`
	Connect Times `json:"connect"`
	TLS     Times `json:"tls"`
	Send    Times `json:"send"`
	Wait    Times `json:"wait"`
	Receive Times `json:"receive"`
}

// Error is one group of errors; Step is scenario/step.
type Error struct {
	Class   string  `json:"class"`
	Phase   string  `json:"phase"`
	Status  int     `json:"status"`
	Step    string  `json:"step"`
	Message string  `json:"message"`
	Count   uint64  `json:"count"`
	First   float64 `json:"first_s"`
	Last    float64 `json:"last_s"`
	Example string  `json:"example"`
	Hint    string  `json:"hint"`
}

// Stage is one stage of the profile that has begun.
type Stage struct {
	Name          string  `json:"name"`
	Warmup        bool    `json:"warmup"`
	From          float64 `json:"from_s"`
	To            float64 `json:"to_s"`
	ArrivalsRPS   float64 `json:"arrivals_rps"`
	OfferedRPS    float64 `json:"offered_rps"`
	ThroughputRPS float64 `json:"throughput_rps"`
	GoodputRPS    float64 `json:"goodput_rps"`
	ErrorRate     float64 `json:"error_rate"`
	ResponseTime  Times   `json:"response_time_ms"`
}

// Interval is one second of run time. Percentiles are of the response time; null where nothing ended.
type Interval struct {
	T             float64  `json:"t_s"`
	ArrivalsRPS   float64  `json:"arrivals_rps"`
	OfferedRPS    float64  `json:"offered_rps"`
	ThroughputRPS float64  `json:"throughput_rps"`
	GoodputRPS    float64  `json:"goodput_rps"`
	Errors        uint64   `json:"errors"`
	Users         int      `json:"users"`
	InFlight      int      `json:"in_flight"`
	Late          uint64   `json:"late"`
	Dropped       uint64   `json:"dropped"`
	P50           *float64 `json:"p50_ms"`
	P90           *float64 `json:"p90_ms"`
	P95           *float64 `json:"p95_ms"`
	P99           *float64 `json:"p99_ms"`
	Max           *float64 `json:"max_ms"`
	Sources       int      `json:"sources"`
}

// Source is one place that load came from.
type Source struct {
	Name         string   `json:"name"`
	Kind         string   `json:"kind"`
	Label        string   `json:"label"`
	State        string   `json:"state"`
	Weight       int      `json:"weight"`
	Share        float64  `json:"share"`
	Requests     uint64   `json:"requests"`
	Errors       uint64   `json:"errors"`
	BytesIn      uint64   `json:"bytes_in"`
	BytesOut     uint64   `json:"bytes_out"`
	ResponseTime Times    `json:"response_time_ms"`
	StartSkew    float64  `json:"start_skew_ms"`
	ClockOffset  float64  `json:"clock_offset_ms"`
	RTT          float64  `json:"rtt_ms"`
	LostAt       *float64 `json:"lost_at_s"`
	Reason       string   `json:"reason"`
	CPUPeak      float64  `json:"cpu_peak"`
	LagP99       float64  `json:"lag_p99_ms"`
	Verdict      string   `json:"verdict"`
}

// Event is an entry of the diary.
type Event struct {
	T    float64 `json:"t_s"`
	Kind string  `json:"kind"`
	Text string  `json:"text"`
}

// SLO is one criterion. Value is in the criterion's unit: milliseconds, a share, or a second; null if there was nothing to
// judge by.
type SLO struct {
	Expr  string   `json:"expr"`
	Value *float64 `json:"value"`
	OK    bool     `json:"ok"`
}

// Knee holds the marks of the curve, null where none was found, and its points.
type Knee struct {
	Found        bool     `json:"found"`
	Rate         *float64 `json:"rate_rps"`
	Arrivals     *float64 `json:"arrivals_rps"`
	Low          *float64 `json:"low_rps"`
	High         *float64 `json:"high_rps"`
	Capacity     *float64 `json:"capacity_rps"`
	CapacityLow  *float64 `json:"capacity_low_rps"`
	CapacityHigh *float64 `json:"capacity_high_rps"`
	Breaking     *float64 `json:"breaking_rps"`
	Sustainable  *float64 `json:"sustainable_rps"`
	Confirmed    bool     `json:"confirmed"`
	BoundBy      *string  `json:"bound_by"`
	Base         float64  `json:"base_ms"`
	Statement    string   `json:"statement"`
	Warnings     []string `json:"warnings"`
	Points       []Point  `json:"points"`
}

// Point is what was measured at one load.
type Point struct {
	OfferedRPS  float64 `json:"offered_rps"`
	GoodputRPS  float64 `json:"goodput_rps"`
	ArrivalsRPS float64 `json:"arrivals_rps"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	ErrorRate   float64 `json:"error_rate"`
	InFlight    float64 `json:"in_flight"`
	From        float64 `json:"from_s"`
	To          float64 `json:"to_s"`
}

// Summary makes the document of a run.
func Summary(l *ledger.Ledger) *Document {
	s := l.Snapshot()
	_, unreported, _ := l.Data()
	d := &Document{
		Schema: SummarySchema, Run: runOf(l), Verdict: verdictOf(l),
		ResponseTime: times(&s.Totals.Response), ServiceTime: times(&s.Totals.Service),
		Lag: times(&s.Totals.Lag), Queued: times(&s.Totals.Queued),
		Steps: []Step{}, Errors: []Error{}, Stages: []Stage{}, Intervals: []Interval{}, Sources: []Source{}, Events: []Event{}, SLO: []SLO{},
		Knee: kneeOf(l),
	}
	t := &s.Totals
	d.Totals = Totals{
		Requests: t.Requests, Errors: t.Errors, ErrorRate: round6(t.ErrorRate), Iterations: t.Iterations, IterationsFailed: t.Failed, Unfinished: t.Unfinished,
		ArrivalsRPS: round3(t.ArrivalsRPS), OfferedRPS: round3(t.OfferedRPS), ThroughputRPS: round3(t.ThroughputRPS), GoodputRPS: round3(t.GoodputRPS),
		Late: t.Late, Dropped: t.Dropped, Shortfall: t.Shortfall, Unreported: unreported, BytesIn: t.BytesIn, BytesOut: t.BytesOut,
		UsersPeak: t.UsersPeak, InFlightPeak: t.InFlightPeak, Opened: t.Opened, Stale: t.Stale,
	}
	for i := range s.Steps {
		d.Steps = append(d.Steps, stepOf(&s.Steps[i]))
	}
	for i := range s.Errors {
		e := &s.Errors[i]
		d.Errors = append(d.Errors, Error{
			Class: e.Class.String(), Phase: e.Phase.String(), Status: e.Status, Step: stepName(e.Step), Message: e.Message, Count: e.Count,
			First: seconds(e.First), Last: seconds(e.Last), Example: e.Example, Hint: e.Hint,
		})
	}
	for i := range s.Stages {
		v := &s.Stages[i]
		d.Stages = append(d.Stages, Stage{
			Name: v.Name, Warmup: v.Warmup, From: seconds(v.From), To: seconds(v.To), ArrivalsRPS: round3(v.ArrivalsRPS), OfferedRPS: round3(v.OfferedRPS),
			ThroughputRPS: round3(v.ThroughputRPS), GoodputRPS: round3(v.GoodputRPS), ErrorRate: round6(v.ErrorRate), ResponseTime: times(&v.Response),
		})
	}
	for _, v := range l.Seconds() {
		d.Intervals = append(d.Intervals, intervalOf(&v))
	}
	for i := range s.Sources {
		d.Sources = append(d.Sources, sourceOf(&s.Sources[i]))
	}
	for _, e := range l.Events() {
		d.Events = append(d.Events, Event{seconds(e.At), string(e.Kind), e.Text})
	}
	for _, r := range l.SLOs() {
		v := SLO{Expr: r.Expr, OK: r.Known && r.OK}
		if r.Known {
			value := judgedValue(r.Value, r.Worst, r.Window, v.OK)
			v.Value = &value
		}
		d.SLO = append(d.SLO, v)
	}
	return d
}

// judgedValue is the value that decided: of a criterion with a window that failed, the worst window's.
func judgedValue(value, worst float64, window time.Duration, ok bool) float64 {
	if window > 0 && !ok {
		value = worst
	}
	return round6(value)
}

func runOf(l *ledger.Ledger) Run {
	h := l.Header()
	r := Run{
		ID: h.ID, Name: h.Name, Scenario: h.Path, Target: h.Target, Started: h.Started.Format(time.RFC3339), Version: h.Version, Seed: h.Seed,
		Arrivals: h.Arrivals, Labels: h.Labels, Basis: h.Basis, Host: h.Host, Duration: seconds(l.Now()),
	}
	if h.Closed() {
		r.Arrivals = "closed"
	}
	if r.Labels == nil {
		r.Labels = map[string]string{}
	}
	if len(r.Host) == 0 || !json.Valid(r.Host) {
		r.Host = json.RawMessage("{}")
	}
	r.Ended = string(ledger.Failed) // a record without an end: killed, or read while it is written
	if end, ok := l.End(); ok {
		r.Ended = string(end.Ended)
		r.Duration, r.Drain = seconds(end.At-end.Drain), seconds(end.Drain)
	}
	return r
}

func verdictOf(l *ledger.Ledger) Verdict {
	g := l.Verdict()
	complete, _, missing := l.Data()
	v := Verdict{SLO: string(l.Judged()), Generator: g.Health.String(), Data: "complete", Reasons: []string{}}
	if !complete {
		v.Data = "incomplete"
	}
	for _, r := range l.SLOs() {
		switch {
		case !r.Known:
			v.Reasons = append(v.Reasons, r.Expr+": nothing was measured to judge it by")
		case !r.OK:
			v.Reasons = append(v.Reasons, r.Expr+" does not hold: "+r.Text)
		}
	}
	if end, ok := l.End(); ok && end.Ended == ledger.BySLO && len(v.Reasons) == 0 {
		v.Reasons = append(v.Reasons, "an SLO failed and ended the run; what was in hand then brought the figures back within it")
	}
	v.Reasons = append(v.Reasons, missing...)
	v.Reasons = append(v.Reasons, g.Reasons...)
	return v
}

func stepOf(s *metrics.StepView) Step {
	v := Step{
		Scenario: s.Scenario, Step: s.Step, Kind: s.Kind.String(), Requests: s.Requests, Attempts: s.Attempts, Errors: s.Errors,
		ThroughputRPS: round3(s.ThroughputRPS), BytesIn: s.BytesIn, BytesOut: s.BytesOut, Reused: s.Reused,
		Status: map[string]uint64{}, ErrorsByClass: map[string]uint64{},
		ResponseTime: times(&s.Response), ServiceTime: times(&s.Service),
		Phases: PhaseTimes{
			DNS: times(&s.Phases[metrics.PhaseDNS]), Connect: times(&s.Phases[metrics.PhaseConnect]), TLS: times(&s.Phases[metrics.PhaseTLS]),
			Send: times(&s.Phases[metrics.PhaseSend]), Wait: times(&s.Phases[metrics.PhaseWait]), Receive: times(&s.Phases[metrics.PhaseReceive]),
		},
	}
	for _, c := range s.Status {
		v.Status[strconv.Itoa(int(c.Status))] = c.Count
	}
	for c, n := range s.ByClass {
		if n > 0 && metrics.Class(c) != metrics.NoError {
			v.ErrorsByClass[metrics.Class(c).String()] = n
		}
	}
	return v
}

func intervalOf(v *metrics.Second) Interval {
	return Interval{
		T: seconds(v.T), ArrivalsRPS: round3(v.Arrivals), OfferedRPS: round3(v.Offered), ThroughputRPS: round3(v.Throughput), GoodputRPS: round3(v.Goodput),
		Errors: v.Errors, Users: v.Users, InFlight: v.InFlight, Late: v.Late, Dropped: v.Dropped,
		P50: known(v.P50), P90: known(v.P90), P95: known(v.P95), P99: known(v.P99), Max: known(v.Max), Sources: v.Sources,
	}
}

func sourceOf(s *metrics.SourceView) Source {
	v := Source{
		Name: s.Name, Kind: s.Kind, Label: s.Label, State: s.State, Weight: s.Weight, Share: round6(s.Share), Requests: s.Requests, Errors: s.Errors,
		BytesIn: s.BytesIn, BytesOut: s.BytesOut, ResponseTime: times(&s.Response), StartSkew: ms(s.StartSkew), ClockOffset: ms(s.Clock), RTT: ms(s.RTT),
		Reason: s.Reason, CPUPeak: round3(s.CPUPeak), LagP99: ms(s.Lag.P99), Verdict: s.Verdict.Health.String(),
	}
	if s.LostAt >= 0 {
		at := seconds(s.LostAt)
		v.LostAt = &at
	}
	return v
}

func kneeOf(l *ledger.Ledger) Knee {
	k := Knee{Warnings: []string{}, Points: []Point{}, Statement: "no mark was looked for; the points are what was measured"}
	if g := l.Verdict(); g.Health == metrics.Saturated {
		by := "generator"
		k.BoundBy, k.Statement = &by, ownLimit
		k.Warnings = append(k.Warnings, g.Reasons...)
	}
	for _, p := range l.Points() {
		k.Points = append(k.Points, Point{
			OfferedRPS: round3(p.Offered), GoodputRPS: round3(p.Goodput), ArrivalsRPS: round3(p.Arrivals), P50: ms(p.P50), P99: ms(p.P99),
			ErrorRate: round6(p.ErrorRate), InFlight: round3(p.InFlight), From: seconds(p.From), To: seconds(p.To),
		})
	}
	return k
}

// ownLimit is said of a curve that is not the target's.
const ownLimit = "the generator was the bottleneck: nothing is claimed of the target; the points are what was measured"

func times(q *metrics.Quantiles) Times {
	return Times{
		Min: ms(q.Min), Mean: ms(q.Mean), StdDev: ms(q.StdDev), P50: ms(q.P50), P75: ms(q.P75), P90: ms(q.P90), P95: ms(q.P95),
		P99: ms(q.P99), P999: ms(q.P999), Max: ms(q.Max), Count: q.Count,
	}
}

// stepName is scenario/step, as SLOs name it; empty without a name.
func stepName(n metrics.StepName) string {
	if n.Scenario == "" {
		return n.Step
	}
	return n.Scenario + "/" + n.Step
}

// ms and seconds round to the microsecond, the resolution of the histograms, and to the millisecond.
func ms(d time.Duration) float64      { return round3(float64(d) / 1e6) }
func seconds(d time.Duration) float64 { return round3(d.Seconds()) }

func round3(v float64) float64 { return roundTo(v, 1e3) }
func round6(v float64) float64 { return roundTo(v, 1e6) }

// roundTo leaves what JSON cannot say, infinities and NaN, out of the summary.
func roundTo(v, unit float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return math.Round(v*unit) / unit
}

// known is v rounded, or nil for NaN.
func known(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	v = round3(v)
	return &v
}

func writeJSON(w io.Writer, l *ledger.Ledger) error {
	e := encoder(w)
	e.SetIndent("", "  ")
	return e.Encode(Summary(l))
}

// encoder writes JSON that a terminal can show: what JSON allows and a terminal would act upon, such as C1 controls and marks
// that turn the direction of writing, is written as \uXXXX. To whoever reads JSON it is the same text.
func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(visible{w})
	e.SetEscapeHTML(false)
	return e
}

// visible takes whole values of JSON, in which such characters stand within strings only.
type visible struct{ w io.Writer }

func (v visible) Write(b []byte) (int, error) {
	from := 0
	for i := 0; i < len(b); {
		if b[i] < 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == 0x7f || !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) {
			if _, err := v.w.Write(b[from:i]); err != nil {
				return from, err
			}
			text := ""
			for _, unit := range utf16.Encode([]rune{r}) {
				text += fmt.Sprintf(`\u%04x`, unit)
			}
			if _, err := io.WriteString(v.w, text); err != nil {
				return i, err
			}
			from = i + n
		}
		i += n
	}
	if _, err := v.w.Write(b[from:]); err != nil {
		return from, err
	}
	return len(b), nil
}
