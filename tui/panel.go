package tui

import (
	"lt/tui/chart"
	"lt/tui/theme"
)

// The panels, in the order of their keys.
const (
	panelOverview = iota
	panelSteps
	panelErrors
	panelKnee
	panelHeatmap
	panelPeers
	panelEvents
	panelCount
)

// panel is what the screen must know of one: how it is drawn, what it says, and which rows it has.
type panel struct {
	name, short string // the short name is for narrow screens
	draw        func(*model, chart.Canvas)
	foot        func(*model) remark   // what the eye should see now
	explain     []string              // for the help
	keys        func(*model) []string // identity of each row, for the selection; "" is a row that cannot be selected
	orders      []string              // what o goes through
	// detail are the rows of the selected row's detail on a body of w by h cells; nil: enter opens none.
	detail func(m *model, w, h int) []row
}

func panelAt(i int) panel {
	return [panelCount]panel{
		{"Overview", "Over", (*model).drawOverview, (*model).overviewFoot, overviewHelp, nil, nil, nil},
		{"Steps", "Steps", (*model).drawSteps, (*model).stepsFoot, stepsHelp, (*model).stepKeys, stepOrders, (*model).stepDetail},
		{"Errors", "Err", (*model).drawErrors, (*model).errorsFoot, errorsHelp, (*model).errorKeys, errorOrders, (*model).errorDetail},
		{"Knee", "Knee", (*model).drawKnee, (*model).kneeFoot, kneeHelp, nil, nil, nil},
		{"Heatmap", "Heat", (*model).drawHeatmap, (*model).heatmapFoot, heatmapHelp, nil, heatmapOrders, nil},
		{"Peers", "Peers", (*model).drawPeers, (*model).peersFoot, peersHelp, (*model).peerKeys, nil, (*model).peerDetail},
		{"Events", "Log", (*model).drawEvents, (*model).eventsFoot, eventsHelp, (*model).eventKeys, nil, nil},
	}[i]
}

// remark is a sentence with its weight: plain, ▲ it bends, ✗ it broke.
type remark struct {
	style theme.Style
	text  string
}

func plainly(s string) remark { return remark{theme.Text, s} }
func bends(s string) remark   { return remark{theme.Warn, "▲ " + s} }
func broke(s string) remark   { return remark{theme.Bad, "✗ " + s} }

// waiting draws what a panel waits for, in its middle.
func waiting(c chart.Canvas, lines ...string) {
	y := max(0, (c.H()-len(lines))/2)
	for i, s := range lines {
		st := theme.Dim
		if i == 0 {
			st = theme.Text
		}
		s = chart.Shorten(s, c.W()-2)
		c.Text(max(1, (c.W()-chart.Width(s))/2), y+i, st, s)
	}
}

// drawNothing draws a list without rows: because of the filter, or for the reason given.
func (m *model) drawNothing(c chart.Canvas, what string, reason ...string) {
	if f := m.lists[m.panel].filter; f != "" {
		reason = []string{"No " + what + " matches /" + f + ".", "esc clears the filter"}
	}
	waiting(c, reason...)
}
