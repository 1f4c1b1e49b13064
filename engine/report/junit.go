package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"lt/engine/ledger"
	"lt/engine/redact"
)

// The part of JUnit's format that continuous integration reads: a suite, its cases, and of those that fail why.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr"`
		Cases     []junitCase `xml:"testcase"`
		Output    string      `xml:"system-out,omitempty"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitProblem `xml:"failure,omitempty"`
		Error   *junitProblem `xml:"error,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes a case an SLO, and one each for whether the run came to its end, whether its data is complete, and whether
// the generator kept up. A saturated generator and missing data are errors of the test, not failures of the target.
func writeJUnit(w io.Writer, l *ledger.Ledger) error {
	d := Summary(l)
	length := plain(d.Run.Duration)
	class := "lt." + xmlText(d.Run.Name)
	var cases []junitCase
	add := func(name string, failure, fault string) {
		c := junitCase{Class: class, Name: xmlText(name), Time: length}
		if failure != "" {
			c.Failure = &junitProblem{Message: xmlText(failure)}
		}
		if fault != "" {
			c.Error = &junitProblem{Message: xmlText(fault)}
		}
		cases = append(cases, c)
	}
	for _, r := range l.SLOs() {
		failure := ""
		switch {
		case !r.Known:
			failure = "nothing was measured to judge it by"
		case !r.OK:
			failure = "does not hold: " + r.Text
		}
		add("slo: "+r.Expr, failure, "")
	}
	fault := ""
	switch Code(l, false) {
	case CodeFailed:
		fault = "the run could not be done: there was no answer, or no source was left"
	case CodeUser:
		fault = "the run was ended by hand before its time"
	}
	add("run: comes to its end", "", fault)
	fault = ""
	if _, _, missing := l.Data(); len(missing) > 0 {
		fault = strings.Join(missing, "; ")
	}
	add("data: complete", "", fault)
	fault = ""
	if d.Verdict.Generator == "saturated" {
		fault = "the generator was the bottleneck: " + strings.Join(l.Verdict().Reasons, "; ")
	}
	add("generator: not the bottleneck", "", fault)

	s := junitSuite{
		Name: xmlText(d.Run.Name), Tests: len(cases), Time: length, Timestamp: d.Run.Started, Cases: cases,
		Output: fmt.Sprintf("%d requests, %s/s goodput, response p99 %s, %s errors", d.Totals.Requests, number(d.Totals.GoodputRPS), millis(d.ResponseTime.P99), percent(d.Totals.ErrorRate)),
	}
	for _, c := range cases {
		if c.Failure != nil {
			s.Failures++
		}
		if c.Error != nil {
			s.Errors++
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	err := e.Encode(junitSuites{Name: "lt", Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Time: length, Suites: []junitSuite{s}})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, "\n")
	return err
}

// xmlText leaves to the encoder what XML escapes, and shows what XML cannot hold at all.
func xmlText(s string) string { return redact.Neutralise(s) }
