package slo

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"lt/engine/metrics"
	"lt/engine/scenario"
)

// Metric is what a criterion compares.
type Metric uint8

// The metrics. Times are response times of the requests that waited for their answer.
const (
	Percentile Metric = iota // Criterion.Quantile of the response time
	Mean                     // of the response time
	Max                      // of the response time
	Errors                   // (errors + dropped) / (requests + dropped), 0..1
	Rate                     // answers without error a second
	Dropped                  // arrivals given up: their number
	DropShare                // the same as a share of the arrivals, 0..1
)

// MaxWindow is the longest window of a criterion.
const MaxWindow = 10 * time.Minute

// Criterion is one parsed expression:
//
//	[scenario: | scenario/step:] metric (< | <= | > | >=) limit [over window] [, stop]
type Criterion struct {
	Expr     string // as written
	Scope    string // scenario, or scenario/step; empty: the whole run
	Metric   Metric
	Quantile float64 // of Percentile, 0..1
	Name     string  // of the metric as written: p99.9, errors ...
	Op       string  // <, <=, >, >=
	Limit    float64 // milliseconds, a share of 0..1, a second, or a number
	Window   time.Duration
	Stop     bool // the run is to end when it fails
}

const forms = "write for example p99 < 300ms, errors < 1%, rate > 480, or buyer/product: p95 < 200ms over 10s, stop"

// Parse reads one criterion. The error says what is wrong and, after a semicolon, what to write.
func Parse(expr string) (*Criterion, error) {
	c := &Criterion{Expr: expr}
	rest := strings.TrimSpace(expr)
	if rest == "" {
		return nil, errors.New("the criterion is empty; " + forms)
	}
	if len(rest) > 500 {
		return nil, errors.New("the criterion is longer than 500 characters; " + forms)
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		c.Scope, rest = strings.TrimSpace(rest[:i]), strings.TrimSpace(rest[i+1:])
		if c.Scope == "" {
			return nil, errors.New("a scenario is missing before the colon; " + forms)
		}
	}
	if head, tail, ok := strings.Cut(rest, ","); ok {
		if tail = strings.TrimSpace(tail); tail != "stop" {
			return nil, fmt.Errorf("%q after the comma means nothing; write \", stop\" to end the run when the criterion fails, and each criterion as its own text", tail)
		}
		c.Stop, rest = true, strings.TrimSpace(head)
	}
	at := strings.IndexAny(rest, "<>=!")
	if at < 0 {
		return nil, errors.New("a comparison is missing; " + forms)
	}
	c.Name = strings.TrimSpace(rest[:at])
	c.Op, rest = rest[at:at+1], rest[at+1:]
	if strings.HasPrefix(rest, "=") {
		c.Op, rest = c.Op+"=", rest[1:]
	}
	switch c.Op {
	case "<", "<=", ">", ">=":
	default:
		return nil, fmt.Errorf("%s compares for equality, which measured values never have; use <, <=, > or >=", c.Op)
	}
	if err := c.metric(); err != nil {
		return nil, err
	}
	limit := strings.TrimSpace(rest)
	if words := strings.Fields(limit); len(words) >= 2 && words[len(words)-2] == "over" {
		if err := c.window(words[len(words)-1]); err != nil {
			return nil, err
		}
		limit = strings.TrimSpace(strings.Join(words[:len(words)-2], " "))
	} else if len(words) > 0 && words[len(words)-1] == "over" {
		return nil, errors.New("the window is missing after over; write for example over 10s")
	}
	if err := c.limit(limit); err != nil {
		return nil, err
	}
	return c, nil
}

// synonyms are what other tools call the metrics.
var synonyms = map[string]string{
	"avg": "mean", "average": "mean", "med": "p50", "median": "p50", "error_rate": "errors", "error": "errors", "failures": "errors", "http_req_failed": "errors",
	"latency": "p99", "response_time": "p99", "http_req_duration": "p99", "duration": "p99", "rps": "rate", "throughput": "rate", "goodput": "rate", "drop": "dropped", "drops": "dropped",
}

func (c *Criterion) metric() error {
	switch c.Name {
	case "mean":
		c.Metric = Mean
	case "max":
		c.Metric = Max
	case "errors":
		c.Metric = Errors
	case "rate":
		c.Metric = Rate
	case "dropped":
		c.Metric = Dropped
	case "":
		return errors.New("a metric is missing before the comparison; " + forms)
	default:
		if number, ok := strings.CutPrefix(c.Name, "p"); ok {
			v, err := strconv.ParseFloat(number, 64)
			if err == nil && v > 0 && v < 100 && strings.Trim(number, "0123456789.") == "" {
				c.Metric, c.Quantile = Percentile, v/100
				return nil
			}
			if err == nil && v == 100 {
				return errors.New("p100 is the largest value; write max")
			}
			if err == nil && v > 100 {
				if strings.HasPrefix(number, "99") && !strings.Contains(number, ".") {
					return fmt.Errorf("there is no percentile above 100; write p99.%s", number[2:])
				}
				return errors.New("there is no percentile above 100; write p99 or max")
			}
		}
		if s, ok := synonyms[strings.ToLower(c.Name)]; ok {
			return fmt.Errorf("there is no metric %q; did you mean %s?", clip(c.Name), s)
		}
		return fmt.Errorf("there is no metric %q; there are p50, p95, p99.9 and the like, mean, max, errors, rate and dropped", clip(c.Name))
	}
	return nil
}

func clip(s string) string {
	if r := []rune(strings.ToValidUTF8(s, "�")); len(r) > 40 {
		return string(r[:40])
	}
	return strings.ToValidUTF8(s, "�")
}

func (c *Criterion) window(s string) error {
	d, err := scenario.ParseDuration(s)
	switch {
	case err != nil:
		return fmt.Errorf("over: %w", err)
	case d < time.Second || d > MaxWindow || d%time.Second != 0:
		return fmt.Errorf("a window has whole seconds, from 1s to %.0fm, not %s; write for example over 10s", MaxWindow.Minutes(), clip(s))
	}
	c.Window = d
	return nil
}

func (c *Criterion) limit(s string) error {
	if s == "" {
		return errors.New("the limit is missing; " + forms)
	}
	number := func(s string) (float64, bool) {
		v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) && v >= 0
	}
	switch c.Metric {
	case Percentile, Mean, Max:
		if strings.HasSuffix(s, "%") {
			return fmt.Errorf("%s is a time, not a share; write for example %s %s 300ms", c.Name, c.Name, c.Op)
		}
		d, err := scenario.ParseDuration(s)
		if err != nil {
			return err
		}
		c.Limit = float64(d) / 1e6
		if d == 0 {
			return fmt.Errorf("no request takes 0; write for example %s < 300ms", c.Name)
		}
	case Errors:
		share, ok := strings.CutSuffix(s, "%")
		v, good := number(share)
		if !ok && good {
			return fmt.Errorf("%s has no unit; errors are a share, write for example errors %s %s%%", clip(s), c.Op, clip(s))
		}
		if !good || v > 100 {
			return fmt.Errorf("%q is not a share; write for example errors < 1%%", clip(s))
		}
		c.Limit = v / 100
	case Rate:
		v, err := scenario.ParseRate(s)
		if err != nil {
			return err
		}
		c.Limit = v
	case Dropped:
		share, ok := strings.CutSuffix(s, "%")
		v, good := number(share)
		if !good || ok && v > 100 {
			return fmt.Errorf("%q is neither a number nor a share; write dropped < 10 or dropped < 1%%", clip(s))
		}
		c.Limit = v
		if ok {
			if c.Scope != "" {
				return errors.New("the share of dropped arrivals is known for the whole run only; write a number, or leave the scenario out")
			}
			c.Metric, c.Limit = DropShare, v/100
		}
	}
	return nil
}

// holds compares a value with the limit.
func (c *Criterion) holds(v float64) bool {
	switch c.Op {
	case "<":
		return v < c.Limit
	case "<=":
		return v <= c.Limit
	case ">":
		return v > c.Limit
	}
	return v >= c.Limit
}

// upper reports whether the limit bounds from above.
func (c *Criterion) upper() bool { return c.Op[0] == '<' }

// worse is the one of two values that is farther on the wrong side.
func (c *Criterion) worse(a, b float64) float64 {
	if c.upper() {
		return max(a, b)
	}
	return min(a, b)
}

// Check says whether the scenario and step of a criterion are in a file.
func (c *Criterion) Check(f *scenario.File) error {
	_, err := c.steps(StepNames(f))
	return err
}

// Unjudged are the criteria of a file whose window is longer than the longest time that counts in a row, which comes with them: no such
// window will ever be full, and a criterion that nothing was measured for has failed.
func Unjudged(f *scenario.File) (exprs []string, longest time.Duration) {
	var at, from time.Duration // now, and since when all counts
	for _, st := range f.Load.Profile.Stages {
		if at += st.For; st.Warmup {
			from = at
		}
		longest = max(longest, at.Truncate(time.Second)-(from+time.Second-1).Truncate(time.Second)) // windows are of whole seconds
	}
	for _, x := range f.SLO {
		if c, err := Parse(x.Expr); err == nil && c.Window > longest {
			exprs = append(exprs, x.Expr)
		}
	}
	return exprs, longest
}

// StepNames are the steps of a file in journey order: scenario by scenario its setup, steps and teardown.
func StepNames(f *scenario.File) []metrics.StepName {
	var out []metrics.StepName
	for _, sc := range f.Scenarios {
		for _, part := range []struct {
			kind  metrics.StepKind
			steps []*scenario.Step
		}{{metrics.KindSetup, sc.Setup}, {metrics.KindStep, sc.Steps}, {metrics.KindTeardown, sc.Teardown}} {
			for _, st := range part.steps {
				out = append(out, metrics.StepName{Scenario: sc.Name, Step: st.Name, Kind: part.kind})
			}
		}
	}
	return out
}

// steps says which of a run's steps a criterion is about. A step is named as scenario/step, or by its own name where that
// is the only one of its kind; setup and teardown count only where they are named.
func (c *Criterion) steps(all []metrics.StepName) ([]bool, error) {
	in := make([]bool, len(all))
	found := 0
	mark := func(match func(s metrics.StepName) bool) {
		for i, s := range all {
			if match(s) {
				in[i] = true
				found++
			}
		}
	}
	if c.Scope == "" {
		mark(func(s metrics.StepName) bool { return s.Kind == metrics.KindStep })
		return in, nil
	}
	mark(func(s metrics.StepName) bool { return s.Scenario == c.Scope && s.Kind == metrics.KindStep })
	if found > 0 {
		return in, nil
	}
	mark(func(s metrics.StepName) bool { return s.Scenario+"/"+s.Step == c.Scope })
	if found > 0 {
		return in, nil
	}
	mark(func(s metrics.StepName) bool { return s.Step == c.Scope })
	if found == 1 {
		return in, nil
	}
	if found > 1 {
		return nil, fmt.Errorf("%d steps are called %q; write scenario/step", found, clip(c.Scope))
	}
	var names []string
	seen := map[string]bool{}
	for _, s := range all {
		for _, n := range []string{s.Scenario, s.Scenario + "/" + s.Step} {
			if !seen[n] {
				seen[n] = true
				names = append(names, n)
			}
		}
	}
	if near := scenario.Nearest(c.Scope, names); near != "" {
		return nil, fmt.Errorf("there is no scenario or step %q; did you mean %s?", clip(c.Scope), near)
	}
	if len(names) > 8 {
		names = append(names[:8], "...")
	}
	return nil, fmt.Errorf("there is no scenario or step %q; there are %s", clip(c.Scope), strings.Join(names, ", "))
}
