package slo

import (
	"strings"
	"testing"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

func TestCriteriaAreReadAsTheyAreWritten(t *testing.T) {
	for expr, want := range map[string]Criterion{
		"p99 < 300ms":                          {Metric: Percentile, Quantile: 0.99, Name: "p99", Op: "<", Limit: 300},
		"p99.9<=1.5s":                          {Metric: Percentile, Quantile: 0.999, Name: "p99.9", Op: "<=", Limit: 1500},
		"errors < 1%":                          {Metric: Errors, Name: "errors", Op: "<", Limit: 0.01},
		"rate > 480":                           {Metric: Rate, Name: "rate", Op: ">", Limit: 480},
		"rate >= 600/m":                        {Metric: Rate, Name: "rate", Op: ">=", Limit: 10},
		"dropped < 10":                         {Metric: Dropped, Name: "dropped", Op: "<", Limit: 10},
		"dropped < 1%":                         {Metric: DropShare, Name: "dropped", Op: "<", Limit: 0.01},
		"buyer/product: p95 < 200ms over 10s":  {Scope: "buyer/product", Metric: Percentile, Quantile: 0.95, Name: "p95", Op: "<", Limit: 200, Window: 10 * time.Second},
		"errors < 20% over 10s, stop":          {Metric: Errors, Name: "errors", Op: "<", Limit: 0.2, Window: 10 * time.Second, Stop: true},
		"buyer/GET http://x:80/a: mean < 20ms": {Scope: "buyer/GET http://x:80/a", Metric: Mean, Name: "mean", Op: "<", Limit: 20},
		"max < 2s,stop":                        {Metric: Max, Name: "max", Op: "<", Limit: 2000, Stop: true},
	} {
		want.Expr = expr
		got, err := Parse(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		got.Quantile = float64(int(got.Quantile*1e6+0.5)) / 1e6
		if *got != want {
			t.Errorf("%s: %+v, want %+v", expr, *got, want)
		}
	}
}

func TestWhatIsWrongWithACriterionIsToldWithWhatToWrite(t *testing.T) {
	for expr, want := range map[string]string{
		"":                         "empty",
		"p99":                      "comparison is missing",
		"p99 < 300":                "write 300s for seconds or 300ms",
		"p99 == 300ms":             "use <, <=, > or >=",
		"p999 < 1s":                "write p99.9",
		"p101 < 1s":                "write p99 or max",
		"p9999 < 1s":               "write p99.99",
		"p100 < 1s":                "write max",
		"errors < 1":               "errors < 1%",
		"errors < 200%":            "not a share",
		"p99 < 1%":                 "not a share",
		"latency < 1s":             "did you mean p99?",
		"speed > 3":                "there are p50",
		"p99 < 1s over":            "window is missing",
		"p99 < 1s over 10":         "write 10s",
		"p99 < 1s over 1500ms":     "whole seconds",
		"p99 < 1s, abort":          ", stop",
		": p99 < 1s":               "scenario is missing",
		"rate > fast":              "not a rate",
		"buyer: dropped < 1%":      "whole run only",
		"p99 < ":                   "limit is missing",
		"p99 < 1s, errors < 1%":    "its own text",
		"buyer/prduct: p95 < 20ms": "did you mean buyer/product?",
		"nobody: p95 < 20ms":       "there are buyer",
	} {
		err := checked(expr)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want something with %q", expr, err, want)
		}
	}
	for _, expr := range []string{"buyer: p95 < 1s", "buyer/product: p95 < 1s", "product: p95 < 1s", "buyer/login: max < 3s"} {
		if err := checked(expr); err != nil {
			t.Errorf("%q: %v", expr, err)
		}
	}
}

// checked parses a criterion and holds its scenario and step against the file.
func checked(expr string) error {
	c, err := Parse(expr)
	if err != nil {
		return err
	}
	return c.Check(file)
}

var file = &scenario.File{Scenarios: []*scenario.Scenario{
	{Name: "buyer", Setup: []*scenario.Step{{Name: "login"}}, Steps: []*scenario.Step{{Name: "product"}, {Name: "cart"}}},
	{Name: "browser", Steps: []*scenario.Step{{Name: "home"}, {Name: "cart"}}},
}}

func TestStepsAreNumberedInJourneyOrder(t *testing.T) {
	got := StepNames(file)
	want := []metrics.StepName{
		{Scenario: "buyer", Step: "login", Kind: metrics.KindSetup},
		{Scenario: "buyer", Step: "product"},
		{Scenario: "buyer", Step: "cart"},
		{Scenario: "browser", Step: "home"},
		{Scenario: "browser", Step: "cart"},
	}
	if len(got) != len(want) {
		t.Fatal(got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("step %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"p99 < 300ms", "buyer/product: p95 < 200ms over 10s", "errors < 20% over 10s, stop", "rate > 480", "p99.9 >= 1m", "dropped < 1%", "p1e1 < 1s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(c.Expr)
		if err != nil || *again != *c {
			t.Fatalf("%q reads as %+v and then as %+v, %v", s, c, again, err)
		}
		if c.Limit < 0 || c.Window < 0 || c.Metric == Percentile && (c.Quantile <= 0 || c.Quantile >= 1) {
			t.Fatalf("%q: %+v", s, c)
		}
	})
}

func TestUnjudgedAreWindowsLongerThanWhatCounts(t *testing.T) {
	f := &scenario.File{SLO: []scenario.Criterion{{Expr: "p99 < 1s over 5s"}, {Expr: "errors < 1% over 6s, stop"}, {Expr: "rate > 5 over 7s"}, {Expr: "rate > 5"}}}
	f.Load.Profile.Stages = []load.Stage{{For: 9 * time.Second, Warmup: true}, {For: 4 * time.Second}, {For: 2 * time.Second}, {For: time.Second, Warmup: true}, {For: 5 * time.Second}}
	if exprs, longest := Unjudged(f); len(exprs) != 1 || exprs[0] != "rate > 5 over 7s" || longest != 6*time.Second {
		t.Errorf("%q, %v", exprs, longest)
	}
	f.Load.Profile.Stages = []load.Stage{{For: sec / 2, Warmup: true}, {For: 6 * sec}} // of which five are whole seconds
	if exprs, longest := Unjudged(f); len(exprs) != 2 || longest != 5*sec {
		t.Errorf("%q, %v", exprs, longest)
	}
}

const sec = time.Second
