package conductor_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"lt/engine/conductor"
	"lt/engine/history"
	"lt/engine/ledger"
	"lt/engine/load"
	"lt/engine/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conducted starts a run of one simulated source that has begun that long ago, without a record.
func conducted(t *testing.T, spec load.Spec, ago time.Duration, change func(*ledger.Header, *conductor.Config)) (*conductor.Run, *sources) {
	t.Helper()
	s := newSources(spec, metrics.Member{Name: "local", Kind: "local", Weight: 1, Share: 1, State: "starting"})
	h := ledger.Header{
		Schema: ledger.Schema, ID: "0123456789", Name: "test", Model: "open", Steps: []metrics.StepName{{Scenario: "test", Step: "GET /"}},
		Sources: []ledger.Source{{Name: "local", Kind: "local", Weight: 1, Share: 1, State: "starting"}},
	}
	for _, st := range spec.Profile.Stages {
		h.Stages = append(h.Stages, ledger.Stage{Name: st.Name, For: st.For, At: st.At})
	}
	c := conductor.Config{Source: s, Spec: spec}
	if change != nil {
		change(&h, &c)
	}
	var err error
	if c.Ledger, err = ledger.New(h); err != nil {
		t.Fatal(err)
	}
	run := conductor.Start(t.Context(), c)
	s.begin(-ago)
	return run, s
}

// second is an interval of the simulated source in which so many requests ended, so many of them in an error.
func second(at, n, bad uint64) *metrics.Interval {
	r := metrics.Record{Requests: n, Attempts: n}
	r.Errors[metrics.Status] = bad
	return &metrics.Interval{
		Source: "local", Seq: at, From: time.Duration(at) * time.Second, Length: time.Second,
		Scheduled: n, Started: n, Due: n, Iterations: n, Records: []metrics.Record{r},
	}
}

func texts(r *conductor.Run) string {
	var all []string
	for _, e := range r.Ledger().Events() {
		all = append(all, e.Text)
	}
	return strings.Join(all, "\n")
}

// Lines that nobody reads hold nothing back: the run is steered and stopped all the same, and whoever reads again gets the last
// picture before the run is over.
func TestWatcherThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := make(chan struct{})
		var seen []conductor.State
		run, s := conducted(t, steady(), 0, func(_ *ledger.Header, c *conductor.Config) {
			c.Watch = func(v *conductor.View) {
				seen = append(seen, v.State)
				<-hung
			}
		})
		time.Sleep(2 * time.Second)
		for k := range 5 {
			s.reports <- metrics.Report{Interval: second(uint64(k), 10, 0)}
			time.Sleep(time.Second)
		}
		run.Send(conductor.Stop{})
		time.Sleep(time.Second)
		if got := s.heard(); got != "change" {
			t.Errorf("while nobody reads the lines, a stop told the sources: %q", got)
		}
		s.Cut()
		synctest.Wait()
		select {
		case <-run.Done():
			t.Error("the run is over, and its last picture was not shown")
		default:
		}
		close(hung)
		if err := run.Wait(); err != nil {
			t.Error(err)
		}
		if len(seen) > 3 || seen[len(seen)-1] != conductor.Ended {
			t.Errorf("seen: %v; want the first, perhaps one that waited, and the last", seen)
		}
	})
}

// Stages that came and went while nobody could look are all there, each where it was.
func TestNoStageIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := steady()
		spec.Profile.Stages = []load.Stage{
			{Name: "one", For: 1500 * time.Millisecond, At: 10},
			{Name: "two", For: 100 * time.Millisecond, At: 20},
			{Name: "three", For: 2 * time.Second, At: 30},
			{Name: "four", For: 10 * time.Second, At: 40},
		}
		var record string
		run, s := conducted(t, spec, 5*time.Second, func(h *ledger.Header, c *conductor.Config) {
			w, err := history.Create(t.TempDir(), *h)
			if err != nil {
				t.Fatal(err)
			}
			c.Record, record = w, w.Path()
		})
		time.Sleep(20 * time.Second)
		s.Cut()
		if err := run.Wait(); err != nil {
			t.Fatal(err)
		}
		again, _, err := history.Open("", record)
		if err != nil {
			t.Fatal(err)
		}
		var edges []ledger.StageEdge
		if err := again.Replay(func(it ledger.Item) error {
			if e, ok := it.(*ledger.StageEdge); ok {
				edges = append(edges, *e)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var want []ledger.StageEdge
		at := time.Duration(0)
		for i, st := range spec.Profile.Stages {
			want = append(want, ledger.StageEdge{Index: i, At: at}, ledger.StageEdge{Index: i, At: at + st.For, Ends: true})
			at += st.For
		}
		if !slices.Equal(edges, want) {
			t.Errorf("edges\n%+v, want\n%+v", edges, want)
		}
	})
}

// Every command is answered, if only by a sentence that says why nothing was done; names become harmless.
func TestEveryCommandIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := steady()
		spec.Profile.Stages[0].Name = "hold\x1b[2J\u202e"
		run, s := conducted(t, spec, -time.Second, nil)
		synctest.Wait()
		run.Send(conductor.Factor{By: 2})
		time.Sleep(2 * time.Second)
		run.Send(conductor.Stop{})
		for _, c := range []conductor.Command{conductor.Hold{}, conductor.Stop{}, conductor.Drain{Name: "local"}, conductor.Add{Spec: "ada"}} {
			run.Send(c)
		}
		synctest.Wait()
		s.Cut()
		if err := run.Wait(); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"nothing was changed: the run has not begun", `hold\x1b[2J\u202e begins`, "stopped by hand: draining", "nothing was changed: the load has ended",
			"it is draining already: what is in hand finishes", "local is not drained: the run is ending, and it with it", "ada does not join: the run is ending",
		}
		if got := texts(run); got != strings.Join(want, "\n") {
			t.Errorf("said\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	})
}

// A criterion with stop ends the run, once, and the run says so; a run that is over is not ended again.
func TestCriterionEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, s := conducted(t, steady(), 0, func(h *ledger.Header, _ *conductor.Config) { h.SLO = []string{"errors < 20% over 3s, stop"} })
		time.Sleep(time.Second)
		for k := range 6 {
			s.reports <- metrics.Report{Interval: second(uint64(k), 10, 9)}
			time.Sleep(time.Second)
			if stopped := s.heard() != ""; stopped != (k >= 2) {
				t.Errorf("after %d s stopped: %t", k+1, stopped)
			}
		}
		s.Cut()
		if err := run.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := s.heard(); got != "change, cut" || run.Ended() != ledger.BySLO {
			t.Errorf("the sources heard %q, ended %q", got, run.Ended())
		}
		if n := strings.Count(texts(run), "the run is ended"); n != 1 {
			t.Errorf("said %d times:\n%s", n, texts(run))
		}
	})
}

// The age of what a source told grows by the clock, so that one that is silent shows.
func TestSilentSourceAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, s := conducted(t, steady(), 0, nil)
		s.reports <- metrics.Report{Interval: second(0, 10, 0)}
		time.Sleep(9 * time.Second)
		if age := look(t, run).Snapshot.Sources[0].Age; age < 8*time.Second || age > 10*time.Second {
			t.Errorf("its data is said to be %v old, want 8 to 10 s", age)
		}
		s.Cut()
		run.Wait()
	})
}

// A panic puts the terminal right before anybody is told that the run is over.
func TestPanicIsSeenFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var run *conductor.Run
		recovered := false
		run, s := conducted(t, steady(), 0, func(_ *ledger.Header, c *conductor.Config) {
			c.AllowRate = func(float64) error { panic("planted") }
			c.Recover = func() {
				if recover() == nil {
					return
				}
				recovered = true
				select {
				case <-run.Done():
					t.Error("the run was over before the panic was seen")
				default:
				}
			}
		})
		time.Sleep(time.Second)
		run.Send(conductor.Factor{By: 2})
		<-run.Done()
		if !recovered {
			t.Error("the panic was not seen")
		}
		s.Cut()
	})
}

// hanging is a file on a disk that stops answering, and answers again when the channel is closed.
type hanging struct {
	*os.File
	hangs  atomic.Bool
	answer chan struct{}
}

func (f *hanging) wait() {
	if f.hangs.Load() {
		<-f.answer
	}
}

func (f *hanging) Write(b []byte) (int, error) { f.wait(); return f.File.Write(b) }
func (f *hanging) Sync() error                 { f.wait(); return f.File.Sync() }
func (f *hanging) Close() error                { f.wait(); return f.File.Close() }

// A disk that hangs holds up neither the run nor its end: what was measured is all there, and the diary says that the record is not.
func TestDiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &hanging{answer: make(chan struct{})}
		run, s := conducted(t, steady(), 0, func(h *ledger.Header, c *conductor.Config) {
			f, err := os.Create(filepath.Join(t.TempDir(), "x.lt"))
			if err != nil {
				t.Fatal(err)
			}
			disk.File = f
			if c.Record, err = history.NewWriter(disk, f.Name(), *h); err != nil {
				t.Fatal(err)
			}
		})
		time.Sleep(2 * time.Second)
		disk.hangs.Store(true)
		for k := range 5 {
			s.reports <- metrics.Report{Interval: second(uint64(k), 10, 0)}
			time.Sleep(time.Second)
		}
		stopped := time.Now()
		run.Send(conductor.Stop{})
		time.Sleep(500 * time.Millisecond)
		if got := s.heard(); got != "change" {
			t.Errorf("half a second after the stop the sources were told: %q", got)
		}
		s.Cut()
		if err := run.Wait(); err != nil {
			t.Error(err)
		}
		if passed := time.Since(stopped); passed > 6*time.Second {
			t.Errorf("a stop by hand took %v", passed)
		}
		if got := texts(run); !strings.Contains(got, "the record could not be ended: the disk does not answer") || !errors.Is(run.RecordErr(), history.ErrHung) {
			t.Errorf("the record: %v; the diary:\n%s", run.RecordErr(), got)
		}
		if n := run.Ledger().Snapshot().Totals.Requests; n != 50 {
			t.Errorf("%d requests in the account, want 50", n)
		}
		close(disk.answer)
	})
}
