package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"lt/engine/conductor"
	"lt/engine/metrics"
	"lt/engine/scenario"
)

// Where nothing was answered there is no percentile; a target that hangs does not seem to be fast.
func TestLinesHaveNoPercentilesOfNothing(t *testing.T) {
	var out bytes.Buffer
	newPlain(&out, &scenario.File{}).watch(&conductor.View{Snapshot: &metrics.Snapshot{}, Elapsed: 5 * time.Second, Stage: -1})
	if line := out.String(); !strings.Contains(line, "p50 –  p99 –  ") {
		t.Errorf("the line is %q", line)
	}
}

// A percentile that dropped arrivals reach is only a lower bound, and a line says so as the table does.
func TestLinesMarkLowerBounds(t *testing.T) {
	var out bytes.Buffer
	p := newPlain(&out, &scenario.File{})
	s := &metrics.Snapshot{Window: metrics.Window{OfferedRPS: 100, GoodputRPS: 90}}
	s.Window.Response = metrics.Quantiles{Count: 100, P50: 20 * time.Millisecond, P99: 1234 * time.Millisecond, AtLeast: true, AtLeastFrom: time.Second}
	p.watch(&conductor.View{Snapshot: s, Elapsed: 5 * time.Second, Stage: -1})
	if line := out.String(); !strings.Contains(line, "p50 20.0 ms  p99 >= 1.23 s ") {
		t.Errorf("the line is %q", line)
	}
}
