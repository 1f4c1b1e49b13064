// Package slo judges a run by criteria such as "p99 < 300ms" or "buyer/product: p95 < 200ms over 10s".
//
// [Parse] reads one criterion, [Criterion.Check] holds its names against a scenario file. A [Judge] is fed every interval of the
// run and told of every second that is complete; it says at any time how each criterion stands. Criteria without a window
// are judged on the totals of the run, without warm-up, pauses, setup and teardown. Those with a window (over 10s) are
// judged on every full window of the run: one that fails it fails the criterion. Without samples nothing is known, and
// what is not known has not passed.
package slo
