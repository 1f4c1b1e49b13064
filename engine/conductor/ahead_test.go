package conductor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/conductor"
	"lt/engine/history"
	"lt/engine/ledger"
	"lt/engine/load"
)

// distant is a source whose changes take a second to hold, and its stop less, as of peers far away.
type distant struct{ *sources }

func (d distant) Change(kind load.ChangeKind, factor float64) (time.Duration, error) {
	at := time.Since(d.Epoch()) + time.Second
	if kind == load.Stop {
		at -= 600 * time.Millisecond
	}
	return at, d.log.Append(load.Change{At: at, Kind: kind, Factor: factor})
}

// far runs commands on a distant source, the first at 5 s and each 50 ms after the one before, and gives back what the record says.
func far(t *testing.T, then time.Duration, commands ...conductor.Command) (run *conductor.Run, s *sources, items []ledger.Item) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var record string
		run, s = conducted(t, steady(), 5*time.Second, func(h *ledger.Header, c *conductor.Config) {
			w, err := history.Create(t.TempDir(), *h)
			if err != nil {
				t.Fatal(err)
			}
			c.Record, record = w, w.Path()
			c.Source = distant{c.Source.(*sources)}
		})
		synctest.Wait()
		for _, c := range commands {
			run.Send(c)
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(then)
		s.Cut()
		if err := run.Wait(); err != nil {
			t.Fatal(err)
		}
		again, _, err := history.Open("", record)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Replay(func(it ledger.Item) error {
			switch it.(type) {
			case *ledger.Change, *ledger.Pause, *ledger.StageEdge:
				items = append(items, it)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
	return run, s, items
}

// A pause that was ordered a moment before the stop, and would have held after it, is not in the record, and the diary says so: the
// stage ends with the load.
func TestAStopMakesVoidWhatLiesAhead(t *testing.T) {
	run, s, items := far(t, 3*time.Second, conductor.Pause{}, conductor.Stop{})
	end := s.Timeline().End()
	if len(items) != 2 {
		t.Fatalf("%d items: %+v", len(items), items)
	}
	if e, ok := items[1].(*ledger.StageEdge); !ok || !e.Ends || e.At != end {
		t.Errorf("%+v; the load ended at %v", items[1], end)
	}
	if got := texts(run); !strings.Contains(got, "stopped before it could take effect: paused") {
		t.Errorf("said\n%s", got)
	}
}

// What holds is recorded when it does, and before the stop; each press of a key that raises the load counts, whether or not the one
// before has taken effect.
func TestEachRaiseCounts(t *testing.T) {
	_, s, items := far(t, 3*time.Second, conductor.Factor{By: 1.1}, conductor.Factor{By: 1.1}, conductor.Factor{By: 1.1})
	if f := s.Timeline().At(8 * time.Second).Factor; f < 1.33 || f > 1.332 {
		t.Errorf("three times 10 %% more come to a factor of %v", f)
	}
	n := 0
	for _, it := range items {
		if c, ok := it.(*ledger.Change); ok {
			n++
			if c.At < 6*time.Second || c.At > 7*time.Second {
				t.Errorf("%+v", c)
			}
		}
	}
	if n != 3 {
		t.Errorf("%d changes in the record: %+v", n, items)
	}
}

// As often down as up is the profile itself: the last bit of a product must not stand above what a target may be asked.
func TestDownAndUpIsNoChange(t *testing.T) {
	var asked []float64
	synctest.Test(t, func(t *testing.T) {
		run, s := conducted(t, steady(), 5*time.Second, func(_ *ledger.Header, c *conductor.Config) {
			c.Source = distant{c.Source.(*sources)}
			c.AllowRate = func(peak float64) error { asked = append(asked, peak); return nil }
		})
		synctest.Wait()
		for range 7 {
			run.Send(conductor.Factor{By: 1 / 1.1})
		}
		for range 7 {
			run.Send(conductor.Factor{By: 1.1})
		}
		time.Sleep(3 * time.Second)
		s.Cut()
		run.Wait()
		if f := s.Timeline().At(8 * time.Second).Factor; f != 1 {
			t.Errorf("the factor is %v", f)
		}
	})
	if n := len(asked); n != 7 || asked[n-1] != 10 {
		t.Errorf("asked for %v, want 10 at the end", asked)
	}
}

// A raise that max_rate caps says so.
func TestACappedRaiseSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := steady()
		spec.MaxRate = 10.5
		run, s := conducted(t, spec, 5*time.Second, func(_ *ledger.Header, c *conductor.Config) { c.Source = distant{c.Source.(*sources)} })
		synctest.Wait()
		run.Send(conductor.Factor{By: 1.1})
		time.Sleep(3 * time.Second)
		s.Cut()
		run.Wait()
		if got := texts(run); !strings.Contains(got, "load set to 110 % of the profile, at most max_rate 10.5") {
			t.Errorf("said\n%s", got)
		}
	})
}
