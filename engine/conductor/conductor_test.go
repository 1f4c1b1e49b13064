package conductor_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lt/engine"
	"lt/engine/conductor"
	"lt/engine/history"
	"lt/engine/journey"
	"lt/engine/ledger"
	"lt/engine/load"
	"lt/engine/scenario"
	"lt/peer"
)

// started is a run against a server that counts.
type started struct {
	run    *conductor.Run
	served *atomic.Int64
	record string
}

// start runs a profile against a real server with the real fleet.
func start(t *testing.T, spec load.Spec, change func(*conductor.Config)) *started {
	t.Helper()
	s := &started{served: &atomic.Int64{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.served.Add(1)
		fmt.Fprint(w, "ok")
	}))
	t.Cleanup(server.Close)
	h := scenario.HTTP{Version: "auto", Timeout: 5 * time.Second, ConnectTimeout: 2 * time.Second, MaxBody: 1 << 20}
	spec.Seed, spec.Weights, spec.DropAfter, spec.Graceful = 1, []int{1}, 10*time.Second, 2*time.Second
	spec.Arrivals = load.Even
	file := &scenario.File{
		Name: "test", Target: server.URL, HTTP: h, Load: spec, ThinkTimes: 1,
		Scenarios: []*scenario.Scenario{{Name: "test", Weight: 1, HTTP: h, Steps: []*scenario.Step{{Name: "GET /", Method: "GET", URL: "/", HTTP: h}}}},
	}
	p, err := journey.Compile(file, "lt/test")
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := peer.New(peer.Config{File: file, Program: p})
	if err != nil {
		t.Fatal(err)
	}
	header := ledger.NewHeader(file, ledger.About{ID: ledger.NewID(time.Now()), Version: "test", Started: time.Now(), Steps: engine.StepNames(p), Sources: fleet.Members()})
	l, err := ledger.New(header)
	if err != nil {
		t.Fatal(err)
	}
	record, err := history.Create(t.TempDir(), header)
	if err != nil {
		t.Fatal(err)
	}
	s.record = record.Path()
	c := conductor.Config{Ledger: l, Record: record, Source: fleet, Spec: spec}
	if change != nil {
		change(&c)
	}
	s.run = conductor.Start(t.Context(), c)
	return s
}

// asked is what the sources are asked for at this moment, in arrivals a second.
func asked(v *conductor.View) float64 {
	sum := 0.0
	for _, s := range v.Snapshot.Sources {
		sum += s.Asked
	}
	return sum
}

func held(rate float64, d time.Duration) load.Spec {
	return load.Spec{Profile: load.Profile{Stages: []load.Stage{{Name: "hold", For: d, At: rate}}}}
}

// await reads views until one fulfils a condition.
func await(t *testing.T, r *conductor.Run, what string, ok func(*conductor.View) bool) *conductor.View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		v, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("no view in which %s", what)
		}
		if ok(v) {
			return v
		}
	}
}

// What was counted is what the server counted, and the record says the same as the run.
func TestRunAddsUp(t *testing.T) {
	s := start(t, held(200, 2*time.Second), nil)
	if err := s.run.Wait(); err != nil {
		t.Fatal(err)
	}
	tot := s.run.Ledger().Snapshot().Totals
	// On a machine that stood still for a second some of them are dropped.
	if tot.Requests+tot.Dropped != 400 || int64(tot.Requests) != s.served.Load() || tot.Scheduled != 400 {
		t.Fatalf("%d requests, %d dropped, %d scheduled; the server saw %d; want 400", tot.Requests, tot.Dropped, tot.Scheduled, s.served.Load())
	}
	again, _, err := history.Open(filepath.Dir(s.record), s.record)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Snapshot().Totals; got != tot {
		t.Errorf("the record adds up to\n%+v\nthe run to\n%+v", got, tot)
	}
	v := await(t, s.run, "the run has ended", func(v *conductor.View) bool { return v.State == conductor.Ended })
	if v.Ended != conductor.Finished {
		t.Errorf("ended %q", v.Ended)
	}
}

// A report can be asked for when all is over, as long as nobody else has the ledger; other commands do nothing then.
func TestReportAfterTheEnd(t *testing.T) {
	var asked []string
	s := start(t, held(50, time.Second), func(c *conductor.Config) {
		c.Snapshot = func(path string) (string, error) {
			asked = append(asked, path)
			return path, nil
		}
	})
	ended := await(t, s.run, "the run has ended", func(v *conductor.View) bool { return v.State == conductor.Ended })
	s.run.Send(conductor.Mark{Text: "too late"})
	s.run.Send(conductor.Snapshot{Path: "end.md"})
	v := await(t, s.run, "the report is written", func(v *conductor.View) bool { return len(v.Events) > len(ended.Events) })
	if last := v.Events[len(v.Events)-1].Text; last != "report written to end.md" || len(v.Events) != len(ended.Events)+1 {
		t.Errorf("%q, after %d events more", last, len(v.Events)-len(ended.Events))
	}
	if err := s.run.Wait(); err != nil {
		t.Fatal(err)
	}
	s.run.Send(conductor.Snapshot{Path: "later.md"})
	if _, err := s.run.Next(t.Context()); err != nil || len(asked) != 1 {
		t.Errorf("%v, %q", err, asked)
	}
}

// Hold makes the run longer, a factor makes it denser, and each is an event.
func TestLiveChanges(t *testing.T) {
	const length = 4 * time.Second // a busy machine may take long to hear the first order
	s := start(t, held(50, length), nil)
	await(t, s.run, "requests ended", func(v *conductor.View) bool { return v.Elapsed > 500*time.Millisecond })
	s.run.Send(conductor.Hold{})
	await(t, s.run, "it is held", func(v *conductor.View) bool { return v.State == conductor.Held })
	s.run.Send(conductor.Factor{By: 2})
	await(t, s.run, "the rate is doubled", func(v *conductor.View) bool { return asked(v) > 99 })
	await(t, s.run, "it outlasts its profile", func(v *conductor.View) bool { return v.Total > length+time.Second })
	s.run.Send(conductor.Hold{})
	s.run.Send(conductor.Mark{Text: "here"})
	if err := s.run.Wait(); err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, e := range s.run.Ledger().Events() {
		text += e.Text + "\n"
	}
	for _, want := range []string{"held", "200 %", "goes on", "here"} {
		if !strings.Contains(text, want) {
			t.Errorf("no event says %q:\n%s", want, text)
		}
	}
	if tot := s.run.Ledger().Snapshot().Totals; int64(tot.Requests) != s.served.Load() || tot.Scheduled != tot.Requests+tot.Dropped {
		t.Errorf("%d scheduled, %d requests, %d dropped, the server saw %d", tot.Scheduled, tot.Requests, tot.Dropped, s.served.Load())
	}
}

// A pause is zero load, and is left out of the totals.
func TestPause(t *testing.T) {
	s := start(t, held(100, 4*time.Second), nil)
	await(t, s.run, "it runs", func(v *conductor.View) bool { return v.Elapsed > 400*time.Millisecond })
	s.run.Send(conductor.Pause{})
	v := await(t, s.run, "it is paused", func(v *conductor.View) bool { return v.State == conductor.Paused && asked(v) == 0 })
	from := v.Elapsed
	await(t, s.run, "a second has passed", func(v *conductor.View) bool { return v.Elapsed > from+1500*time.Millisecond })
	s.run.Send(conductor.Pause{})
	if err := s.run.Wait(); err != nil {
		t.Fatal(err)
	}
	tot := s.run.Ledger().Snapshot().Totals
	if tot.Scheduled != 400 {
		t.Errorf("%d arrivals, want the profile's 400", tot.Scheduled)
	}
	if tot.ArrivalsRPS < 90 || tot.ArrivalsRPS > 110 {
		t.Errorf("%.1f arrivals a second: the pause must not count", tot.ArrivalsRPS)
	}
}

// Stop drains and says who stopped; a raise that is not allowed changes nothing.
func TestStopAndRefusedRaise(t *testing.T) {
	s := start(t, held(50, 30*time.Second), func(c *conductor.Config) {
		c.AllowRate = func(peak float64) error { return fmt.Errorf("no more than 50/s without a basis, %.0f asked", peak) }
	})
	await(t, s.run, "it runs", func(v *conductor.View) bool { return v.Elapsed > 300*time.Millisecond })
	s.run.Send(conductor.Factor{By: 1.1})
	await(t, s.run, "the raise was refused", func(v *conductor.View) bool {
		return len(v.Events) > 0 && strings.Contains(v.Events[len(v.Events)-1].Text, "not raised")
	})
	s.run.Send(conductor.Stop{})
	if err := s.run.Wait(); err != nil {
		t.Fatal(err)
	}
	if end, ok := s.run.Ledger().End(); !ok || end.Ended != ledger.ByUser {
		t.Errorf("ended %+v", end)
	}
}
