package main

import (
	"fmt"
	"io"
	"strings"

	"lt/engine/metrics"
	"lt/engine/redact"
	"lt/tui/chart"
)

// startTable tells of every source how its start ended: those that failed with the phase, the words of whoever refused, and
// what to do, the others in a line.
func startTable(w io.Writer, members []metrics.Member) {
	failed, width := 0, len("source")
	for i := range members {
		if members[i].State == "refused" {
			failed++
		}
		width = max(width, chart.Width(members[i].Name))
	}
	word := "sources"
	if len(members) == 1 {
		word = "source"
	}
	fmt.Fprintf(w, "%d of %d %s could not be started; nothing was sent.\n", failed, len(members), word)
	for i := range members {
		m := &members[i]
		state := "was at " + m.Step
		switch {
		case m.State == "refused":
			state = "failed"
		case m.Step == "ready" || m.Step == "armed" || m.State == "running" || m.Kind == "local":
			state = "was ready"
		case m.Step == "":
			state = "was not reached yet"
		}
		name := redact.Neutralise(m.Name)
		fmt.Fprintf(w, "  %s%s  %s\n", name, strings.Repeat(" ", max(0, width-chart.Width(name))), state)
		if m.State != "refused" {
			continue
		}
		for line := range strings.SplitSeq(strings.TrimSpace(m.Reason), "\n") {
			fmt.Fprintf(w, "  %s  %s\n", strings.Repeat(" ", width), redact.Neutralise(line))
		}
	}
}
