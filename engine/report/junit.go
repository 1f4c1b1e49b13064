package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"lt/engine/ledger"
	"lt/engine/redact"
)

// The part of JUnit's format that continuous integration reads: a suite, its cases, and of those that fail why. It is valid by
// the schema of Jenkins (jenkinsci/xunit-plugin, junit-10.xsd); type, hostname and a timestamp without a zone are there because
// readers made for the files of Ant demand them.
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
		Skipped   int         `xml:"skipped,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr"` // UTC
		Hostname  string      `xml:"hostname,attr"`
		Cases     []junitCase `xml:"testcase"`
		Output    string      `xml:"system-out"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitProblem `xml:"failure,omitempty"`
		Error   *junitProblem `xml:"error,omitempty"`
	}
	// Some readers show the message, others the text.
	junitProblem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes a case an SLO, and one each for whether the run came to its end, whether its data is complete, and whether
// the generator kept up. A saturated generator and missing data are errors of the test, not failures of the target. The run's
// time stands at the case of its end, because readers add the cases up.
func writeJUnit(w io.Writer, l *ledger.Ledger) error {
	d := Summary(l)
	length := plain(d.Run.Duration)
	class := "lt." + xmlText(d.Run.Name)
	var cases []junitCase
	add := func(name, time, failure, fault string) {
		c := junitCase{Class: class, Name: xmlText(name), Time: time}
		if failure != "" {
			c.Failure = problem("slo", failure)
		}
		if fault != "" {
			c.Error = problem(strings.Split(name, ":")[0], fault)
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
		add("slo: "+r.Expr, "0", failure, "")
	}
	failure, fault := untimely(l)
	add("run: comes to its end", length, failure, fault)
	fault = ""
	if _, _, missing := l.Data(); len(missing) > 0 {
		fault = strings.Join(missing, "; ")
	}
	add("data: complete", "0", "", fault)
	fault = ""
	if d.Verdict.Generator == "saturated" {
		fault = "the generator was the bottleneck: " + strings.Join(l.Verdict().Reasons, "; ")
	}
	add("generator: not the bottleneck", "0", "", fault)

	response := &l.Snapshot().Totals.Response
	s := junitSuite{
		Name: xmlText(d.Run.Name), Tests: len(cases), Time: length, Cases: cases,
		Timestamp: l.Header().Started.UTC().Format("2006-01-02T15:04:05"), Hostname: "localhost",
		Output: fmt.Sprintf("%d requests, %s/s goodput, response p99 %s, %s errors", d.Totals.Requests, number(d.Totals.GoodputRPS), atLeast(response, response.P99), percent(d.Totals.ErrorRate)),
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

// untimely says why a run did not come to its end: a failure if it was the target's, a fault if it was not; both are empty if it did.
func untimely(l *ledger.Ledger) (failure, fault string) {
	end, ended := l.End()
	switch {
	case ended && end.Ended == ledger.Failed || unanswered(l.Snapshot()):
		return "", "the run could not be done: there was no answer, or no source was left"
	case !ended:
		return "", "the run has no end: it was killed, or goes on"
	case end.Ended == ledger.ByUser:
		return "", "the run was ended by hand before its time"
	case end.Ended == ledger.BySLO:
		return "an SLO ended the run before its time", ""
	}
	return "", ""
}

func problem(kind, text string) *junitProblem {
	text = xmlText(text)
	return &junitProblem{Message: text, Type: kind, Text: text}
}

// xmlText leaves to the encoder what XML escapes, and shows what XML cannot hold at all.
func xmlText(s string) string { return redact.Neutralise(s) }
