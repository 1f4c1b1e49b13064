package tui

import (
	"fmt"
	"slices"
	"strconv"

	"lt/engine/metrics"
	"lt/tui/chart"
	"lt/tui/theme"
)

var stepsHelp = []string{
	"One row a step, in the order of the journeys. Rates are of the last seconds, all else is of the run so far without warm-up. share is the part of its iteration's time that a step takes.",
	"o orders by another column, / filters, enter opens a step: its phases, status codes, both latencies and their distributions.",
	"Response time counts from the moment a request was meant to start, service time from the moment it was sent. If the two differ, requests waited on this side: for a free user, or for a slow answer before them.",
}

var stepOrders = []string{"in the order of the journey", "by requests/s", "by errors", "by p50", "by p99", "by share of the time"}

// stepRow is a row of the table: a step, or the title of a scenario.
type stepRow struct {
	title string
	step  *metrics.StepView
}

// steps are the rows in their present order. Only the order of the journey has titles.
func (m *model) steps() []stepRow {
	all := m.view.Snapshot.Steps
	order := m.lists[panelSteps].order
	var rows []stepRow
	scenario := ""
	for i := range all {
		s := &all[i]
		if !m.matches(panelSteps, s.Scenario, s.Step) {
			continue
		}
		if order == 0 && s.Scenario != scenario {
			scenario = s.Scenario
			rows = append(rows, stepRow{title: m.scenarioTitle(scenario)})
		}
		rows = append(rows, stepRow{step: s})
	}
	by := map[int]func(*metrics.StepView) float64{
		1: func(s *metrics.StepView) float64 { return s.WindowRPS },
		2: errorRate,
		3: func(s *metrics.StepView) float64 { return float64(s.Response.P50) },
		4: func(s *metrics.StepView) float64 { return float64(s.Response.P99) },
		5: func(s *metrics.StepView) float64 { return s.Share },
	}[order]
	if by != nil {
		slices.SortStableFunc(rows, func(a, b stepRow) int { return compare(by(b.step), by(a.step)) })
	}
	return rows
}

func (m *model) scenarioTitle(name string) string {
	for _, s := range m.view.Run.Scenarios {
		if s != nil && s.Name == name && s.Weight > 1 {
			return name + " · weight " + strconv.Itoa(s.Weight)
		}
	}
	return name
}

func (m *model) stepKeys() []string {
	rows := m.steps()
	keys := make([]string, len(rows))
	for i, r := range rows {
		if r.step != nil {
			keys[i] = strconv.Itoa(r.step.ID)
		}
	}
	return keys
}

// errorRate is the share of a step's requests and dropped arrivals that failed, 0..1.
func errorRate(s *metrics.StepView) float64 {
	if n := s.Requests + s.Dropped; n > 0 {
		return float64(s.Errors+s.Dropped) / float64(n)
	}
	return 0
}

// rateMark is the look of an error rate, which is not told by colour alone.
func rateMark(rate float64) (theme.Style, string) {
	switch {
	case rate >= 0.05:
		return theme.Bad, "✗ "
	case rate >= 0.01:
		return theme.Warn, "▲ "
	}
	return theme.Text, ""
}

func (m *model) drawSteps(c chart.Canvas) {
	rows := m.steps()
	list := m.lists[panelSteps]
	if s := m.openStep(rows); s != nil {
		m.drawStep(c, s)
		return
	}
	if len(rows) == 0 {
		m.drawNothing(c, "step", "Waiting for the first answers.")
		return
	}
	order := list.order
	t := chart.Table{
		Columns: []chart.Column{
			{Title: "step", Width: 26, Left: true, Grow: true, Ends: true, Mark: order == 0},
			{Title: "req/s", Width: 6, Mark: order == 1},
			{Title: "errors %", Width: 8, Mark: order == 2},
			{Title: "p50", Width: 8, Mark: order == 3},
			{Title: "p90", Width: 8},
			{Title: "p99", Width: 9, Mark: order == 4},
			{Title: "max", Width: 9},
			{Title: "share", Width: 8, Left: true, Mark: order == 5},
			{Title: "p99 over time", Width: 16, Left: true},
			{Title: "requests", Width: 10},
			{Title: "service p99", Width: 11},
			{Title: "received", Width: 9},
		},
		Len: len(rows), First: list.first, Selected: list.selected,
	}
	t.Row = func(i int) []chart.Cell {
		if rows[i].step == nil {
			return []chart.Cell{{Text: rows[i].title, Style: theme.Text | theme.Bold}}
		}
		return m.stepCells(rows[i].step, order == 0)
	}
	t.Draw(c)
}

func (m *model) stepCells(s *metrics.StepView, indent bool) []chart.Cell {
	st, mark := rateMark(errorRate(s))
	name := chart.Clean(s.Step)
	if s.Kind != metrics.KindStep {
		name += " · " + s.Kind.String()
	}
	if indent {
		name = "  " + name
	} else {
		name += " · " + chart.Clean(s.Scenario)
	}
	// Over the window only, as everything that is drawn over time.
	var p99 []float64
	if series := m.series(); s.ID >= 0 && s.ID < len(series.P99) {
		line := series.P99[s.ID]
		from, to := m.within(series)
		for _, v := range line[min(from, len(line)):min(to, len(line))] {
			p99 = append(p99, float64(v))
		}
	}
	return []chart.Cell{
		{Text: name},
		{Text: chart.Narrow(s.WindowRPS, 6), Style: theme.Accent},
		{Text: mark + chart.PercentNumber(errorRate(s)), Style: st},
		{Text: quantile(s.Response, s.Response.P50)},
		{Text: quantile(s.Response, s.Response.P90), Style: theme.Dim},
		{Text: quantile(s.Response, s.Response.P99), Style: p99Style(s.Response)},
		{Text: quantile(s.Response, s.Response.Max), Style: theme.Dim},
		{Draw: func(c chart.Canvas) { chart.Bar(c, 0, 0, c.W(), theme.P90, s.Share) }},
		{Draw: func(c chart.Canvas) { chart.Spark(c, 0, 0, c.W(), theme.P99, p99) }},
		{Text: chart.NarrowCount(s.Requests, 10), Style: theme.Dim},
		{Text: quantile(s.Service, s.Service.P99), Style: theme.Dim},
		{Text: chart.Bytes(float64(s.BytesIn)), Style: theme.Dim},
	}
}

// openStep is the step whose detail is shown; nil: none.
func (m *model) openStep(rows []stepRow) *metrics.StepView {
	for _, r := range rows {
		if !m.lists[panelSteps].open {
			break
		}
		if r.step != nil && strconv.Itoa(r.step.ID) == m.lists[panelSteps].key {
			return r.step
		}
	}
	return nil
}

func (m *model) stepsFoot() remark {
	v := m.view
	if over(v) {
		return ended(v)
	}
	rows := m.steps()
	if s := m.openStep(rows); s != nil {
		return stepRemark(s)
	}
	var worst, slow *metrics.StepView
	for _, r := range rows {
		if r.step == nil || r.step.Requests == 0 {
			continue
		}
		if worst == nil || errorRate(r.step) > errorRate(worst) {
			worst = r.step
		}
		if slow == nil || r.step.Response.P99 > slow.Response.P99 {
			slow = r.step
		}
	}
	switch {
	case worst == nil:
		return plainly("Waiting for the first answers.")
	case errorRate(worst) >= 0.05:
		return broke(fmt.Sprintf("%s fails most: %s of its requests.", m.brief(worst.Scenario, worst.Step), chart.Percent(errorRate(worst))))
	case errorRate(worst) >= 0.01:
		return bends(fmt.Sprintf("%s fails most: %s of its requests.", m.brief(worst.Scenario, worst.Step), chart.Percent(errorRate(worst))))
	}
	if slow.Kind != metrics.KindStep { // it has no share in an iteration
		return plainly(fmt.Sprintf("%s is the slowest: p99 %s.", m.brief(slow.Scenario, slow.Step), quantile(slow.Response, slow.Response.P99)))
	}
	return plainly(fmt.Sprintf("%s is the slowest: p99 %s, %s of its journey's time.", m.brief(slow.Scenario, slow.Step),
		quantile(slow.Response, slow.Response.P99), chart.Percent(slow.Share)))
}
