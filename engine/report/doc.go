// Package report writes down what a run came to, from a ledger.Ledger on an io.Writer: as the summary that scripts rely on
// (JSON), the table that stays in the terminal, Markdown, CSV, JSON lines, JUnit and HdrHistogram's interval log.
//
// All kinds take their figures from one [Summary] or from the ledger's own snapshot, so they cannot differ. Whatever came
// from outside, such as names and messages, is made harmless for the medium that it is written to.
package report
