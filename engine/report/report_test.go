package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"lt/engine/ledger"
	"lt/engine/ledger/ledgertest"
	"lt/engine/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (make it anew with -update and read the difference):\n%s", path, d)
	}
}

// cases are the runs that every kind is written from.
var cases = map[string]ledgertest.Options{
	"plain":   {},
	"judged":  {SLO: []string{"p99 < 1s", "errors < 1%", "p95 < 60ms over 5s"}, Pause: true, Dropped: 1},
	"fleet":   {Sources: []string{"local", "ada"}, Missing: true, Seconds: 12},
	"lost":    {Sources: []string{"local", "ada", "bob"}, Lost: true, Seconds: 12},
	"dead":    {Dead: true, Seconds: 12, SLO: []string{"p99 < 1s"}},
	"closed":  {Closed: true, Perfect: true, Seconds: 12},
	"cut":     {NoEnd: true, Seconds: 12},
	"foreign": {Seconds: 12, Name: "=HYPERLINK(\"x\")<script>", Foreign: "\x1b[31m|<b>,\n\u202e"},
}

func TestGolden(t *testing.T) {
	for name, o := range cases {
		l := ledgertest.Ledger(t, o)
		for _, k := range report.Kinds() {
			if k == report.LT || (k == report.HdrLog || k == report.JSON || k == report.Lines) && name != "fleet" && (name != "lost" || k != report.JSON) {
				continue
			}
			var b bytes.Buffer
			if err := report.Write(k, &b, l); err != nil {
				t.Fatalf("%s%s: %v", name, k, err)
			}
			golden(t, name+string(k), b.Bytes())
		}
		for _, width := range []int{80, 120} {
			var b bytes.Buffer
			if err := report.Table(&b, l, report.Style{Width: width, Record: "/runs/x.lt", Exit: report.Code(l, false)}); err != nil {
				t.Fatal(err)
			}
			golden(t, fmt.Sprintf("%s.%d.txt", name, width), b.Bytes())
		}
	}
}

// contract is the summary as scripts rely on it, key by key.
const contract = `{"schema": "",
 "run": {"id": "", "name": "", "scenario": "", "target": "", "started": "", "duration_s": 0, "drain_s": 0, "version": "", "seed": 0, "arrivals": "", "ended": "", "labels": {}, "basis": "", "host": {}},
 "verdict": {"slo": "", "generator": "", "data": "", "reasons": [""]},
 "totals": {"requests": 0, "errors": 0, "error_rate": 0, "iterations": 0, "iterations_failed": 0, "unfinished": 0, "arrivals_rps": 0, "offered_rps": 0, "throughput_rps": 0, "goodput_rps": 0, "late": 0, "dropped": 0, "shortfall": 0, "unreported": 0,
            "bytes_in": 0, "bytes_out": 0, "users_peak": 0, "in_flight_peak": 0, "connections_opened": 0, "stale": 0},
 "response_time_ms": T, "service_time_ms": T, "lag_ms": T, "queued_ms": T,
 "steps": [{"scenario": "", "step": "", "kind": "", "requests": 0, "attempts": 0, "errors": 0, "throughput_rps": 0, "bytes_in": 0, "bytes_out": 0, "reused": 0, "status": {}, "errors_by_class": {},
            "response_time_ms": T, "service_time_ms": T, "phases_ms": {"dns": T, "connect": T, "tls": T, "send": T, "wait": T, "receive": T}}],
 "errors": [{"class": "", "phase": "", "status": 0, "step": "", "message": "", "count": 0, "first_s": 0, "last_s": 0, "example": "", "hint": ""}],
 "stages": [{"name": "", "warmup": false, "from_s": 0, "to_s": 0, "arrivals_rps": 0, "offered_rps": 0, "throughput_rps": 0, "goodput_rps": 0, "error_rate": 0, "response_time_ms": T}],
 "intervals": [{"t_s": 0, "arrivals_rps": 0, "offered_rps": 0, "throughput_rps": 0, "goodput_rps": 0, "errors": 0, "users": 0, "in_flight": 0, "late": 0, "dropped": 0, "p50_ms": 0, "p90_ms": 0, "p95_ms": 0, "p99_ms": 0, "max_ms": 0, "sources": 0}],
 "sources": [{"name": "", "kind": "", "label": "", "state": "", "weight": 1, "share": 0, "requests": 0, "errors": 0, "bytes_in": 0, "bytes_out": 0, "response_time_ms": T, "start_skew_ms": 0, "clock_offset_ms": 0, "rtt_ms": 0,
              "lost_at_s": null, "reason": "", "cpu_peak": 0, "lag_p99_ms": 0, "verdict": ""}],
 "events": [{"t_s": 0, "kind": "", "text": ""}],
 "slo": [{"expr": "", "value": 0, "ok": true}],
 "knee": {"found": false, "rate_rps": null, "arrivals_rps": null, "low_rps": null, "high_rps": null, "capacity_rps": null, "capacity_low_rps": null, "capacity_high_rps": null, "breaking_rps": null,
          "sustainable_rps": null, "confirmed": false, "bound_by": "", "base_ms": 0, "statement": "", "warnings": [""],
          "points": [{"offered_rps": 0, "goodput_rps": 0, "arrivals_rps": 0, "p50_ms": 0, "p99_ms": 0, "error_rate": 0, "in_flight": 0, "from_s": 0, "to_s": 0}]}}`

const contractTimes = `{"min": 0, "mean": 0, "stddev": 0, "p50": 0, "p75": 0, "p90": 0, "p95": 0, "p99": 0, "p99.9": 0, "max": 0, "count": 0}`

// keys lists the paths of a JSON text in their order; free lists the objects whose keys are data.
func keys(t *testing.T, text []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	seen := map[string]bool{}
	var out []string
	var walk func(path string)
	walk = func(path string) {
		tok, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch tok {
		case json.Delim('{'):
			for d.More() {
				k, err := d.Token()
				if err != nil {
					t.Fatal(err)
				}
				p := path + "/" + k.(string)
				switch path {
				case "/run/labels", "/run/host", "/steps/status", "/steps/errors_by_class":
					p = path
				}
				if !seen[p] {
					seen[p] = true
					out = append(out, p)
				}
				walk(p)
			}
			d.Token()
		case json.Delim('['):
			for d.More() {
				walk(path)
			}
			d.Token()
		}
	}
	walk("")
	return out
}

func TestSummaryHasTheKeysOfTheContract(t *testing.T) {
	var b bytes.Buffer
	l := ledgertest.Ledger(t, ledgertest.Options{SLO: []string{"p99 < 1s"}})
	if err := report.Write(report.JSON, &b, l); err != nil {
		t.Fatal(err)
	}
	want := keys(t, []byte(strings.ReplaceAll(contract, ": T", ": "+contractTimes)))
	if d := cmp.Diff(want, keys(t, b.Bytes())); d != "" {
		t.Error(d)
	}
}

func TestEmptyPartsStay(t *testing.T) {
	h, _ := ledgertest.Run(ledgertest.Options{})
	h.Steps, h.Stages, h.Sources, h.Labels, h.Host = nil, nil, nil, nil, nil
	l, err := ledger.New(h)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := report.Write(report.JSON, &b, l); err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"steps", "errors", "stages", "intervals", "sources", "events", "slo"} {
		if list, ok := doc[k].([]any); !ok || len(list) != 0 {
			t.Errorf("%s is %v, want an empty list", k, doc[k])
		}
	}
	run := doc["run"].(map[string]any)
	for _, k := range []string{"labels", "host"} {
		if m, ok := run[k].(map[string]any); !ok || len(m) != 0 {
			t.Errorf("run.%s is %v, want an empty object", k, run[k])
		}
	}
	for _, k := range report.Kinds() {
		if k == report.LT || k == report.HdrLog {
			continue
		}
		if err := report.Write(k, &b, l); err != nil {
			t.Errorf("%s of an empty run: %v", k, err)
		}
	}
	if err := report.Table(&b, l, report.Style{}); err != nil {
		t.Error(err)
	}
}

func TestKindOf(t *testing.T) {
	for path, want := range map[string]report.Kind{"a.json": report.JSON, "b/c.CSV": report.CSV, "x.md": report.Markdown, "j.xml": report.JUnit, "l.jsonl": report.Lines, "h.hlog": report.HdrLog, "r.lt": report.LT} {
		if got, err := report.KindOf(path); err != nil || got != want {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	for path, want := range map[string]string{"a.html": "HTML", "a.pdf": ".pdf", "a": "suffix", ".": "."} {
		if _, err := report.KindOf(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a sentence with %q", path, err, want)
		}
	}
	if err := report.Write(report.LT, &bytes.Buffer{}, ledgertest.Ledger(t, ledgertest.Options{Seconds: 6})); err == nil {
		t.Error("a record was made out of nothing")
	}
}

func TestCode(t *testing.T) {
	holds, fails := []string{"p99 < 10s"}, []string{"p99 < 1us"}
	two := []string{"local", "ada"}
	for _, tt := range []struct {
		name   string
		o      ledgertest.Options
		strict bool
		want   int
	}{
		{"finished", ledgertest.Options{}, false, 0},
		{"slo holds", ledgertest.Options{SLO: holds}, true, 0},
		{"slo fails", ledgertest.Options{SLO: fails}, false, 99},
		{"ended by an slo", ledgertest.Options{SLO: fails, Ended: ledger.BySLO}, false, 99},
		{"ended by an slo that holds again", ledgertest.Options{SLO: holds, Ended: ledger.BySLO}, false, 99},
		{"nothing to judge by", ledgertest.Options{SLO: []string{"p99 < 10s over 5m"}}, false, 99},
		{"by hand", ledgertest.Options{Ended: ledger.ByUser}, false, 97},
		{"by hand, slo fails", ledgertest.Options{Ended: ledger.ByUser, SLO: fails}, false, 99},
		{"by hand, slo holds", ledgertest.Options{Ended: ledger.ByUser, SLO: holds}, false, 97},
		{"incomplete", ledgertest.Options{Sources: two, Missing: true, SLO: fails}, true, 96},
		{"cut off", ledgertest.Options{NoEnd: true}, false, 96},
		{"saturated", ledgertest.Options{Busy: true}, false, 0},
		{"saturated, strict", ledgertest.Options{Busy: true, SLO: fails}, true, 98},
		{"saturated, slo fails", ledgertest.Options{Busy: true, SLO: fails}, false, 99},
		{"never answered", ledgertest.Options{Dead: true, SLO: fails}, true, 1},
		{"failed", ledgertest.Options{Ended: ledger.Failed, SLO: fails}, false, 1},
		{"failed and incomplete", ledgertest.Options{Ended: ledger.Failed, Sources: two, Missing: true}, false, 1},
	} {
		if got := report.Code(ledgertest.Ledger(t, tt.o), tt.strict); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestNotesAreSaidWhenTheyApply(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    ledgertest.Options
		want string
	}{
		{"correction", ledgertest.Options{Stall: true, Perfect: true}, "A tool that starts its clock when it sends would show p99"},
		{"closed", ledgertest.Options{Closed: true}, "Closed model"},
		{"dropped", ledgertest.Options{Dropped: 2}, ">= 10.0 s"},
		{"few", ledgertest.Options{Rate: 10}, "Only 250 requests"},
		{"redirects", ledgertest.Options{Redirect: true, Perfect: true}, "Most answers of buyer/GET /0 are redirects"},
		{"never answered", ledgertest.Options{Dead: true}, "the target never answered"},
		{"no slo", ledgertest.Options{}, "Without an SLO the exit code judges nothing"},
		{"hint", ledgertest.Options{Dead: true}, "→"},
	} {
		calm := table(t, ledgertest.Options{Perfect: true, SLO: []string{"p99 < 10s"}})
		got := table(t, tt.o)
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q is not said:\n%s", tt.name, tt.want, got)
		}
		if strings.Contains(calm, tt.want) {
			t.Errorf("%s: %q is said of a run without reason:\n%s", tt.name, tt.want, calm)
		}
	}
}

func table(t *testing.T, o ledgertest.Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Table(&b, ledgertest.Ledger(t, o), report.Style{Width: 200}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTableKeepsToItsWidth(t *testing.T) {
	for name, o := range cases {
		l := ledgertest.Ledger(t, o)
		for _, width := range []int{80, 100, 160} {
			var plain, coloured bytes.Buffer
			report.Table(&plain, l, report.Style{Width: width})
			report.Table(&coloured, l, report.Style{Width: width, Colour: true})
			for line := range strings.Lines(plain.String()) {
				if w := ansi.StringWidth(strings.TrimSuffix(line, "\n")); w > width {
					t.Errorf("%s at %d: %d cells: %s", name, width, w, line)
				}
			}
			if stripped := ansi.Strip(coloured.String()); stripped != plain.String() {
				t.Errorf("%s: colour changes the text:\n%s", name, cmp.Diff(plain.String(), stripped))
			}
		}
	}
}

func TestWhatComesFromOutsideIsHarmless(t *testing.T) {
	l := ledgertest.Ledger(t, cases["foreign"])
	for _, k := range []report.Kind{report.CSV, report.Markdown, report.JUnit} {
		var b bytes.Buffer
		if err := report.Write(k, &b, l); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"\x1b", "\u202e", "<script", "<b>"} {
			if strings.Contains(b.String(), bad) {
				t.Errorf("%s holds %q", k, bad)
			}
		}
	}
	var b bytes.Buffer
	report.Table(&b, l, report.Style{Width: 200})
	if strings.ContainsAny(b.String(), "\x1b\u202e") {
		t.Error("the table holds what can harm a terminal")
	}
}

// JSON says the same to whoever reads it, and nothing to a terminal.
func TestJSONIsHarmlessToo(t *testing.T) {
	const foreign = "\u009b31m\u202e\x7f\x1b \U000e0001 é€😀"
	l := ledgertest.Ledger(t, ledgertest.Options{Seconds: 12, Foreign: foreign})
	var b bytes.Buffer
	if err := report.Write(report.JSON, &b, l); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"\u009b", "\u202e", "\x7f", "\x1b", "\U000e0001"} {
		if bytes.Contains(b.Bytes(), []byte(bad)) {
			t.Errorf("the summary holds %q as it is", bad)
		}
	}
	if !bytes.Contains(b.Bytes(), []byte("é€😀")) {
		t.Error("harmless characters are not left as they are")
	}
	var doc report.Document
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(report.Summary(l).Steps, doc.Steps); d != "" {
		t.Error(d)
	}
	if got := doc.Steps[1].Step; got != "GET /0"+foreign {
		t.Errorf("the step reads %q", got)
	}
}

func TestFormulasStayText(t *testing.T) {
	for _, name := range []string{"=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "'x", "  =1", "＝1"} {
		h, items := ledgertest.Run(ledgertest.Options{Seconds: 8})
		h.Stages[1].Name = name
		l, _ := ledger.New(h)
		for _, it := range items {
			l.Add(it)
		}
		var b bytes.Buffer
		if err := report.Write(report.CSV, &b, l); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if got := rows[7][len(rows[7])-1]; got != "'"+name {
			t.Errorf("stage column %q, want an apostrophe in front of %q", got, name)
		}
		for _, r := range rows {
			if len(r) != len(rows[0]) {
				t.Errorf("row %v has %d columns, want %d", r, len(r), len(rows[0]))
			}
		}
	}
}

// GitHub drops a step summary of more than 1 MiB as a whole, and takes dollars for mathematics.
func TestMarkdownFitsAStepSummary(t *testing.T) {
	h, items := ledgertest.Run(ledgertest.Options{Seconds: 6, Rate: 8000, Steps: 4000, Foreign: " $.a $.b"})
	l, err := ledger.New(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		l.Add(it)
	}
	var b bytes.Buffer
	if err := report.Write(report.Markdown, &b, l); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 1<<20 || !strings.Contains(b.String(), "more steps") || !strings.Contains(b.String(), "more kinds of errors") {
		t.Errorf("%d bytes of Markdown, and what is left out must be said", b.Len())
	}
	if strings.Contains(b.String(), " $.a") {
		t.Error("a dollar is not escaped")
	}
}

// Of a curve that the generator bent nothing is claimed.
func TestNothingIsClaimedOfTheGeneratorsLimit(t *testing.T) {
	l := ledgertest.Ledger(t, ledgertest.Options{Busy: true, Pause: true})
	k := report.Summary(l).Knee
	if k.Found || k.BoundBy == nil || *k.BoundBy != "generator" || len(k.Warnings) == 0 || !strings.Contains(k.Statement, "nothing is claimed") {
		t.Errorf("%+v", k)
	}
	for _, text := range []string{table(t, ledgertest.Options{Busy: true, Pause: true}), written(t, report.Markdown, l)} {
		if !strings.Contains(text, "nothing is claimed of the target") {
			t.Errorf("not said:\n%s", text)
		}
	}
	if k := report.Summary(ledgertest.Ledger(t, ledgertest.Options{Perfect: true})).Knee; k.BoundBy != nil || len(k.Warnings) != 0 {
		t.Errorf("of a healthy run: %+v", k)
	}
}

func written(t *testing.T, k report.Kind, l *ledger.Ledger) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Write(k, &b, l); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The table of a long ramp has some of its points, the first and the last among them.
func TestTableThinsTheCurve(t *testing.T) {
	h, items := ledgertest.Run(ledgertest.Options{Seconds: 90})
	h.Stages[1].Ramp = true
	l, err := ledger.New(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		l.Add(it)
	}
	points := l.Points()
	var b bytes.Buffer
	if err := report.Table(&b, l, report.Style{}); err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(b.String(), "Goodput against offered load\n")
	part, _, _ = strings.Cut(part, "\n\n")
	lines := strings.Split(part, "\n")
	if want := fmt.Sprintf("10 of %d points", len(points)); len(points) < 15 || len(lines) != 12 || !strings.HasPrefix(lines[11], want) {
		t.Fatalf("%d points, shown as\n%s", len(points), part)
	}
	for i, at := range map[int]time.Duration{1: points[0].From, 10: points[len(points)-1].From} {
		if want := fmt.Sprintf("%d:%02d", int(at.Minutes()), int(at.Seconds())%60); !strings.HasPrefix(strings.TrimSpace(lines[i]), want) {
			t.Errorf("row %d is %q, want the point from %s", i, lines[i], want)
		}
	}
}

func TestJUnitCountsWhatFailed(t *testing.T) {
	var b bytes.Buffer
	if err := report.Write(report.JUnit, &b, ledgertest.Ledger(t, ledgertest.Options{SLO: []string{"p99 < 1s", "p99 < 1us"}, Ended: ledger.ByUser})); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Tests    int     `xml:"tests,attr"`
		Failures int     `xml:"failures,attr"`
		Errors   int     `xml:"errors,attr"`
		Time     float64 `xml:"time,attr"`
		Suites   []struct {
			Timestamp string `xml:"timestamp,attr"`
			Cases     []struct {
				Name    string  `xml:"name,attr"`
				Time    float64 `xml:"time,attr"`
				Failure *struct {
					Type    string `xml:"type,attr"`
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	// The SLO that fails is a failure of the target; that it was ended by hand is an error of the test.
	if doc.Tests != 5 || doc.Failures != 1 || doc.Errors != 1 || len(doc.Suites[0].Cases) != 5 {
		t.Errorf("%+v", doc)
	}
	sum := 0.0
	for _, c := range doc.Suites[0].Cases {
		sum += c.Time
	}
	if sum != 30 || doc.Time != 30 {
		t.Errorf("the cases take %v s together and the suites %v s; the run took 30 s", sum, doc.Time)
	}
	if f := doc.Suites[0].Cases[1].Failure; f == nil || f.Type != "slo" || f.Text != f.Message || !strings.HasPrefix(f.Text, "does not hold: ") {
		t.Errorf("failure %+v", f)
	}
	if _, err := time.Parse("2006-01-02T15:04:05", doc.Suites[0].Timestamp); err != nil {
		t.Error(err)
	}
}

// A run that did not come to its end is not said to have done so, whatever else is wrong with it.
func TestJUnitSaysHowARunEnded(t *testing.T) {
	holds, fails := []string{"p99 < 10s"}, []string{"p99 < 1us"}
	for name, tt := range map[string]struct {
		o    ledgertest.Options
		want string
	}{
		"finished":                          {ledgertest.Options{SLO: fails}, ""},
		"by hand":                           {ledgertest.Options{Ended: ledger.ByUser}, "ended by hand"},
		"by hand, slo fails":                {ledgertest.Options{Ended: ledger.ByUser, SLO: fails}, "ended by hand"},
		"by hand, incomplete":               {ledgertest.Options{Ended: ledger.ByUser, Sources: []string{"local", "ada"}, Missing: true}, "ended by hand"},
		"by an slo that holds again":        {ledgertest.Options{Ended: ledger.BySLO, SLO: holds}, "an SLO ended the run"},
		"killed":                            {ledgertest.Options{NoEnd: true}, "has no end"},
		"never answered, and ended by hand": {ledgertest.Options{Dead: true, Ended: ledger.ByUser}, "could not be done"},
	} {
		got := ""
		if _, text, ok := strings.Cut(written(t, report.JUnit, ledgertest.Ledger(t, tt.o)), `name="run: comes to its end"`); ok {
			got, _, _ = strings.Cut(text, "</testcase>")
		}
		if !strings.Contains(got, tt.want) || strings.Contains(got, "message=") != (tt.want != "") {
			t.Errorf("%s: %s, want %q", name, got, tt.want)
		}
	}
}

// An SLO that ended the run has failed, also where the figures of the whole run are within it.
func TestHeadlineOfARunThatAnSLOEnded(t *testing.T) {
	got := table(t, ledgertest.Options{SLO: []string{"p99 < 10s"}, Ended: ledger.BySLO})
	if !strings.HasPrefix(got, "FAILED: an SLO failed on the way, ") {
		t.Errorf("it begins %.80q", got)
	}
}

// What so few requests cannot bound from above has no end: the longest of them is not said to be one.
func TestFewRequestsBoundNothingFromAbove(t *testing.T) {
	for rate, want := range map[int]string{10: "or more (95 %), and so few do not bound it from above", 30: "lies between"} {
		got := table(t, ledgertest.Options{Rate: rate, Perfect: true})
		if !strings.Contains(got, want) {
			t.Errorf("of %d requests a second %q is not said:\n%s", rate, want, got)
		}
		if from := regexp.MustCompile(`(?m)^  95 %.* from [0-9.]+ ms  .*from`).MatchString(got); from != (rate == 10) {
			t.Errorf("of %d requests a second the row of the interval reads so: %t\n%s", rate, from, got)
		}
	}
	if got := table(t, ledgertest.Options{Rate: 1, Steps: 1, Seconds: 6}); !strings.Contains(got, "Only 1 request: ") {
		t.Errorf("of one request:\n%s", got)
	}
}

func TestHdrLogReadsBack(t *testing.T) {
	l := ledgertest.Ledger(t, ledgertest.Options{Perfect: true, Seconds: 20})
	var b bytes.Buffer
	if err := report.Write(report.HdrLog, &b, l); err != nil {
		t.Fatal(err)
	}
	reader := hdr.NewHistogramLogReader(bytes.NewReader(b.Bytes()))
	sums := map[string]*hdr.Histogram{}
	for {
		h, err := reader.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		if sums[h.Tag()] == nil {
			sums[h.Tag()] = hdr.New(1, int64(time.Hour/time.Microsecond), 3)
		}
		sums[h.Tag()].Merge(h)
	}
	if len(sums) != 2 {
		t.Fatalf("tags %v, want response and service", sums)
	}
	// The log has the warm-up, the totals have not: 20 s of 50 against 15 s.
	if n := sums["response"].TotalCount(); n != 1000 {
		t.Errorf("%d response times, want 1000", n)
	}
	want := l.Snapshot().Totals.Response.P50
	if got := time.Duration(sums["response"].ValueAtQuantile(50)) * time.Microsecond; got < want*9/10 || got > want*11/10 {
		t.Errorf("median %v, the run's is %v", got, want)
	}
	// The third column is the maximum in milliseconds.
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "Tag=response,") {
			continue
		}
		var from, length, most float64
		var packed string
		if _, err := fmt.Sscanf(strings.TrimPrefix(line, "Tag=response,"), "%f,%f,%f,%s", &from, &length, &most, &packed); err != nil {
			t.Fatal(err)
		}
		if length == 1 && (most < 20 || most > 200) {
			t.Errorf("second %v: maximum %v ms, want tens", from, most)
		}
	}
	h, items := ledgertest.Run(ledgertest.Options{})
	without, _ := ledger.New(h)
	for _, it := range items {
		without.Add(it)
	}
	if err := report.Write(report.HdrLog, &b, without); !errors.Is(err, ledger.ErrNoRecord) {
		t.Errorf("without a record: %v", err)
	}
}

func BenchmarkSummary(b *testing.B) {
	b.ReportAllocs()
	l := ledgertest.Ledger(b, ledgertest.Options{Seconds: 300, Steps: 50, Rate: 500})
	for b.Loop() {
		report.Summary(l)
	}
}

// A run whose record was cut does not offer what would not work.
func TestTableWithoutRecord(t *testing.T) {
	l := ledgertest.Ledger(t, ledgertest.Options{Seconds: 12})
	var b bytes.Buffer
	if err := report.Table(&b, l, report.Style{NoRecord: "The record could not be written to its end (no space left on device)."}); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); strings.Contains(got, "Record:") || strings.Contains(got, "Again:") || !strings.Contains(got, "no space left on device") {
		t.Errorf("the end of the table:\n%s", got[max(0, len(got)-300):])
	}
}
