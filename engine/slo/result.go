package slo

import "time"

// Result is how one criterion stands at this moment, or at the end.
type Result struct {
	Expr   string        // as written
	Value  float64       // in the unit of the criterion: milliseconds, per cent as 0..1, or a second
	Text   string        // the value with its unit
	OK     bool          // holds so far; meaningless unless Known
	Known  bool          // there were samples to judge by
	Near   bool          // holds, but within a tenth of its limit
	Fails  bool          // does not hold at present; one with a window that failed before and holds again is not OK either
	Worst  float64       // worst full window so far; Value's latest is the present one
	Since  time.Duration // run time since which it does not hold, or did not when it failed last
	Ends   bool          // it has failed, and asks to end the run now
	Window time.Duration // 0: the whole run
}
