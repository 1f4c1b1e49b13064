// Package ledgertest makes runs that never took place, for the tests of everything that reads runs. The same Options make the
// same run, bit by bit.
package ledgertest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"lt/engine/ledger"
	"lt/engine/metrics"
)

// Options say what kind of run is made. The zero value is 30 s at 50 requests a second, three steps and a login, 5 s of them
// warm-up, with some errors, that came to its end.
type Options struct {
	Seconds  int
	Rate     int // requests a second
	Steps    int // beside the setup step
	SLO      []string
	Ended    ledger.Ended
	NoEnd    bool     // the record stops in the middle
	Closed   bool     // closed model
	Perfect  bool     // no errors
	Dead     bool     // every request is refused
	Dropped  int      // arrivals given up each second
	Sources  []string // names; empty: local
	Missing  bool     // the last source leaves out two seconds
	Lost     bool     // all but the first are peers in two places, and the last is lost at second 8
	Pause    bool     // from second 12 to 15
	Name     string   // of the run and in the names of its steps
	Foreign  string   // text that came from outside: in messages, events and reasons
	Stall    bool     // second 20 answers late: response times far above service times
	Redirect bool     // the first step is answered with 302
	Busy     bool     // the generator lags far behind
}

// Run is the header and the items of a run.
func Run(o Options) (ledger.Header, []ledger.Item) {
	if o.Seconds == 0 {
		o.Seconds = 30
	}
	if o.Rate == 0 {
		o.Rate = 50
	}
	if o.Steps == 0 {
		o.Steps = 3
	}
	if o.Ended == "" {
		o.Ended = ledger.Finished
	}
	if o.Name == "" {
		o.Name = "Shop checkout"
	}
	if len(o.Sources) == 0 {
		o.Sources = []string{"local"}
	}
	h := header(&o)
	length := time.Duration(o.Seconds) * time.Second
	warm := min(5*time.Second, length)
	items := []ledger.Item{
		&ledger.StageEdge{Index: 0, At: 0},
		&ledger.Event{Kind: ledger.EventStage, Text: "warm-up begins"},
	}
	rng := rand.New(rand.NewPCG(7, 11))
	recorders := make([]*metrics.Recorder, len(o.Sources))
	for i := range recorders {
		recorders[i] = metrics.NewRecorder(len(h.Steps), nil)
	}
	for k := range o.Seconds {
		from := time.Duration(k) * time.Second
		if from == warm {
			items = append(items, &ledger.StageEdge{Index: 0, At: from, Ends: true}, &ledger.StageEdge{Index: 1, At: from},
				&ledger.Event{At: from, Kind: ledger.EventStage, Text: "sustain begins" + o.Foreign})
		}
		paused := o.Pause && k >= 12 && k < 15
		if o.Pause && (k == 12 || k == 15) {
			items = append(items, &ledger.Pause{At: from, Begins: k == 12})
		}
		if o.Lost && (k == 0 || k == 8) {
			items = append(items, states(&o, h.Sources, k)...)
		}
		for i, name := range o.Sources {
			if o.Lost && i == len(o.Sources)-1 && k >= 8 {
				continue
			}
			r := recorders[i]
			if !paused {
				fill(r, &o, rng, k, o.Rate/len(o.Sources))
			}
			iv := r.Cut(uint64(k), from, time.Second)
			iv.Source, iv.Users, iv.InFlight, iv.InFlightMax, iv.Connections = name, 12, 7, 9, 12
			iv.Audit = audit
			if o.Missing && i == len(o.Sources)-1 && (k == 8 || k == 9) {
				continue
			}
			items = append(items, iv)
		}
	}
	if o.NoEnd {
		return h, items
	}
	items = append(items, &ledger.StageEdge{Index: len(h.Stages) - 1, At: length, Ends: true})
	for i, name := range o.Sources {
		if o.Lost && i == len(o.Sources)-1 {
			continue
		}
		iv := recorders[i].Cut(uint64(o.Seconds), length, 300*time.Millisecond)
		iv.Source, iv.Final, iv.Audit = name, true, audit
		items = append(items, iv)
	}
	return h, append(items, &ledger.End{At: length + 300*time.Millisecond, Ended: o.Ended, Drain: 300 * time.Millisecond})
}

// states are the peers of a run of which one is lost, at second 0 or 8.
func states(o *Options, sources []ledger.Source, second int) []ledger.Item {
	var items []ledger.Item
	for i, s := range sources {
		if i == 0 {
			continue
		}
		s.State, s.Label, s.Weight = "running", []string{"us", "eu"}[i%2], 2
		s.Clock, s.Bound, s.RTT, s.StartSkew = -300*time.Microsecond, 1200*time.Microsecond, 23*time.Millisecond, 2*time.Millisecond
		if i == len(sources)-1 && second > 0 {
			s.State, s.Share, s.Reason = "lost", 0, "silent for 6 s"+o.Foreign
		}
		items = append(items, &ledger.SourceState{At: time.Duration(second) * time.Second, Source: s})
	}
	return items
}

// Ledger adds a run up.
func Ledger(t testing.TB, o Options) *ledger.Ledger {
	t.Helper()
	h, items := Run(o)
	l, err := ledger.New(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		l.Add(it)
	}
	l.SetReplay(func(yield func(ledger.Item) error) error {
		for _, it := range items {
			if err := yield(it); err != nil {
				return err
			}
		}
		return nil
	})
	return l
}

func header(o *Options) ledger.Header {
	h := ledger.Header{
		Schema: ledger.Schema, ID: "2zq4kabcde", Name: o.Name, Path: "shop.yaml", Target: "https://shop.test", Version: "1.0.0",
		Started: time.Date(2026, 11, 21, 4, 55, 1, 0, time.UTC), Seed: 42, Model: "open", Arrivals: "poisson", MaxInFlight: 10000,
		DropAfter: 10 * time.Second, Graceful: 30 * time.Second, Labels: map[string]string{"build": "77"}, Basis: "shop.test is this machine",
		Host: json.RawMessage(`{"os":"linux","cores":2}`), Scenarios: []ledger.Share{{Name: "buyer", Weight: 1}}, SLO: o.SLO,
		Stages: []ledger.Stage{
			{Name: "warm-up", For: 5 * time.Second, At: float64(o.Rate) / float64(o.Steps), Warmup: true},
			{Name: "sustain", For: time.Duration(max(o.Seconds-5, 1)) * time.Second, At: float64(o.Rate) / float64(o.Steps)},
		},
	}
	if o.Closed {
		h.Model = "closed"
	}
	h.Steps = append(h.Steps, metrics.StepName{Scenario: "buyer", Step: "login", Kind: metrics.KindSetup})
	for i := range o.Steps {
		h.Steps = append(h.Steps, metrics.StepName{Scenario: "buyer", Step: fmt.Sprintf("GET /%d%s", i, o.Foreign)})
	}
	h.OwnStatus = make([]bool, len(h.Steps))
	for i, name := range o.Sources {
		kind := "local"
		if i > 0 {
			kind = "ssh"
		}
		h.Sources = append(h.Sources, ledger.Source{Name: name, Kind: kind, Weight: 1, Share: 1 / float64(len(o.Sources)), State: "starting"})
	}
	return h
}

// fill records a second: rate requests dealt to the steps in turn, log-normal around 20 ms.
func fill(r *metrics.Recorder, o *Options, rng *rand.Rand, k, rate int) {
	stage := int16(0)
	if k >= 5 {
		stage = 1
	}
	from := time.Duration(k) * time.Second
	login := metrics.Sample{Stage: stage, Step: 0, Status: 200, Intended: from, Start: from, End: from + 5*time.Millisecond, Attempts: 1}
	if o.Dead {
		login.Class, login.Phase, login.Status, login.Message = metrics.Refused, metrics.PhaseConnect, 0, "connection refused"
	}
	r.Sample(&login)
	for i := range rate {
		due := from + time.Second*time.Duration(i)/time.Duration(rate)
		s := metrics.Sample{
			Stage: stage, Step: uint16(1 + i%o.Steps), Status: 200, Intended: due, Start: due + 80*time.Microsecond, Attempts: 1,
			BytesIn: 2048, BytesOut: 300, Reused: true,
			Phases: [metrics.Phases]time.Duration{-1, -1, -1, 30 * time.Microsecond, 0, 90 * time.Microsecond},
		}
		took := time.Duration(20e6 * math.Exp(.4*rng.NormFloat64()))
		if o.Stall && k == 20 {
			s.Start = due + 900*time.Millisecond
		}
		if o.Busy {
			s.Start = due + 30*time.Millisecond
		}
		s.Phases[metrics.PhaseWait] = took
		s.End = s.Start + took
		switch {
		case o.Dead:
			s.Class, s.Phase, s.Status, s.Message = metrics.Refused, metrics.PhaseConnect, 0, "connection refused"
		case o.Redirect && s.Step == 1:
			s.Status = 302
		case o.Perfect:
		case i%25 == 7:
			s.Class, s.Phase, s.Status, s.Message = metrics.Status, metrics.PhaseReceive, 500, "Internal Server Error"+o.Foreign
			s.Example = func() string { return "GET / HTTP/1.1\nAuthorization: ***\n\nHTTP/1.1 500 Internal Server Error" }
		case i%50 == 13 && k%3 == 0:
			s.Class, s.Phase, s.Status, s.Message = metrics.Reset, metrics.PhaseWait, 0, "connection reset by peer"
		}
		r.Sample(&s)
		lag := 80 * time.Microsecond
		if o.Busy {
			lag = 30 * time.Millisecond
			r.Late++
		}
		r.Lag(lag, 0)
		r.Due++
		if i%o.Steps == 0 {
			r.Scheduled++
			r.Started++
			r.Iterations++
		}
	}
	for range o.Dropped {
		r.Scheduled++
		r.Due++
		r.Drop(stage, 1, waited, false)
	}
}

// waited is how long a dropped arrival has waited: just above drop_after.
const waited = 10*time.Second + time.Millisecond

// audit is what every source says of itself.
var audit = metrics.Audit{CPU: .4, ShardCPU: .3, Cores: 2, Files: 40, FileLimit: 1024, Memory: 30 << 20}
