package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"lt/engine/conductor"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/redact"
	"lt/engine/scenario"
	"lt/tui/chart"
)

// lineEvery is how often plain mode says how the run goes.
const lineEvery = 5 * time.Second

// plain shows a run as lines: one for the plan, one every five seconds, and one for each event. Only one goroutine may use it.
type plain struct {
	w      io.Writer
	file   *scenario.File
	next   time.Duration
	events int
	told   map[string]string // of each source, what was last said of its start
	begun  bool
}

func newPlain(w io.Writer, f *scenario.File) *plain {
	return &plain{w: w, file: f, next: lineEvery, told: map[string]string{}}
}

// begin says what is about to be done.
func (p *plain) begin(h conductor.Header) {
	l := p.file.Load
	what := fmt.Sprintf("up to %s arrivals/s, %s arrivals", chart.Number(l.Profile.Peak()), l.Arrivals)
	if l.Model == load.Closed {
		what = fmt.Sprintf("up to %d users (closed model)", int(l.Profile.Peak()))
	}
	if l.Iterations > 0 {
		what += fmt.Sprintf(", at most %d iterations", l.Iterations)
	}
	fmt.Fprintf(p.w, "%s: %s for %s, %s, seed %d\n", h.Name, h.Target, chart.Clock(l.Profile.Duration()), what, l.Seed)
	if h.Basis != "" {
		fmt.Fprintf(p.w, "allowed: %s\n", h.Basis)
	}
}

// watch prints what has happened since it was last called.
func (p *plain) watch(v *conductor.View) {
	if slices.ContainsFunc(v.Snapshot.Sources, func(s metrics.SourceView) bool { return s.Kind != "local" }) {
		p.sources(v)
	}
	for _, e := range v.Events[min(p.events, len(v.Events)):] {
		fmt.Fprintf(p.w, "%7s  %s\n", chart.Clock(e.At), e.Text)
	}
	p.events = len(v.Events)
	if v.Elapsed < p.next {
		return
	}
	for v.Elapsed >= p.next {
		p.next += lineEvery
	}
	w := v.Snapshot.Window
	missing := ""
	if n, gone := present(v.Snapshot.Sources); gone > 0 {
		missing = fmt.Sprintf("  %d of %d sources", n, n+gone)
	}
	stage := ""
	if s := v.Profile.Stages; v.Stage >= 0 && v.Stage < len(s) && s[v.Stage].Name != "" {
		stage = "  " + s[v.Stage].Name
	}
	fmt.Fprintf(p.w, "%7s  offered %s/s  goodput %s/s  p50 %s  p99 %s  errors %s  in flight %d  users %d%s%s\n",
		chart.Clock(v.Elapsed), chart.Number(w.OfferedRPS), chart.Number(w.GoodputRPS), percentile(&w.Response, w.Response.P50),
		percentile(&w.Response, w.Response.P99), chart.Percent(w.ErrorRate), w.InFlight, w.Users, missing, stage)
}

// percentile is one of the quantiles; of nothing there is none.
func percentile(q *metrics.Quantiles, d time.Duration) string {
	if q.Count == 0 {
		return chart.None
	}
	return bound(d, q.LowerBound(d))
}

// bound is a percentile, marked as in the table where it is only a lower bound.
func bound(d time.Duration, atLeast bool) string {
	if atLeast {
		return ">= " + chart.Duration(d)
	}
	return chart.Duration(d)
}

// sources says of each source once when it is ready or has failed, and at the start what part of the load each has.
func (p *plain) sources(v *conductor.View) {
	for i := range v.Snapshot.Sources {
		s := &v.Snapshot.Sources[i]
		text := ""
		switch {
		case s.Kind == "local":
		case p.told[s.Name] == "" && (s.State == "running" || s.State == "starting" && (s.Step == "ready" || s.Step == "armed")):
			text = "ready after " + chart.Duration(s.Starting)
		case s.State == "refused" && s.Reason != "":
			text = "failed: " + strings.ReplaceAll(s.Reason, "\n", "; ")
		}
		if text != "" && p.told[s.Name] != text {
			p.told[s.Name] = text
			fmt.Fprintf(p.w, "%7s  %s: %s\n", chart.Clock(v.Elapsed), redact.Neutralise(s.Name), redact.Neutralise(text))
		}
	}
	if !v.Begun || p.begun {
		return
	}
	p.begun = true
	var shares []string
	for i := range v.Snapshot.Sources {
		if s := &v.Snapshot.Sources[i]; s.Share > 0 {
			shares = append(shares, redact.Neutralise(s.Name)+" "+chart.Percent(s.Share))
		}
	}
	together := fmt.Sprintf("%d sources begin together", len(shares))
	if len(shares) == 1 {
		together = "1 source begins"
	}
	fmt.Fprintf(p.w, "%7s  %s: %s\n", chart.Clock(v.Elapsed), together, strings.Join(shares, ", "))
}

// present is how many sources there are, and how many are gone that should be there.
func present(sources []metrics.SourceView) (n, gone int) {
	for i := range sources {
		switch sources[i].State {
		case "lost", "refused":
			gone++
		case "left":
		default:
			n++
		}
	}
	return n, gone
}
