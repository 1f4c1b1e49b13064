package engine

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/journey"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

// target is an HTTP server over in-memory pipes whose answers leave at times that the test decides.
type target struct {
	mu      sync.Mutex
	seen    []time.Duration // run time at which each request came
	log     []seen          // the same with what it was
	conns   int
	epoch   time.Time
	wait    sync.WaitGroup
	release func(at time.Duration) time.Duration // when the answer to a request that came at `at` leaves
	answer  func(r seen) string                  // nil: 200 with a body; an empty answer closes the connection
}

// seen is a request as a target saw it.
type seen struct {
	at                         time.Duration
	conn                       int // number of its connection, from 1
	method, path, cookie, body string
	header                     http.Header
}

func (s *target) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	s.mu.Lock()
	s.conns++
	n := s.conns
	s.mu.Unlock()
	s.wait.Go(func() { s.serve(theirs, n) })
	return ours, nil
}

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func (s *target) serve(c net.Conn, conn int) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		s.mu.Lock()
		got := seen{time.Since(s.epoch), conn, req.Method, req.RequestURI, req.Header.Get("Cookie"), string(body), req.Header}
		s.seen = append(s.seen, got.at)
		s.log = append(s.log, got)
		s.mu.Unlock()
		time.Sleep(s.release(got.at) - got.at)
		answer := fine
		if s.answer != nil {
			answer = s.answer(got)
		}
		if _, err := io.WriteString(c, answer); err != nil || answer == "" {
			return
		}
	}
}

// paths lists what was requested, in order.
func (s *target) paths() []string {
	var out []string
	for _, r := range s.log {
		out = append(out, r.path)
	}
	return out
}

// after answers every request b later.
func after(b time.Duration) func(time.Duration) time.Duration {
	return func(at time.Duration) time.Duration { return at + b }
}

// frozen answers b later, except that what comes within [from, from+length) leaves b after the end of that time.
func frozen(b, from, length time.Duration) func(time.Duration) time.Duration {
	return func(at time.Duration) time.Duration {
		if at >= from && at < from+length {
			return from + length + b
		}
		return at + b
	}
}

// get is a file of one scenario with one GET a step.
func get(spec load.Spec, paths ...string) *scenario.File {
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	h := scenario.HTTP{Version: "auto", Timeout: 30 * time.Second, ConnectTimeout: 10 * time.Second, MaxBody: 64 << 20}
	sc := &scenario.Scenario{Name: "test", Weight: 1, HTTP: h}
	for _, p := range paths {
		sc.Steps = append(sc.Steps, &scenario.Step{Name: "GET " + p, Method: "GET", URL: p, HTTP: h})
	}
	if len(spec.Weights) == 0 {
		spec.Weights = []int{1}
	}
	return &scenario.File{Name: "test", Target: "http://127.0.0.1:80", HTTP: h, Load: spec, Scenarios: []*scenario.Scenario{sc}, ThinkTimes: 1, Closed: spec.Model == load.Closed}
}

// outcome is what a run added up to.
type outcome struct {
	intervals                                            []*metrics.Interval
	response                                             metrics.Histogram
	service                                              metrics.Histogram
	lag                                                  metrics.Histogram
	waiting                                              metrics.Histogram
	scheduled, started, late, dropped, stalled, requests uint64
	iterations, failed, unfinished, opened               uint64
	due, attempts, reused, stale                         uint64
	byStep                                               map[int]metrics.Record
	errors                                               [metrics.Classes]uint64
	notes                                                []string
}

func (o *outcome) take(iv *metrics.Interval) {
	o.intervals = append(o.intervals, iv)
	o.scheduled += iv.Scheduled
	o.started += iv.Started
	o.late += iv.Late
	o.dropped += iv.Dropped
	o.stalled += iv.Stalled
	o.iterations += iv.Iterations
	o.failed += iv.Failed
	o.unfinished += iv.Unfinished
	o.notes = append(o.notes, iv.Notes...)
	o.opened += iv.Opened
	o.due += iv.Due
	if o.byStep == nil {
		o.byStep = map[int]metrics.Record{}
	}
	o.lag.Add(&iv.Lag)
	o.waiting.Add(&iv.Waiting)
	for i := range iv.Records {
		r := &iv.Records[i]
		o.requests += r.Requests
		o.attempts += r.Attempts
		o.reused += r.Reused
		o.stale += r.Stale
		sum := o.byStep[int(r.Step)]
		sum.Requests += r.Requests
		sum.Response.Add(&r.Response)
		sum.Service.Add(&r.Service)
		o.byStep[int(r.Step)] = sum
		o.response.Add(&r.Response)
		o.service.Add(&r.Service)
		for c, n := range r.Errors {
			o.errors[c] += n
		}
	}
}

// option changes a run before it starts.
type option func(*Config)

// engineFor makes an engine that adds up into o.
func engineFor(f *scenario.File, log *load.Log, o *outcome, options ...option) (*Engine, error) {
	p, err := journey.Compile(f, "lt/test")
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = load.NewLog(&f.Load)
	}
	lease := &load.Lease{}
	lease.Forever()
	c := Config{File: f, Program: p, Log: log, Lease: lease, Name: "local", Shards: 1, OnInterval: o.take}
	for _, set := range options {
		set(&c)
	}
	return New(c)
}

// prepare is engineFor within a test.
func prepare(t testing.TB, f *scenario.File, log *load.Log, o *outcome, options ...option) *Engine {
	t.Helper()
	e, err := engineFor(f, log, o, options...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// play runs a file and adds up what it measured. Inside a synctest bubble everything is exact.
func play(t testing.TB, f *scenario.File, log *load.Log, options ...option) *outcome {
	t.Helper()
	o := &outcome{}
	if err := prepare(t, f, log, o, options...).Run(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	return o
}

// over uses a target in memory and virtual time.
func over(s *target) option {
	return func(c *Config) {
		c.Portable = true
		c.Dial = s.dial
		s.mu.Lock()
		s.epoch = time.Now()
		s.mu.Unlock()
	}
}

// closed is a closed model with a number of users held for d.
func closed(users float64, d time.Duration) load.Spec {
	return load.Spec{
		Model: load.Closed, Seed: 1, Graceful: time.Minute,
		Profile: load.Profile{Stages: []load.Stage{{Name: "steady", For: d, At: users}}},
	}
}

// ramp is a closed model whose users come evenly over d.
func ramp(users float64, d time.Duration) load.Spec {
	spec := closed(users, d)
	spec.Profile.Stages[0].Ramp = true
	return spec
}

// virtual plays a file against a target in memory, in virtual time.
func virtual(t *testing.T, f *scenario.File, tg *target, options ...option) *outcome {
	t.Helper()
	var o *outcome
	synctest.Test(t, func(t *testing.T) {
		o = play(t, f, nil, append([]option{over(tg)}, options...)...)
		tg.wait.Wait()
	})
	return o
}

func even(rate float64, d time.Duration) load.Spec {
	return load.Spec{
		Arrivals: load.Even, Seed: 1, DropAfter: time.Hour, Graceful: time.Minute,
		Profile: load.Profile{Stages: []load.Stage{{Name: "steady", For: d, At: rate}}},
	}
}

// constant is a think time that is always the same.
func constant(d time.Duration) *scenario.Think { return &scenario.Think{Kind: scenario.Constant, A: d} }

// within fails unless got lies within a share of want.
func within(t *testing.T, what string, got, want time.Duration, share float64) {
	t.Helper()
	if diff := (got - want).Abs(); float64(diff) > share*float64(want) {
		t.Errorf("%s is %v, want %v within %.1f %%", what, got, want, share*100)
	}
}
