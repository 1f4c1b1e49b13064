package conductor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/conductor"
	"lt/engine/history"
	"lt/engine/ledger"
	"lt/engine/load"
	"lt/engine/metrics"
)

// sources is a fleet whose members do what a test says.
type sources struct {
	mu      sync.Mutex
	reports chan metrics.Report
	members []metrics.Member
	prompts []metrics.Prompt
	epoch   time.Time
	err     error
	said    []string // what it was told
	log     *load.Log
}

func newSources(spec load.Spec, members ...metrics.Member) *sources {
	return &sources{reports: make(chan metrics.Report, 64), members: members, log: load.NewLog(&spec)}
}

func (s *sources) Start(context.Context)               {}
func (s *sources) Reports() <-chan metrics.Report      { return s.reports }
func (s *sources) Timeline() *load.Timeline            { return s.log.Timeline() }
func (s *sources) Release(*metrics.Interval)           {}
func (s *sources) Cut()                                { s.tell("cut"); close(s.reports) }
func (s *sources) Answer(id int, text string, ok bool) { s.tell("answer " + text) }
func (s *sources) Drain(name string) error             { s.tell("drain " + name); return nil }
func (s *sources) Change(load.ChangeKind, float64) (time.Duration, error) {
	s.tell("change")
	return 0, nil
}

func (s *sources) Add(spec string) error {
	s.tell("add " + spec)
	if strings.Contains(spec, " ") {
		return errors.New("an address has no blanks")
	}
	return nil
}

func (s *sources) Epoch() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

func (s *sources) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *sources) Members() []metrics.Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]metrics.Member(nil), s.members...)
}

func (s *sources) Prompts() []metrics.Prompt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]metrics.Prompt(nil), s.prompts...)
}

func (s *sources) tell(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, what)
}

func (s *sources) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.said, ", ")
}

// becomes changes a member and reports it.
func (s *sources) becomes(i int, text string, change func(*metrics.Member)) {
	s.mu.Lock()
	change(&s.members[i])
	m := s.members[i]
	s.mu.Unlock()
	s.reports <- metrics.Report{Source: i, Member: &m, Text: text}
}

// begin fixes run time zero.
func (s *sources) begin(in time.Duration) {
	s.mu.Lock()
	s.epoch = time.Now().Add(in)
	for i := range s.members {
		if s.members[i].State == "starting" {
			s.members[i].State, s.members[i].Step = "running", ""
		}
	}
	s.mu.Unlock()
	s.reports <- metrics.Report{Begun: true}
}

// fleetRun starts a run of simulated sources, with a record on disk.
func fleetRun(t *testing.T, s *sources, spec load.Spec) (run *conductor.Run, record string) {
	t.Helper()
	h := ledger.Header{
		Schema: ledger.Schema, ID: "0123456789", Name: "test", Model: "open", Started: time.Now(),
		Stages: []ledger.Stage{{Name: "hold", For: spec.Profile.Stages[0].For, At: spec.Profile.Stages[0].At}},
	}
	for _, m := range s.members {
		h.Sources = append(h.Sources, ledger.Source{Name: m.Name, Kind: m.Kind, Weight: 1, Share: 0.5, State: m.State})
	}
	l, err := ledger.New(h)
	if err != nil {
		t.Fatal(err)
	}
	w, err := history.Create(t.TempDir(), h)
	if err != nil {
		t.Fatal(err)
	}
	w.Follow(l)
	return conductor.Start(t.Context(), conductor.Config{Ledger: l, Record: w, Source: s, Spec: spec}), w.Path()
}

func two() []metrics.Member {
	return []metrics.Member{
		{Name: "local", Kind: "local", Weight: 1, Share: 0.5, State: "starting"},
		{Name: "ada", Kind: "ssh", Weight: 1, Share: 0.5, State: "starting", Step: "dial"},
	}
}

func steady() load.Spec {
	return load.Spec{Profile: load.Profile{Stages: []load.Stage{{Name: "hold", For: 20 * time.Second, At: 10}}}, Weights: []int{1}, Arrivals: load.Even, Seed: 1}
}

// look is the next View; Next asks for one, and it comes with the tick after.
func look(t *testing.T, r *conductor.Run) *conductor.View {
	t.Helper()
	time.Sleep(2 * conductor.ViewEvery)
	synctest.Wait()
	var v *conductor.View
	for range 2 { // the first may be older
		var err error
		if v, err = r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// A start takes its time: run time stands at zero, its steps are seen, and its questions are passed on and answered.
func TestStartOfAFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSources(steady(), two()...)
		run, path := fleetRun(t, s, steady())
		s.becomes(1, "", func(m *metrics.Member) { m.Step, m.Progress = "upload", 0.43 })
		s.prompts = []metrics.Prompt{{ID: 3, Source: "ada", Text: "password:", Secret: true}}
		time.Sleep(3 * time.Second)
		v := look(t, run)
		if v.State != conductor.Starting || v.Begun || v.Elapsed != 0 || v.Stage != -1 {
			t.Errorf("state %s, begun %t, at %s in stage %d", v.State, v.Begun, v.Elapsed, v.Stage)
		}
		ada := v.Snapshot.Sources[1]
		if ada.State != "starting" || ada.Step != "upload" || ada.Progress != 0.43 || ada.Starting < 3*time.Second {
			t.Errorf("ada is shown as %s, %s %.2f, after %s", ada.State, ada.Step, ada.Progress, ada.Starting)
		}
		if len(v.Prompts) != 1 || v.Prompts[0].Text != "password:" {
			t.Errorf("prompts %+v", v.Prompts)
		}
		run.Send(conductor.Answer{ID: 3, Text: "secret", OK: true})
		run.Send(conductor.Factor{By: 2}) // means nothing yet
		run.Send(conductor.Add{Spec: "bob"})
		run.Send(conductor.Add{Spec: "no good"})
		run.Send(conductor.Drain{Name: "ada"})
		synctest.Wait()
		if got := s.heard(); got != "answer secret, add bob, add no good, drain ada" {
			t.Errorf("the sources were told: %s", got)
		}
		s.becomes(1, "", func(m *metrics.Member) { m.Step, m.Progress = "ready", 0 })
		ready := look(t, run).Snapshot.Sources[1].Starting
		s.begin(2 * time.Second)
		if v = look(t, run); !v.Begun || v.State != conductor.Starting || v.StartsIn <= 0 || v.StartsIn > 2*time.Second || v.Elapsed != 0 {
			t.Errorf("before zero: state %s, begun %t, starts in %s, at %s", v.State, v.Begun, v.StartsIn, v.Elapsed)
		}
		if got := v.Snapshot.Sources[1].Starting; got != ready {
			t.Errorf("the start of ada took %s, and later %s", ready, got)
		}
		time.Sleep(3 * time.Second)
		if v = look(t, run); v.State != conductor.Running || v.Elapsed < time.Second || v.Stage != 0 || v.Snapshot.Sources[1].State != "running" {
			t.Errorf("after zero: state %s at %s in stage %d, ada %s", v.State, v.Elapsed, v.Stage, v.Snapshot.Sources[1].State)
		}
		s.becomes(1, "ada is lost: silent for 6 s", func(m *metrics.Member) {
			m.State, m.Reason, m.Share, m.LostAt = "lost", "silent for 6 s", 0, 3*time.Second
		})
		v = look(t, run)
		if v.Snapshot.Sources[1].State != "lost" || v.Snapshot.Sources[1].LostAt != 3*time.Second {
			t.Errorf("lost: %+v", v.Snapshot.Sources[1])
		}
		if e := v.Events[len(v.Events)-1]; e.Kind != conductor.EventSource || e.Text != "ada is lost: silent for 6 s" {
			t.Errorf("the last event is %+v", e)
		}
		s.Cut()
		if err := run.Wait(); err != nil || !run.Begun() {
			t.Errorf("ended with %v, begun %t", err, run.Begun())
		}
		again, _, err := history.Open(filepath.Dir(path), path)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.Snapshot().Sources[1]; got.State != "lost" || got.Reason != "silent for 6 s" || got.LostAt != 3*time.Second || got.Share != 0 {
			t.Errorf("the record has %+v", got)
		}
		if got := again.Header().Started; !got.Equal(s.Epoch()) {
			t.Errorf("the record says that the run began at %v, and run time zero was %v", got, s.Epoch())
		}
		for _, e := range again.Events() {
			if strings.Contains(e.Text, "secret") {
				t.Errorf("the record has the answer to a prompt: %q", e.Text)
			}
		}
	})
}

// A source that was refused before run time zero is so in the record from there on: nobody waits for what it measured.
func TestTheRecordBeginsWithWhoWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSources(steady(), two()...)
		run, path := fleetRun(t, s, steady())
		s.becomes(1, "", func(m *metrics.Member) { m.State, m.Reason, m.Share = "refused", "dial: connection refused", 0 })
		time.Sleep(time.Second)
		s.begin(0)
		time.Sleep(time.Second)
		synctest.Wait()
		so, _, err := history.Open("", path)
		if err != nil {
			t.Fatal(err)
		}
		if got := so.Snapshot().Sources[1]; got.State != "refused" || got.Reason == "" {
			t.Errorf("while the run goes on the record has %s, %q", got.State, got.Reason)
		}
		s.Cut()
		run.Wait()
	})
}

// A run that never began leaves no record, whoever ended its start.
func TestStartThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*conductor.Run, *sources)
		want ledger.Ended
		fail bool
	}{
		"a peer refused": {func(_ *conductor.Run, s *sources) {
			s.becomes(1, "", func(m *metrics.Member) { m.State, m.Reason = "refused", "dial: connection refused" })
			s.mu.Lock()
			s.err = errors.New("1 of 2 could not be started")
			s.mu.Unlock()
			close(s.reports)
		}, ledger.Failed, true},
		"stopped": {func(r *conductor.Run, _ *sources) { r.Send(conductor.Stop{}) }, ledger.ByUser, false},
		"cut":     {func(r *conductor.Run, _ *sources) { r.Send(conductor.Now{}) }, ledger.ByUser, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSources(steady(), two()...)
				run, path := fleetRun(t, s, steady())
				time.Sleep(time.Second)
				c.end(run, s)
				if err := run.Wait(); (err != nil) != c.fail {
					t.Errorf("ended with %v", err)
				}
				if run.Begun() || run.Ended() != c.want {
					t.Errorf("begun %t, ended %q", run.Begun(), run.Ended())
				}
				if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the record is still there: %v", err)
				}
				v := look(t, run)
				if v.State != conductor.Ended || v.Begun || len(v.Snapshot.Sources) != 2 {
					t.Errorf("the last picture: %s, begun %t, %d sources", v.State, v.Begun, len(v.Snapshot.Sources))
				}
				if c.fail && v.Snapshot.Sources[1].State != "refused" {
					t.Errorf("ada is shown as %q", v.Snapshot.Sources[1].State)
				}
			})
		})
	}
}

// A record that cannot be written is said once; the run goes on, and what was measured is all there.
func TestRecordThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSources(steady(), two()...)
		h := ledger.Header{Schema: ledger.Schema, ID: "0123456789", Name: "test", Model: "open", Stages: []ledger.Stage{{Name: "hold", For: 20 * time.Second, At: 10}}}
		l, err := ledger.New(h)
		if err != nil {
			t.Fatal(err)
		}
		w, err := history.Create(t.TempDir(), h)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil { // nothing more can be written
			t.Fatal(err)
		}
		run := conductor.Start(t.Context(), conductor.Config{Ledger: l, Record: w, Source: s, Spec: steady()})
		s.begin(0)
		time.Sleep(2 * time.Second)
		s.becomes(1, "ada is suspect", func(m *metrics.Member) { m.State = "suspect" })
		time.Sleep(time.Second)
		s.Cut()
		if err := run.Wait(); err != nil {
			t.Errorf("the run ended with %v", err)
		}
		if run.RecordErr() == nil {
			t.Error("nobody is told that the record does not hold the run")
		}
		said, went := 0, false
		for _, e := range l.Events() {
			if strings.Contains(e.Text, "the record can no longer be written") {
				said++
			}
			went = went || e.Text == "ada is suspect"
		}
		if said != 1 || !went {
			t.Errorf("said %d times, went on: %t: %+v", said, went, l.Events())
		}
	})
}
