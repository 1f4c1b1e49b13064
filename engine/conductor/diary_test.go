package conductor_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lt/engine/conductor"
	"lt/engine/ledger"
	"lt/engine/metrics"
)

// told are the events of some kind.
func told(events []conductor.Event, kind conductor.EventKind) (out []string) {
	for _, e := range events {
		if e.Kind == kind {
			out = append(out, e.Text)
		}
	}
	return out
}

// Each turn of a criterion is told once; one about the whole run not before ten seconds of it have counted, and one that plays
// around its limit does not fill the diary.
func TestTheDiaryTellsTheTurnsOfCriteria(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, s := conducted(t, held(10, 2*time.Minute), 0, func(h *ledger.Header, _ *conductor.Config) {
			h.SLO = []string{"errors < 20%", "errors < 30% over 1s"}
		})
		time.Sleep(time.Second)
		for k := range 60 {
			bad := uint64(0)
			if k < 15 || k%2 == 0 {
				bad = 9
			}
			s.reports <- metrics.Report{Interval: second(uint64(k), 10, bad)}
			if k < 9 {
				time.Sleep(600 * time.Millisecond)
				if early := told(look(t, run).Events, conductor.EventSLO); len(early) != 1 {
					t.Fatalf("told after %d s: %q; want the window's alone", k+1, early)
				}
			}
			time.Sleep(time.Until(s.Epoch().Add(time.Duration(k+2) * time.Second)))
		}
		s.Cut()
		if err := run.Wait(); err != nil {
			t.Fatal(err)
		}
		all := told(run.Ledger().Events(), conductor.EventSLO)
		if len(all) != 21 || all[0] != "errors < 30% over 1s does not hold: 90.0 %" || all[1] != "errors < 20% does not hold: 90.0 %" {
			t.Fatalf("%d events, want 20 of the window and one of the run:\n%s", len(all), strings.Join(all, "\n"))
		}
		if again := all[2]; again != "errors < 30% over 1s holds now: 0.00 %, worst 90.0 %" {
			t.Errorf("the window that holds again is told as %q", again)
		}
		if last := all[20]; !strings.HasSuffix(last, "its turns are not told") {
			t.Errorf("the last that is told says %q", last)
		}
	})
}

// The first error of each kind is told, at its own time; what is this machine's is not told as the target's, and how many
// kinds there are is bounded.
func TestTheDiaryTellsFirstErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, s := conducted(t, held(10, 2*time.Minute), 0, nil)
		time.Sleep(time.Second)
		for k := range 3 {
			iv := second(uint64(k), 10, 4)
			at := iv.From + 300*time.Millisecond
			iv.Errors = []metrics.ErrorCount{
				{Class: metrics.Status, Status: 503, Message: "status 503", Count: 3, First: at, Last: at},
				{Class: metrics.Limit, Message: "no port is free", Count: 1, First: at, Last: at},
			}
			for i := range 60 * k / 2 {
				iv.Errors = append(iv.Errors, metrics.ErrorCount{Class: metrics.Status, Status: uint16(520 + i), Message: fmt.Sprintf("status %d", 520+i), Count: 1, First: at, Last: at})
			}
			s.reports <- metrics.Report{Interval: iv}
			time.Sleep(time.Second)
		}
		s.Cut()
		if err := run.Wait(); err != nil {
			t.Fatal(err)
		}
		var first ledger.Event
		for _, e := range run.Ledger().Events() {
			if e.Kind == conductor.EventTarget {
				first = e
				break
			}
		}
		if first.Text != "first seen at test/GET /: status 503" || first.At != 300*time.Millisecond {
			t.Errorf("told as %q at %v", first.Text, first.At)
		}
		if own := told(run.Ledger().Events(), conductor.EventGuard); len(own) != 1 || own[0] != "first seen at test/GET /: no port is free" {
			t.Errorf("this machine's: %q", own)
		}
		if n := len(told(run.Ledger().Events(), conductor.EventTarget)); n != 49 {
			t.Errorf("%d kinds are told beside this machine's, want 49", n)
		}
	})
}
