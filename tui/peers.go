package tui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
	"lt/tui/chart"
	"lt/tui/theme"
)

var peersHelp = []string{
	"Where the load comes from: this machine and every peer, each with its share, what it was asked for and what it did. Lost ones stay, with when and why.",
	"lag is the delay of the generator itself: begun minus due, when a user was free. As long as it is far below the response times, the figures are the target's.",
	"cpu is the process' share of the cores that it may use. A source that does not keep up is strained or saturated, and the run's verdict says it too.",
	"A source that is silent for 2.5 s is suspect, and after 6 s lost. It stops by itself when its lease ends; only then do the others take its share, so the load is never twice as high. Until then the share is missing, and counted as such.",
	"clock is how far a peer's clock is from this one's, which is corrected for, and how well that is known. a asks for the address of a peer that joins the run, x lets the selected one leave.",
}

func (m *model) sources() []*metrics.SourceView {
	all := m.view.Snapshot.Sources
	out := make([]*metrics.SourceView, 0, len(all))
	for i := range all {
		if m.matches(panelPeers, all[i].Name, all[i].Label, all[i].State, all[i].Kind) {
			out = append(out, &all[i])
		}
	}
	return out
}

// peerRow is a row of the table: a source, or the sums of those with one label.
type peerRow struct {
	title  string
	group  []*metrics.SourceView
	source *metrics.SourceView
}

// peerRows are the rows of the table. If any source has a label, they stand in groups, in the order of each label's first.
func (m *model) peerRows(list []*metrics.SourceView) []peerRow {
	var labels []string
	groups := map[string][]*metrics.SourceView{}
	for _, s := range list {
		if _, known := groups[s.Label]; !known {
			labels = append(labels, s.Label)
		}
		groups[s.Label] = append(groups[s.Label], s)
	}
	var rows []peerRow
	for _, label := range labels {
		if len(labels) > 1 || label != "" {
			title := chart.Clean(label)
			if label == "" {
				title = "no label"
			}
			rows = append(rows, peerRow{title: title, group: groups[label]})
		}
		for _, s := range groups[label] {
			rows = append(rows, peerRow{source: s})
		}
	}
	return rows
}

func (m *model) peerKeys() []string {
	rows := m.peerRows(m.sources())
	keys := make([]string, len(rows))
	for i, r := range rows {
		if r.source != nil {
			keys[i] = "source " + r.source.Name
		}
	}
	return keys
}

func sourceName(s *metrics.SourceView) string {
	name := chart.Clean(s.Name)
	if name == "" {
		name = "local"
	}
	return name
}

// stateGlyph is a source's state as a glyph, so that it is not told by colour alone.
func stateGlyph(state string) (theme.Style, string) {
	switch state {
	case "starting":
		return theme.Dim, "○"
	case "suspect":
		return theme.Warn, "▲"
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
		m.drawNothing(c, "source", "Waiting for the sources to start.")
		return
	}
	rows := m.peerRows(list)
	if s := m.openSource(rows); s != nil {
		drawRows(c, sourceName(s), "", m.peerDetail(c.W(), c.H()), state.scroll)
		return
	}
	if begins(m.view) {
		m.drawPeersStart(c, rows)
		return
	}
	table := chart.Table{
		Columns: []chart.Column{
			{Title: "source", Width: 10, Left: true, Grow: true, Ends: true},
			{Title: "state", Width: 14, Left: true},
			{Title: "share", Width: 6},
			{Title: "asked/s", Width: 7},
			{Title: "done/s", Width: 7},
			{Title: "lag p99", Width: 8},
			{Title: "cpu", Width: 6},
			{Title: "data age", Width: 8},
			{Title: "rtt", Width: 8},
			{Title: "clock ±", Width: 17},
			{Title: "memory", Width: 8},
			{Title: "received", Width: 9},
			{Title: "p99", Width: 8},
			{Title: "", Width: 16, Left: true, Grow: true},
		},
		Len: len(rows), First: state.first, Selected: state.selected,
		Row: func(i int) []chart.Cell {
			if rows[i].source == nil {
				return m.groupCells(rows[i])
			}
			return m.sourceCells(rows[i].source)
		},
	}
	used := min(len(rows)+1, c.H())
	if c.H()-used >= 9 && state.selected < len(rows) && rows[state.selected].source != nil {
		m.drawSelected(c.Rows(used+1, c.H()-used-1), rows[state.selected].source)
		c = c.Rows(0, used)
	}
	table.Draw(c)
}

// drawSelected is the selected source below the table, as far as there is room.
func (m *model) drawSelected(c chart.Canvas, s *metrics.SourceView) {
	c.Rule(0, sourceName(s), "")
	rows := m.sourceRows(s, c.W())
	placeRows(c.Rows(1, c.H()-1), rows, 0)
	if y := 1 + len(rows); len(s.Log) > 0 && y+2 <= c.H() {
		c.Rule(y, "Log", "")
		drawLog(c.Rows(y+1, c.H()-y-1), s.Log)
	}
}

// groupCells are the sums over the sources with one label. Percentiles have no sum.
func (m *model) groupCells(r peerRow) []chart.Cell {
	there := 0
	share, asked, done, received := 0.0, 0.0, 0.0, uint64(0)
	for _, s := range r.group {
		if s.State == "running" || s.State == "done" {
			there++
		}
		share += s.Share
		asked += s.Asked
		done += s.Done
		received += s.BytesIn
	}
	bold := theme.Text | theme.Bold
	blank := chart.Cell{}
	return []chart.Cell{
		{Text: r.title, Style: bold},
		{Text: fmt.Sprintf("%d of %d", there, len(r.group)), Style: bold},
		{Text: chart.Percent(share), Style: bold},
		{Text: m.askedText(asked), Style: theme.Asked | theme.Bold},
		{Text: chart.Narrow(done, 7), Style: theme.Accent | theme.Bold},
		blank, blank, blank, blank, blank, blank,
		{Text: chart.Bytes(float64(received)), Style: theme.Dim},
	}
}

// stateText is the state of a source while the run goes on: one that joins says how far it is, a lost one since when, one that
// does not keep up that it does not.
func stateText(s *metrics.SourceView) (theme.Style, string) {
	st, glyph := stateGlyph(s.State)
	switch {
	case s.State == "starting" && s.Step != "":
		return st, glyph + " " + stepText(s)
	case s.State == "lost" && s.LostAt >= 0:
		return st, glyph + " lost " + chart.Clock(s.LostAt)
	case s.State == "running" && s.Verdict.Health != metrics.OK:
		return healthMark(s.Verdict)
	}
	return st, glyph + " " + chart.Clean(s.State)
}

// askedText is what a source is asked for, in arrivals a second; the closed model asks for users, who come when they are answered.
func (m *model) askedText(asked float64) string {
	if m.view.Run.Model == load.Closed {
		return chart.None
	}
	return chart.Narrow(asked, 7)
}

func (m *model) sourceCells(s *metrics.SourceView) []chart.Cell {
	st, state := stateText(s)
	if s.State == "starting" || s.State == "refused" { // it has no figures
		blank := chart.Cell{}
		return []chart.Cell{
			{Text: sourceName(s)},
			{Text: state, Style: st},
			blank, blank, blank, blank, blank, blank, blank, blank, blank, blank, blank, lastWord(s),
		}
	}
	clock, rtt := chart.None, chart.None
	if remote(s) && s.RTT > 0 {
		clock, rtt = clockText(s), chart.Duration(s.RTT)
	}
	age := theme.Dim
	if s.Age >= stale && (s.State == "running" || s.State == "suspect") {
		age = theme.Warn
	}
	cpu := chart.Cell{Text: chart.None, Style: theme.Dim}
	if share := cpuShare(&s.Audit); share == share {
		cpu = chart.Cell{Text: chart.Percent(share)}
		if share >= 0.8 {
			cpu.Style = theme.Warn
		}
	}
	return []chart.Cell{
		{Text: sourceName(s)},
		{Text: state, Style: st},
		{Text: chart.Percent(s.Share)},
		{Text: m.askedText(s.Asked), Style: theme.Asked},
		{Text: chart.Narrow(s.Done, 7), Style: theme.Accent},
		{Text: quantile(s.Lag, s.Lag.P99)},
		cpu,
		{Text: ageText(s), Style: age},
		{Text: rtt, Style: theme.Dim},
		{Text: clock, Style: theme.Dim},
		{Text: chart.Bytes(float64(s.Audit.Memory)), Style: theme.Dim},
		{Text: chart.Bytes(float64(s.BytesIn)), Style: theme.Dim},
		{Text: quantile(s.Response, s.Response.P99)},
		lastWord(s),
	}
}

// lastWord is what there is to say of a source in a line: why it is gone, what strains it, or what it said last.
func lastWord(s *metrics.SourceView) chart.Cell {
	switch {
	case s.State == "refused" || s.State == "lost":
		return chart.Cell{Text: firstLine(s.Reason), Style: theme.Bad}
	case s.Reason != "":
		return chart.Cell{Text: firstLine(s.Reason), Style: theme.Dim}
	case s.Verdict.Health != metrics.OK && len(s.Verdict.Reasons) > 0:
		return chart.Cell{Text: chart.Clean(s.Verdict.Reasons[0]), Style: theme.Warn}
	case len(s.Log) > 0:
		return chart.Cell{Text: chart.Clean(s.Log[len(s.Log)-1]), Style: theme.Dim}
	}
	return chart.Cell{}
}

// stale is the age from which the data of a source that is heard is too old: intervals come every second, over a slow link
// joined up to five.
const stale = 7 * time.Second

func remote(s *metrics.SourceView) bool { return s.Kind != "local" && s.Kind != "" }

// ageText is how old the newest data of a source is. It is rounded to what matters, so that it does not flicker.
func ageText(s *metrics.SourceView) string {
	switch s.State {
	case "running", "suspect", "draining":
		return chart.Duration(max(0, s.Age).Round(100 * time.Millisecond))
	}
	return chart.None
}

// clockText is how far a source's clock was from ours before it was corrected for, and how much of that is uncertain.
func clockText(s *metrics.SourceView) string {
	sign := ""
	if s.Clock > 0 {
		sign = "+"
	}
	return sign + chart.Duration(s.Clock) + " ±" + chart.Duration(s.ClockBound)
}

// openSource is the source whose detail is shown; nil: none.
func (m *model) openSource(rows []peerRow) *metrics.SourceView {
	state := m.lists[panelPeers]
	if !state.open || state.selected < 0 || state.selected >= len(rows) {
		return nil
	}
	return rows[state.selected].source
}

// peerDetail are the rows of the open source's detail; nil: none is open.
func (m *model) peerDetail(w, _ int) []row {
	s := m.openSource(m.peerRows(m.sources()))
	if s == nil {
		return nil
	}
	return append(m.sourceRows(s, w), logRows(s.Log)...)
}

// sourceRows are one source in w columns: why it is as it is, its link, its health against its limits, its own percentiles.
func (m *model) sourceRows(s *metrics.SourceView, w int) []row {
	if s.State == "refused" || begins(m.view) {
		return startRows(s, w)
	}
	rows := reasonRows(s, w)
	a := &s.Audit
	bar := 20
	if w < 110 {
		bar = 10
	}
	line := func(label, value string, share float64, text string) {
		rows = append(rows, func(c chart.Canvas) {
			c.Text(1, 0, theme.Dim, label)
			c.Right(26, 0, theme.Text, value)
			if share == share {
				st := theme.P90
				if share >= 0.8 {
					st = theme.Warn
				}
				chart.Bar(c, 28, 0, bar, st, share)
			}
			c.Fit(30+bar, 0, c.W()-31-bar, theme.Dim, text)
		})
	}
	if remote(s) {
		line("clock", clockText(s), nan, "corrected for; it began "+chart.Duration(s.StartSkew)+" late")
		trip := "round trip"
		if age := ageText(s); age != chart.None {
			trip += "; newest data is " + age + " old"
		}
		line("link", chart.Duration(s.RTT), nan, trip)
	}
	line("cpu", chart.Percent(cpuShare(a)), cpuShare(a), fmt.Sprintf("of %s; peak %s, a shard %s", plural(uint64(max(0, a.Cores)), "core"), chart.Percent(s.CPUPeak), chart.Percent(a.ShardCPU)))
	line("lag p99", quantile(s.Lag, s.Lag.P99), nan, "p50 "+quantile(s.Lag, s.Lag.P50)+"; part of the response times")
	line("response p99", quantile(s.Response, s.Response.P99), nan, "p50 "+quantile(s.Response, s.Response.P50)+", of this source alone")
	line("users", chart.Count(uint64(max(0, s.Users))), nan, fmt.Sprintf("%s in flight, %s", chart.Count(uint64(max(0, s.InFlight))), plural(uint64(max(0, s.Connections)), "connection")))
	line("memory", chart.Bytes(float64(a.Memory)), part(float64(a.Memory), float64(a.MemLimit)), limitText(a.MemLimit, func(n uint64) string { return chart.Bytes(float64(n)) }))
	line("descriptors", chart.Count(uint64(max(0, a.Files))), part(float64(a.Files), float64(a.FileLimit)), limitText(uint64(max(0, a.FileLimit)), chart.Count))
	line("ports", chart.Count(uint64(max(0, a.Ports))), part(float64(a.Ports), float64(a.PortLimit)), limitText(uint64(max(0, a.PortLimit)), chart.Count))
	line("gc pause p99", chart.Duration(a.GCPauseP99), nan, chart.Percent(a.GCShare)+" of cpu; scheduling p99 "+chart.Duration(a.SchedP99))
	line("steal, throttled", chart.Percent(a.Steal), nan, chart.Percent(a.Throttled)+" of the periods throttled")
	return rows
}

// reasonRows say why a source is in its state, and what is wrong with it.
func reasonRows(s *metrics.SourceView, w int) []row {
	var rows []row
	if s.Reason != "" {
		st, glyph := stateGlyph(s.State)
		text := fmt.Sprintf("%s %s: %s", glyph, s.State, s.Reason)
		if s.State == "lost" && s.LostAt >= 0 {
			text = fmt.Sprintf("%s lost at %s: %s", glyph, chart.Clock(s.LostAt), s.Reason)
		}
		for _, l := range chart.Wrap(text, w-2, 4) {
			rows = append(rows, textRow(st, l))
		}
	}
	for _, r := range s.Verdict.Reasons {
		st, mark := healthMark(s.Verdict)
		glyph, _, _ := strings.Cut(mark, " ")
		rows = append(rows, textRow(st, glyph+" "+chart.Clean(r)))
	}
	return rows
}

// startRows are one source while it starts, or one that could not be started.
func startRows(s *metrics.SourceView, w int) []row {
	rows := []row{func(c chart.Canvas) {
		x := c.Text(1, 0, theme.Dim, "start ")
		drawStep(c.Sub(x, 0, len(startSteps), 1), s)
		x += len(startSteps) + 1
		c.Text(c.Text(x, 0, theme.Text, stepText(s))+1, 0, theme.Dim, "since "+chart.Span(s.Starting.Truncate(time.Second)))
	}}
	if s.State == "refused" || s.State == "lost" {
		rows = append(append(rows, blankRow), failureRows(s, w)...)
	}
	return rows
}

// logRows are what a source said, below a title.
func logRows(log []string) []row {
	if len(log) == 0 {
		return nil
	}
	rows := []row{ruleRow("Log")}
	for _, line := range log {
		rows = append(rows, textRow(theme.Dim, chart.Clean(line)))
	}
	return rows
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
	if begins(v) {
		return m.startFoot()
	}
	var lost, suspect []*metrics.SourceView
	for i := range v.Snapshot.Sources {
		switch s := &v.Snapshot.Sources[i]; s.State {
		case "lost", "refused":
			lost = append(lost, s)
		case "suspect":
			suspect = append(suspect, s)
		}
	}
	switch {
	case over(v):
		return ended(v)
	case len(suspect) > 0:
		return bends(names(suspect) + ": nothing heard of late. After 6 s it counts as lost; its share waits until its lease is over.")
	case len(lost) == 1:
		return broke(fmt.Sprintf("%s is %s: %s", sourceName(lost[0]), lost[0].State, firstLine(lost[0].Reason)))
	case len(lost) > 0:
		return broke("Lost: " + names(lost) + ".")
	case v.Snapshot.Verdict.Health == metrics.Saturated:
		return broke("This side is the limit, not the target: " + reason(v.Snapshot.Verdict))
	case v.Snapshot.Verdict.Health == metrics.Strained:
		return bends("Strained: " + reason(v.Snapshot.Verdict))
	case len(v.Snapshot.Sources) == 0:
		return plainly("No source has started yet.")
	}
	n := 0
	for i := range v.Snapshot.Sources {
		if v.Snapshot.Sources[i].State == "running" {
			n++
		}
	}
	lag := quantile(v.Snapshot.Window.Lag, v.Snapshot.Window.Lag.P99)
	switch {
	case n == 0:
		return plainly("No source is running.")
	case n == 1:
		return plainly("All load comes from one source, which keeps up: its lag p99 is " + lag + ".")
	}
	return plainly(strconv.Itoa(n) + " sources keep up: lag p99 is " + lag + ".")
}

// names are the names of some sources, in a sentence.
func names(list []*metrics.SourceView) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = sourceName(s)
	}
	return strings.Join(out, ", ")
}
