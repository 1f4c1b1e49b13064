package slo

import (
	"strings"
	"testing"
	"time"

	"lt/engine/metrics"
)

var steps = []metrics.StepName{
	{Scenario: "buyer", Step: "login", Kind: metrics.KindSetup},
	{Scenario: "buyer", Step: "product"},
	{Scenario: "browser", Step: "home"},
}

var stages = []metrics.StageInfo{{Name: "warm-up", Warmup: true}, {Name: "sustain"}}

// traffic is what one step saw in one second.
type traffic struct {
	step                      uint16
	stage                     int16
	requests, errors, dropped int
	response                  time.Duration
	waited                    time.Duration // the dropped ones at least
}

func second(k int, all ...traffic) *metrics.Interval {
	pages := &metrics.Pages{}
	iv := &metrics.Interval{Seq: uint64(k), From: time.Duration(k) * time.Second, Length: time.Second}
	for _, x := range all {
		r := metrics.Record{Key: metrics.Key{Stage: x.stage, Step: x.step}, Requests: uint64(x.requests), Dropped: uint64(x.dropped), DroppedFrom: x.waited}
		r.Errors[metrics.Status] = uint64(x.errors)
		for range x.requests {
			r.Response.Record(pages, x.response)
		}
		iv.Scheduled += uint64(x.requests + x.dropped)
		iv.Records = append(iv.Records, r)
	}
	return iv
}

func judge(t *testing.T, exprs ...string) *Judge {
	t.Helper()
	var all []*Criterion
	for _, e := range exprs {
		c, err := Parse(e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	j, err := NewJudge(all, steps, stages)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestWithoutSamplesNothingHasPassed(t *testing.T) {
	j := judge(t, "p99 < 1s", "errors < 1%", "rate > 0", "p99 < 1s over 2s", "dropped < 1%")
	for _, r := range j.Results(&metrics.Totals{}) {
		if r.Known || r.OK || r.Ends || r.Text != "no samples" {
			t.Errorf("%+v", r)
		}
	}
}

func TestTheWholeRunLeavesOutWarmUpPausesAndSetup(t *testing.T) {
	j := judge(t, "p50 < 100ms", "errors < 1%", "rate > 90", "buyer/login: max < 1s", "dropped < 5")
	j.Add(second(0, traffic{step: 1, stage: 0, requests: 100, errors: 100, response: 9 * time.Second}))
	j.Add(second(1, traffic{step: 1, stage: metrics.NoStage, requests: 100, errors: 100, response: 9 * time.Second}))
	j.Add(second(2, traffic{step: 0, stage: 1, requests: 100, errors: 100, response: 9 * time.Second}))
	j.Add(second(2, traffic{step: 1, stage: 1, requests: 200, response: 20 * time.Millisecond}))
	r := j.Results(&metrics.Totals{Counted: 2 * time.Second, GoodputRPS: 100, Scheduled: 200})
	for i, want := range []struct {
		ok   bool
		text string
	}{{true, "20.0 ms"}, {true, "0.00 %"}, {true, "100/s"}, {false, "9.00 s"}, {true, "0"}} {
		if !r[i].Known || r[i].OK != want.ok || r[i].Text != want.text {
			t.Errorf("%s: %+v, want %v %q", r[i].Expr, r[i], want.ok, want.text)
		}
	}
}

func TestEveryFullWindowCountsAndTheWorstIsKept(t *testing.T) {
	j := judge(t, "p95 < 200ms over 3s", "errors < 20% over 3s, stop", "browser: rate > 5 over 3s")
	slow := func(k int) bool { return k >= 10 && k < 13 }
	for k := range 20 {
		x := traffic{step: 1, stage: 1, requests: 10, response: 50 * time.Millisecond}
		if slow(k) {
			x.response = 400 * time.Millisecond
		}
		if k == 15 {
			x.errors = 9
		}
		j.Add(second(k, x))
		j.Second(time.Duration(k+1)*time.Second, true)
		r := j.Results(&metrics.Totals{})
		if k < 2 && (r[0].Known || r[1].Known) {
			t.Fatalf("second %d: judged before the first full window: %+v", k, r)
		}
		if fails := k >= 10 && k < 15; r[0].Fails != fails {
			t.Errorf("second %d: fails is %v", k, r[0].Fails)
		}
		if ends := k >= 15; r[1].Ends != ends {
			t.Errorf("second %d: ends is %v", k, r[1].Ends)
		}
	}
	r := j.Results(&metrics.Totals{})
	if r[0].OK || r[0].Worst < 390 || r[0].Worst > 410 || r[0].Value > 60 || !strings.Contains(r[0].Text, "worst 400 ms") {
		t.Errorf("p95: %+v", r[0])
	}
	if r[0].Since != 8*time.Second {
		t.Errorf("p95 does not hold since %v; the first window with a slow second begins at 8s", r[0].Since)
	}
	if r[1].OK || r[1].Worst != 0.3 {
		t.Errorf("errors: %+v, want 9 of 30", r[1])
	}
	if r[2].OK || !r[2].Known || r[2].Value != 0 {
		t.Errorf("a rate of nothing is known to be 0: %+v", r[2])
	}
}

func TestAWindowDoesNotReachOverAPause(t *testing.T) {
	j := judge(t, "errors < 50% over 2s, stop")
	bad := traffic{step: 1, stage: 1, requests: 10, errors: 10, response: time.Millisecond}
	for k, counts := range []bool{true, false, true, false} {
		j.Add(second(k, bad))
		j.Second(time.Duration(k+1)*time.Second, counts)
	}
	if r := j.Results(&metrics.Totals{})[0]; r.Known || r.Ends {
		t.Errorf("no two seconds in a row count, but %+v", r)
	}
}

func TestPartsOfSeveralSourcesMakeOneWindow(t *testing.T) {
	whole, parts := judge(t, "p90 < 1s over 2s"), judge(t, "p90 < 1s over 2s")
	for k := range 4 {
		a := traffic{step: 1, stage: 1, requests: 9, response: 10 * time.Millisecond}
		b := traffic{step: 2, stage: 1, requests: 4, response: 300 * time.Millisecond}
		whole.Add(second(k, a, b))
		parts.Add(second(k, b))
		parts.Add(second(k, a))
		whole.Second(time.Duration(k+1)*time.Second, true)
		parts.Second(time.Duration(k+1)*time.Second, true)
	}
	if w, p := whole.Results(&metrics.Totals{})[0], parts.Results(&metrics.Totals{})[0]; w != p || !w.Known {
		t.Errorf("%+v and %+v", w, p)
	}
}

// A slow link joins seconds: a window that is shorter than what it joined sees each second's part, and no gap before a heap.
func TestSecondsThatALinkJoinedCountEach(t *testing.T) {
	for _, c := range []struct {
		expr string
		ok   bool
	}{{"rate > 90 over 2s", true}, {"rate > 101 over 2s", false}, {"errors < 11% over 1s", true}, {"errors < 9% over 1s", false}} {
		j := judge(t, c.expr)
		for k := range 10 {
			j.Add(second(k, traffic{step: 1, stage: 1, requests: 50, errors: 0, response: time.Millisecond}))
			if k%5 == 4 {
				iv := second(k-4, traffic{step: 1, stage: 1, requests: 300, errors: 50, response: time.Millisecond})
				iv.Length = 5 * time.Second
				j.Add(iv)
			}
		}
		for k := range 10 {
			j.Second(time.Duration(k+1)*time.Second, true)
		}
		if r := j.Results(&metrics.Totals{})[0]; !r.Known || r.OK != c.ok {
			t.Errorf("%s: %+v", c.expr, r)
		}
	}
}

func TestTextSaysWhatAReaderMustKnow(t *testing.T) {
	j := judge(t, "p99 < 1s", "p50 < 60ms", "p99 < 1s, stop")
	j.Add(second(0, traffic{step: 1, stage: 1, requests: 100, dropped: 1, response: 55 * time.Millisecond}))
	r := j.Results(&metrics.Totals{Counted: time.Second})
	if r[0].Text != ">= 55.0 ms (only 100 requests)" {
		t.Errorf("%q", r[0].Text)
	}
	if !r[1].Near || r[1].Text != ">= 55.0 ms" {
		t.Errorf("%+v", r[1])
	}
	j = judge(t, "p99 < 10ms, stop")
	j.Add(second(0, traffic{step: 1, stage: 1, requests: 2000, response: 55 * time.Millisecond}))
	if r := j.Results(&metrics.Totals{Counted: 9 * time.Second})[0]; r.Ends || r.OK {
		t.Errorf("within the grace: %+v", r)
	}
	if r := j.Results(&metrics.Totals{Counted: 10 * time.Second})[0]; !r.Ends {
		t.Errorf("after the grace: %+v", r)
	}
}

// A value is a lower bound where a dropped arrival had waited no longer than it says, in a window as in the whole run.
func TestLowerBounds(t *testing.T) {
	for _, c := range []struct {
		waited time.Duration
		want   [3]bool // p99, max, mean
	}{{10 * time.Second, [3]bool{false, false, true}}, {55 * time.Millisecond, [3]bool{true, true, true}}} {
		for _, over := range []string{"", " over 2s"} {
			j := judge(t, "p99 < 1s"+over, "max < 1s"+over, "mean < 1s"+over)
			for k := range 2 {
				j.Add(second(k, traffic{step: 1, stage: 1, requests: 1000, dropped: k, waited: c.waited, response: 55 * time.Millisecond}))
				j.Second(time.Duration(k+1)*time.Second, true)
			}
			for i, r := range j.Results(&metrics.Totals{Counted: 2 * time.Second}) {
				if got := strings.HasPrefix(r.Text, ">= "); got != c.want[i] {
					t.Errorf("%s, dropped after %v: %q", r.Expr, c.waited, r.Text)
				}
			}
		}
	}
}

func TestNoValueButZeroReadsAsZero(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.00004: "0.000040", 0.004: "0.0040", 0.0999: "0.100", 0.1: "0.10", 5: "5.00", 12.34: "12.3", 480.4: "480"} {
		if got := digits(v); got != want {
			t.Errorf("%v reads %q, want %q", v, got, want)
		}
	}
}

// A record made by someone else may claim an interval of any length.
func TestALongIntervalTakesNoRoom(t *testing.T) {
	j := judge(t, "errors < 1% over 10s")
	iv := second(0, traffic{step: 1, stage: 1, requests: 10})
	iv.Length = 1000 * time.Hour
	j.Add(iv)
	if n := len(j.criteria[0].seconds); n > metrics.MaxJoin {
		t.Errorf("%d seconds are kept", n)
	}
}

func BenchmarkSecond(b *testing.B) {
	b.ReportAllocs()
	c, _ := Parse("p95 < 200ms over 10s")
	j, _ := NewJudge([]*Criterion{c}, steps, stages)
	iv := second(0, traffic{step: 1, stage: 1, requests: 1000, response: 20 * time.Millisecond})
	for k := 0; b.Loop(); k++ {
		iv.From = time.Duration(k) * time.Second
		j.Add(iv)
		j.Second(iv.From+time.Second, true)
	}
}
