package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"lt/engine/ledger"
	"lt/engine/redact"
)

// csvHeader are the columns of the CSV, which are the keys of an interval in the summary.
var csvHeader = []string{
	"t_s", "arrivals_rps", "offered_rps", "throughput_rps", "goodput_rps", "errors", "users", "in_flight", "late", "dropped",
	"p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "sources", "stage",
}

// writeCSV writes a line a second, and the name of the stage beside it.
func writeCSV(w io.Writer, l *ledger.Ledger) error {
	c := csv.NewWriter(w)
	// The writer keeps the first error, and Error gives it.
	_ = c.Write(csvHeader)
	d := Summary(l)
	for _, v := range d.Intervals {
		_ = c.Write([]string{
			plain(v.T), plain(v.ArrivalsRPS), plain(v.OfferedRPS), plain(v.ThroughputRPS), plain(v.GoodputRPS),
			strconv.FormatUint(v.Errors, 10), strconv.Itoa(v.Users), strconv.Itoa(v.InFlight), strconv.FormatUint(v.Late, 10), strconv.FormatUint(v.Dropped, 10),
			maybe(v.P50), maybe(v.P90), maybe(v.P95), maybe(v.P99), maybe(v.Max), strconv.Itoa(v.Sources), csvText(stageAt(d.Stages, v.T)),
		})
	}
	c.Flush()
	return c.Error()
}

// stageAt is the name of the stage at a run time in seconds; empty outside of all.
func stageAt(stages []Stage, t float64) string {
	for _, s := range stages {
		if t >= s.From && t < s.To {
			return s.Name
		}
	}
	return ""
}

// csvText makes a text that came from outside harmless in a spreadsheet: what begins like a formula, blanks aside and in full
// width too, gets an apostrophe in front, which spreadsheets take as "this is text"
// (https://owasp.org/www-community/attacks/CSV_Injection).
func csvText(s string) string {
	s = redact.Neutralise(s)
	if r, _ := utf8.DecodeRuneInString(strings.TrimSpace(s)); strings.ContainsRune("=+-@'＝＋－＠", r) {
		return "'" + s
	}
	return s
}

// plain is a number as every program reads it.
func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// maybe is a number or nothing.
func maybe(v *float64) string {
	if v == nil {
		return ""
	}
	return plain(*v)
}

// writeLines writes an interval of the summary a line.
func writeLines(w io.Writer, l *ledger.Ledger) error {
	e := encoder(w)
	for _, v := range Summary(l).Intervals {
		if err := e.Encode(v); err != nil {
			return err
		}
	}
	return nil
}
