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
	name    string
	draw    func(*model, chart.Canvas)
	foot    func(*model) remark   // what the eye should see now
	keys    func(*model) []string // identity of each row, for the selection; "" is a row that cannot be selected
	orders  []string              // what o goes through
	detail  bool                  // enter opens the selected row
	explain []string              // for the help
}

func panelAt(i int) panel {
	return [panelCount]panel{
		{"Overview", (*model).drawOverview, (*model).overviewFoot, nil, nil, false, overviewHelp},
		{"Steps", (*model).drawSteps, (*model).stepsFoot, (*model).stepKeys, stepOrders, true, stepsHelp},
		{"Errors", (*model).drawErrors, (*model).errorsFoot, (*model).errorKeys, errorOrders, true, errorsHelp},
		{"Knee", (*model).drawKnee, (*model).kneeFoot, nil, nil, false, kneeHelp},
		{"Heatmap", (*model).drawHeatmap, (*model).heatmapFoot, nil, heatmapOrders, false, heatmapHelp},
		{"Peers", (*model).drawPeers, (*model).peersFoot, (*model).peerKeys, nil, true, peersHelp},
		{"Events", (*model).drawEvents, (*model).eventsFoot, (*model).eventKeys, nil, true, eventsHelp},
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
