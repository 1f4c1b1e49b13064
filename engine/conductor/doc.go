// Package conductor runs a run: from the first arrival to the closed record.
//
// It reads what the sources report, enters every interval and event into the ledger and the record, carries out what it is
// told (commands), and publishes a View, the whole world of the screen. One goroutine does all of it, one thing at a time.
//
// Delivery: every interval and event reaches the ledger and the record, in the order in which it came. Views may be skipped:
// a newer one replaces one that nobody took, so a slow screen never holds anything back.
package conductor
