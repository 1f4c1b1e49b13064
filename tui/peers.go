package tui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"lt/engine/metrics"
	"lt/tui/chart"
	"lt/tui/theme"
)

var peersHelp = []string{
	"Where the load comes from: this machine and every peer, each with its share, what it was asked for and what it did. Lost ones stay, with when and why.",
	"lag is the delay of the generator itself: begun minus due, when a user was free. As long as it is far below the response times, the figures are the target's.",
	"cpu is the process' share of the cores that it may use. A generator that is saturated says so in its verdict, and the run's verdict says it too.",
}

func (m *model) sources() []*metrics.SourceView {
	all := m.view.Snapshot.Sources
	out := make([]*metrics.SourceView, 0, len(all))
	for i := range all {
		if m.matches(all[i].Name, all[i].Label, all[i].State, all[i].Kind) {
			out = append(out, &all[i])
		}
	}
	return out
}

func (m *model) peerKeys() []string {
	list := m.sources()
	keys := make([]string, len(list))
	for i, s := range list {
		keys[i] = "source " + s.Name
	}
	return keys
}

func sourceName(s *metrics.SourceView) string {
	name := chart.Clean(s.Name)
	if name == "" {
		name = "local"
	}
	if s.Label != "" {
		name += " · " + chart.Clean(s.Label)
	}
	return name
}

// stateGlyph is a source's state as a glyph, so that it is not told by colour alone.
func stateGlyph(state string) (theme.Style, string) {
	switch state {
	case "starting":
		return theme.Dim, "○"
	case "draining":
		return theme.Warn, "◐"
	case "lost", "refused":
		return theme.Bad, "✗"
	case "left", "done":
		return theme.Dim, "·"
	}
	return theme.Accent, "●"
}

func healthMark(v metrics.Verdict) (theme.Style, string) {
	switch v.Health {
	case metrics.Strained:
		return theme.Warn, "▲ strained"
	case metrics.Saturated:
		return theme.Bad, "✗ saturated"
	}
	return theme.Text, "ok"
}

// cpuShare is the part of its cores that a source uses, 0..1.
func cpuShare(a *metrics.Audit) float64 {
	if a.Cores <= 0 {
		return nan
	}
	return a.CPU / a.Cores
}

func (m *model) drawPeers(c chart.Canvas) {
	list := m.sources()
	state := m.lists[panelPeers]
	if len(list) == 0 {
		if m.filter != "" {
			waiting(c, "No source matches /"+m.filter+".", "esc clears the filter")
			return
		}
		waiting(c, "Waiting for the sources to start.")
		return
	}
	if state.open && state.selected < len(list) {
		m.drawSource(c, list[state.selected])
		return
	}
	table := chart.Table{
		Columns: []chart.Column{
			{Title: "source", Width: 12, Left: true, Grow: true},
			{Title: "state", Width: 10, Left: true},
			{Title: "share", Width: 6},
			{Title: "asked/s", Width: 7},
			{Title: "done/s", Width: 7},
			{Title: "lag p99", Width: 8},
			{Title: "cpu", Width: 6},
			{Title: "verdict", Width: 11, Left: true},
			{Title: "memory", Width: 8},
			{Title: "p99", Width: 8},
			{Title: "clock ±", Width: 8},
			{Title: "rtt", Width: 8},
			{Title: "data age", Width: 8},
			{Title: "received", Width: 9},
		},
		Len: len(list), First: state.first, Selected: state.selected,
		Row: func(i int) []chart.Cell { return sourceCells(list[i]) },
	}
	rows := min(len(list)+1, c.H())
	if c.H()-rows >= 9 && state.selected < len(list) {
		table.Draw(c.Rows(0, rows))
		m.drawSource(c.Rows(rows+1, c.H()-rows-1), list[state.selected])
		return
	}
	table.Draw(c)
}

func sourceCells(s *metrics.SourceView) []chart.Cell {
	st, glyph := stateGlyph(s.State)
	hs, health := healthMark(s.Verdict)
	clock, rtt := chart.None, chart.None
	if s.Kind != "local" && s.Kind != "" {
		clock, rtt = chart.Duration(s.ClockBound), chart.Duration(s.RTT)
	}
	cpu := theme.Text
	if cpuShare(&s.Audit) >= 0.8 {
		cpu = theme.Warn
	}
	return []chart.Cell{
		{Text: sourceName(s)},
		{Text: glyph + " " + s.State, Style: st},
		{Text: chart.Percent(s.Share)},
		{Text: chart.Number(s.Asked), Style: theme.Asked},
		{Text: chart.Number(s.Done), Style: theme.Accent},
		{Text: quantile(s.Lag, s.Lag.P99, false)},
		{Text: chart.Percent(cpuShare(&s.Audit)), Style: cpu},
		{Text: health, Style: hs},
		{Text: chart.Bytes(float64(s.Audit.Memory)), Style: theme.Dim},
		{Text: quantile(s.Response, s.Response.P99, s.Response.AtLeast)},
		{Text: clock, Style: theme.Dim},
		{Text: rtt, Style: theme.Dim},
		{Text: chart.Duration(max(0, s.Age).Round(100 * time.Millisecond)), Style: theme.Dim},
		{Text: chart.Bytes(float64(s.BytesIn)), Style: theme.Dim},
	}
}

// drawSource is one source in detail: its health against its limits, its own percentiles, and its log.
func (m *model) drawSource(c chart.Canvas, s *metrics.SourceView) {
	c.Rule(0, sourceName(s), "")
	a := &s.Audit
	y := 1
	line := func(label, value string, share float64, text string) {
		if y >= c.H() {
			return
		}
		c.Text(1, y, theme.Dim, label)
		c.Right(26, y, theme.Text, value)
		if share == share {
			st := theme.P90
			if share >= 0.8 {
				st = theme.Warn
			}
			chart.Bar(c, 28, y, min(20, c.W()/4), st, share)
		}
		c.Fit(28+min(20, c.W()/4)+2, y, c.W()-31-min(20, c.W()/4), theme.Dim, text)
		y++
	}
	if s.Reason != "" || s.LostAt >= 0 && (s.State == "lost" || s.State == "refused") {
		text := "lost"
		if s.State != "" {
			text = s.State
		}
		c.Fit(1, y, c.W()-2, theme.Bad, fmt.Sprintf("✗ %s at %s: %s", text, chart.Clock(s.LostAt), chart.Clean(s.Reason)))
		y++
	}
	line("cpu", chart.Percent(cpuShare(a)), cpuShare(a), fmt.Sprintf("of %s, busiest shard %s, peak %s", plural(uint64(max(0, a.Cores)), "core"), chart.Percent(a.ShardCPU), chart.Percent(s.CPUPeak)))
	line("memory", chart.Bytes(float64(a.Memory)), part(float64(a.Memory), float64(a.MemLimit)), limitText(a.MemLimit, func(n uint64) string { return chart.Bytes(float64(n)) }))
	line("descriptors", chart.Count(uint64(max(0, a.Files))), part(float64(a.Files), float64(a.FileLimit)), limitText(uint64(max(0, a.FileLimit)), chart.Count))
	line("ports", chart.Count(uint64(max(0, a.Ports))), part(float64(a.Ports), float64(a.PortLimit)), limitText(uint64(max(0, a.PortLimit)), chart.Count))
	line("lag p50, p99", quantile(s.Lag, s.Lag.P99, false), nan, "p50 "+quantile(s.Lag, s.Lag.P50, false)+"; our own delay, which the response times contain")
	line("gc pause p99", chart.Duration(a.GCPauseP99), nan, chart.Percent(a.GCShare)+" of the cpu; scheduling p99 "+chart.Duration(a.SchedP99))
	line("steal, throttled", chart.Percent(a.Steal), nan, chart.Percent(a.Throttled)+" of the periods throttled")
	line("users", chart.Count(uint64(max(0, s.Users))), nan, fmt.Sprintf("%s in flight, %s", chart.Count(uint64(max(0, s.InFlight))), plural(uint64(max(0, s.Connections)), "connection")))
	line("response p50", quantile(s.Response, s.Response.P50, false), nan, "p99 "+quantile(s.Response, s.Response.P99, s.Response.AtLeast)+", of this source alone")
	for _, r := range s.Verdict.Reasons {
		if y < c.H() {
			st, _ := healthMark(s.Verdict)
			y++
			c.Fit(1, y-1, c.W()-2, st, "▲ "+chart.Clean(r))
		}
	}
	if y+2 > c.H() || len(s.Log) == 0 {
		return
	}
	c.Rule(y, "Log", "")
	for _, l := range s.Log[max(0, len(s.Log)-(c.H()-y-1)):] {
		y++
		c.Fit(1, y, c.W()-2, theme.Dim, chart.Clean(l))
	}
}

func part(n, of float64) float64 {
	if of <= 0 {
		return nan
	}
	return n / of
}

func limitText(limit uint64, format func(uint64) string) string {
	if limit == 0 {
		return "limit unknown"
	}
	return "of " + format(limit)
}

func (m *model) peersFoot() remark {
	v := m.view
	var lost []string
	for i := range v.Snapshot.Sources {
		if s := &v.Snapshot.Sources[i]; s.State == "lost" || s.State == "refused" {
			lost = append(lost, sourceName(s))
		}
	}
	switch {
	case over(v):
		return ended(v)
	case len(lost) > 0:
		return broke("Lost: " + strings.Join(lost, ", ") + ".")
	case v.Snapshot.Verdict.Health == metrics.Saturated:
		return broke("This side is the limit, not the target: " + reason(v.Snapshot.Verdict))
	case v.Snapshot.Verdict.Health == metrics.Strained:
		return bends("Strained: " + reason(v.Snapshot.Verdict))
	case len(v.Snapshot.Sources) == 0:
		return plainly("No source has started yet.")
	}
	n := len(v.Snapshot.Sources)
	if n == 1 {
		return plainly("All load comes from one source, which keeps up: its lag p99 is " + quantile(v.Snapshot.Window.Lag, v.Snapshot.Window.Lag.P99, false) + ".")
	}
	return plainly(strconv.Itoa(n) + " sources keep up: lag p99 is " + quantile(v.Snapshot.Window.Lag, v.Snapshot.Window.Lag.P99, false) + ".")
}
