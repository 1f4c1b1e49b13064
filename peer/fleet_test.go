package peer

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lt/engine/journey"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
	"lt/peer/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleetOf makes the fleet of a file that loads a server of its own, and counts what that server got.
func fleetOf(t *testing.T, q scenario.Quick) (*Fleet, *atomic.Int64) {
	t.Helper()
	var got atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		got.Add(1)
		fmt.Fprint(w, "ok")
	}))
	t.Cleanup(s.Close)
	q.URL = s.URL
	file, program := compiled(t, q)
	f, err := New(Config{File: file, Program: program})
	if err != nil {
		t.Fatal(err)
	}
	f.Local().Resolve(t.Context())
	return f, &got
}

// sums is what all intervals of a fleet come to.
type sums struct{ due, started, dropped, requests uint64 }

// check holds the sums to the schedule and to what the server got. On a machine that stands still for more than a second some
// arrivals are dropped; they are accounted for all the same.
func (s *sums) check(t *testing.T, want uint64, got *atomic.Int64) {
	t.Helper()
	if s.due != want || s.started+s.dropped != want || s.requests != s.started || got.Load() != int64(s.started) {
		t.Errorf("%+v, and %d came to the server; want %d due", *s, got.Load(), want)
	}
}

func (s *sums) add(t *testing.T, f *Fleet, r metrics.Report) {
	t.Helper()
	if iv := r.Interval; iv != nil {
		s.due += iv.Due
		s.started += iv.Started
		s.dropped += iv.Dropped
		for i := range iv.Records {
			s.requests += iv.Records[i].Requests
		}
		f.Release(iv)
	}
}

// Every arrival of the run is reported once, and the reports end with the run.
func TestFleetReportsEveryArrival(t *testing.T) {
	f, got := fleetOf(t, scenario.Quick{Rate: "200", Duration: "1s", Arrivals: "even", Seed: "1"})
	if m := f.Members(); len(m) != 1 || m[0].State != "starting" {
		t.Fatalf("before the start: %+v", m)
	}
	f.Start(t.Context())
	var s sums
	for r := range f.Reports() {
		s.add(t, f, r)
	}
	if err := f.Err(); err != nil {
		t.Fatal(err)
	}
	s.check(t, 200, got)
	if m := f.Members(); m[0].State != "done" {
		t.Errorf("after the end: %+v", m)
	}
}

// Changes take effect in the order in which they were asked for, none before it was.
func TestFleetChangesInOrder(t *testing.T) {
	f, _ := fleetOf(t, scenario.Quick{Rate: "50", Duration: "20s", Arrivals: "even", Seed: "1"})
	f.Start(t.Context())
	var last time.Duration
	for i := range 20 {
		asked := time.Since(f.Epoch())
		at, err := f.Change(load.Factor, 1+float64(i)/100)
		if err != nil {
			t.Fatal(err)
		}
		if at < last || at < asked {
			t.Fatalf("change %d takes effect at %s: asked at %s, the one before at %s", i, at, asked, last)
		}
		last = at
	}
	f.Cut()
	for r := range f.Reports() {
		if r.Interval != nil {
			f.Release(r.Interval)
		}
	}
	if err := f.Err(); err != nil {
		t.Fatal(err)
	}
}

// Whoever reads the reports late loses none of them, and holds nobody back.
func TestFleetWaitsForNoReader(t *testing.T) {
	f, got := fleetOf(t, scenario.Quick{Rate: "100", Duration: "2s", Arrivals: "even", Seed: "1"})
	f.Start(t.Context())
	for deadline := time.Now().Add(30 * time.Second); f.Members()[0].State != "done" && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	var s sums
	for r := range f.Reports() {
		s.add(t, f, r)
	}
	s.check(t, 200, got)
}

// Sources that could begin nothing are refused before anybody is dialled: without a slot, or without a part of the iterations.
func TestSourcesThatCouldBeginNothing(t *testing.T) {
	peers, err := scenario.ParsePeers("a,b")
	if err != nil {
		t.Fatal(err)
	}
	file, err := scenario.Quick{URL: "http://127.0.0.1:1", Rate: "10", Duration: "1s", MaxInFlight: "2", Seed: "1"}.File(scenario.Env{})
	if err != nil {
		t.Fatal(err)
	}
	program, err := journey.Compile(file, "lt/test")
	if err != nil {
		t.Fatal(err)
	}
	file.Peers = peers
	if _, err := New(Config{File: file, Program: program}); err == nil || !strings.Contains(err.Error(), "max_in_flight is 2, and there are 3 sources") {
		t.Errorf("three sources for two slots: %v", err)
	}
	if _, err := New(Config{File: file, Program: program, NoLocal: true}); err != nil {
		t.Errorf("two sources for two slots: %v", err)
	}
	f, _ := fleetOf(t, scenario.Quick{Users: "2", Iterations: "50", Duration: "20s", Seed: "1"})
	f.Start(t.Context())
	if err := f.Add("a"); err == nil || !strings.Contains(err.Error(), "number of iterations") {
		t.Errorf("a peer joins a run of 50 iterations: %v", err)
	}
	for r := range f.Reports() {
		if r.Interval != nil {
			f.Release(r.Interval)
		}
	}
	f, _ = fleetOf(t, scenario.Quick{Rate: "10", Duration: "20s", MaxInFlight: "1", Seed: "1"})
	f.Start(t.Context())
	if err := f.Add("a"); err == nil || !strings.Contains(err.Error(), "max_in_flight is 1, and there are 2 sources") {
		t.Errorf("a peer joins where there is no slot for it: %v", err)
	}
	f.Cut()
	for r := range f.Reports() {
		if r.Interval != nil {
			f.Release(r.Interval)
		}
	}
}

// Whoever joins after hundreds of epochs is told of all changes in one message, and its log is as long as everybody's.
func TestJoinerIsToldOfALongLog(t *testing.T) {
	spec := &load.Spec{Arrivals: load.Even, Profile: load.Profile{Stages: []load.Stage{{Name: "hold", For: time.Hour, At: 100}}}}
	f := &Fleet{log: load.NewLog(spec)}
	for id := range 400 {
		at := time.Duration(id) * time.Second
		table := slices.Repeat([]uint16{300, nobody}, fineTable)
		if err := f.log.Append(load.Change{At: at, Kind: load.Reshare, Epoch: &load.Epoch{ID: id + 1, From: f.log.Timeline().FirstAfter(at), Table: table}}); err != nil {
			t.Fatal(err)
		}
	}
	s := &source{n: 301, name: "late", joins: true, from: 410 * time.Second}
	o := f.order(s, time.Now())
	if n := len(wire.Encode(o)); n > wire.MaxControl/2 {
		t.Errorf("the order has %d bytes, of at most %d", n, wire.MaxControl)
	}
	r := newReplica(spec, s.n)
	if err := r.learn(o.Changes, inTime); err != nil || r.count() != 400 || s.known != 400 {
		t.Errorf("%d of 400 changes are known: %v", r.count(), err)
	}
	if table := f.log.Changes()[399].Epoch.Table; len(table) != 2*fineTable {
		t.Error("the fleet's own log was altered")
	}
}
