// Package conductor runs a run: from the first arrival to the closed record.
//
// It reads what the sources report, enters every interval and event into the ledger and the record, carries out what it is
// told (commands), and publishes a View, the whole world of the screen. One goroutine does all of it, one thing at a time; another
// hands Views to whoever watches.
//
// Delivery: every interval and event reaches the ledger and the record, in the order in which it came. Views may be skipped:
// a newer one replaces one that nobody took, so neither a slow screen nor lines that nobody reads hold anything back. Nor does a disk that
// hangs: the record is written behind the run, and if the disk does not answer in time it is said to be cut short. Every
// command is answered by an event, if only by one that says why nothing was done.
package conductor
