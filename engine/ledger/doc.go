// Package ledger adds up what a run is made of.
//
// A run is a [Header] and a sequence of items: intervals of its sources, edges of stages, pauses, changes, events, and its
// end. A [Ledger] takes them one by one and answers what anyone wants to know of the run: the picture so far, how the SLOs
// stand, the points of the curve, the diary. The run that goes on and the record read from disk go through the same Ledger in
// the same order, so what is said of both is the same by construction.
//
//	l, err := ledger.New(header)
//	l.Add(interval); l.Add(&ledger.Event{...}); ...
//	l.Add(&ledger.End{...})
//	l.Snapshot(); l.SLOs(); l.Points(); l.Events(); l.Data()
//
// A Ledger knows no clock: its present is the newest time that an interval or the end has told it. It belongs to one
// goroutine; what it returns may be kept and read by anyone.
package ledger
