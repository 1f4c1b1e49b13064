package peer

import (
	"fmt"
	"time"

	"lt/engine/metrics"
)

// short prints a time with the digits that matter.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.3g ms", float64(d)/1e6)
}

// size prints an amount of bytes.
func size(n uint64) string {
	const mib = 1 << 20
	if n < 10*mib {
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
	if n < 10<<30 {
		return fmt.Sprintf("%.0f MiB", float64(n)/mib)
	}
	return fmt.Sprintf("%.0f GiB", float64(n)/(1<<30))
}

// clock prints run time as m:ss.s.
func clock(d time.Duration) string {
	d = d.Round(100 * time.Millisecond) // first, or 59.96 s are 60.0
	return fmt.Sprintf("%d:%04.1f", int(d/time.Minute), (d % time.Minute).Seconds())
}

func percent(share float64) string {
	if share < 0.1 {
		return fmt.Sprintf("%.1f %%", share*100)
	}
	return fmt.Sprintf("%.0f %%", share*100)
}

// reportDrain asks for the run to be drained.
func reportDrain(text string) metrics.Report { return metrics.Report{Text: text, Drain: true} }
