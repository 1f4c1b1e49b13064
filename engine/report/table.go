package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"lt/engine/ledger"
	"lt/engine/metrics"
	"lt/engine/redact"
)

// Style is how a table is set.
type Style struct {
	Width    int // cells; 0: 100
	Colour   bool
	Record   string // path of the record; empty: there is none
	Reopen   string // what lt report finds it by; empty: its id
	NoRecord string // why there is none, as a sentence; empty: nothing is said
	Exit     int    // the code that the program is going to end with; negative: not said
}

const (
	defaultWidth = 100
	shownErrors  = 10 // groups
	shownPoints  = 10
	shownSources = 8 // above it, of the generator's health only what is not ok
)

// The colours are the terminal's own sixteen, so that they fit its theme; the words say the same without them.
const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

// page collects the lines of a table.
type page struct {
	w     io.Writer
	style Style
	err   error
}

func (p *page) line(s string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, strings.TrimRight(s, " ")+"\n")
	}
}

// paint puts a line in a colour, if there are any.
func (p *page) paint(colour, s string) string {
	if !p.style.Colour || s == "" {
		return s
	}
	return colour + s + reset
}

func (p *page) title(s string) { p.line(""); p.line(p.paint(bold, s)) }

func (p *page) grid(g *grid) {
	for i, s := range g.lines(p.style.Width) {
		switch {
		case i == 0, strings.HasPrefix(s, doubt):
			s = p.paint(dim, s)
		case strings.HasSuffix(s, "FAILS"), strings.HasSuffix(s, "UNKNOWN"):
			s = p.paint(red, s)
		}
		p.line(s)
	}
}

func (p *page) sentence(mark, colour, s string) {
	for i, line := range wrap(mark+redact.Neutralise(s), p.style.Width, 2) {
		if i == 0 && mark != "" {
			line = p.paint(colour, mark) + strings.TrimPrefix(line, mark)
		}
		p.line(line)
	}
}

// Table writes the final table of a run, for the terminal's scrollback and for plain mode: the verdict first, then the figures,
// then what a reader must know to read them right, and where the record is.
func Table(w io.Writer, l *ledger.Ledger, style Style) error {
	if style.Width <= 0 {
		style.Width = defaultWidth
	}
	p := &page{w: w, style: style}
	s := l.Snapshot()
	p.verdict(l)
	p.totals(s)
	p.line("")
	p.grid(timesGrid(&s.Totals))
	if results := l.SLOs(); len(results) > 0 {
		p.title("SLOs")
		p.grid(safe(sloGrid(results)))
	}
	p.title("Steps")
	p.grid(safe(stepsGrid(s.Steps)))
	p.errors(s.Errors)
	if len(s.Stages) > 1 {
		p.title("Stages")
		p.grid(safe(stagesGrid(s.Stages)))
	}
	p.curve(l)
	if len(s.Sources) > 1 {
		p.title("Sources")
		p.grid(safe(sourcesGrid(s.Sources)))
		for _, r := range sourceReasons(s.Sources) {
			p.sentence("- ", yellow, r)
		}
	}
	p.health(s)
	if all := notes(l); len(all) > 0 {
		p.title("To read this right")
		for _, n := range all {
			p.sentence("- ", dim, n)
		}
	}
	p.line("")
	if style.Record != "" {
		p.line(fmt.Sprintf("Record: %s", redact.Neutralise(style.Record)))
		p.line(fmt.Sprintf("Again:  lt report %s -o report.md", redact.Neutralise(cmp.Or(style.Reopen, l.Header().ID))))
	}
	if style.NoRecord != "" {
		p.sentence("", "", style.NoRecord)
	}
	judges := l.Judged() != ledger.None
	if style.Exit > 0 || style.Exit == 0 && judges {
		p.line(fmt.Sprintf("Exit code %d.", style.Exit))
	}
	if !judges {
		p.sentence("", "", judged)
	}
	return p.err
}

func (p *page) verdict(l *ledger.Ledger) {
	colours := map[string]string{"FAILED": red, "INCOMPLETE": yellow, "DOUBTFUL": yellow, "PASSED": green, "DONE": green}
	v := word(l)
	for i, line := range wrap(v+": "+headline(l), p.style.Width, 2) {
		if i == 0 {
			line = p.paint(bold+colours[v], v) + strings.TrimPrefix(line, v)
		}
		p.line(line)
	}
	p.sentence("", "", subject(l))
	for _, r := range verdictOf(l).Reasons {
		p.sentence("- ", yellow, r)
	}
}

func (p *page) totals(s *metrics.Snapshot) {
	t := &s.Totals
	p.line("")
	for _, row := range [][2]string{
		{"load", fmt.Sprintf("%s arrivals/s, %s requests/s offered, %s/s answered, %s/s without error", number(t.ArrivalsRPS), number(t.OfferedRPS), number(t.ThroughputRPS), number(t.GoodputRPS))},
		{"requests", fmt.Sprintf("%s in %s, %s errors and %s dropped (%s), %s late", count(t.Requests), clock(t.Counted), count(t.Errors), count(t.Dropped), percent(t.ErrorRate), count(t.Late))},
		{"iterations", fmt.Sprintf("%s, %s failed, %s unfinished", count(t.Iterations), count(t.Failed), count(t.Unfinished))},
		{"peaks", fmt.Sprintf("%s users, %s in flight", count(uint64(max(t.UsersPeak, 0))), count(uint64(max(t.InFlightPeak, 0))))},
		{"traffic", fmt.Sprintf("%s in, %s out, %s connections opened", size(float64(t.BytesIn)), size(float64(t.BytesOut)), count(t.Opened))},
	} {
		for i, line := range wrap(row[1], p.style.Width-12, 0) {
			label := row[0]
			if i > 0 {
				label = ""
			}
			p.line(p.paint(dim, fmt.Sprintf("%-12s", label)) + line)
		}
	}
}

func (p *page) errors(errors []metrics.ErrorView) {
	if len(errors) == 0 {
		return
	}
	p.title("Errors")
	said := map[string]bool{}
	for i := range errors {
		if i == shownErrors {
			p.line(fmt.Sprintf("and %d more kinds; the summary (-o x.json) has them all", len(errors)-i))
			break
		}
		e := &errors[i]
		what, message := errorWords(e)
		line := fmt.Sprintf("%s × %s, %s", count(e.Count), what, stepName(e.Step))
		if message != "" {
			line += ": " + message
		}
		p.sentence("", "", line)
		if e.Hint != "" && !said[e.Hint] {
			said[e.Hint] = true
			for _, h := range wrap("→ "+redact.Neutralise(e.Hint), p.style.Width-2, 2) {
				p.line("  " + p.paint(dim, h))
			}
		}
	}
}

// curve is what was measured at each load, where there was more than one.
func (p *page) curve(l *ledger.Ledger) {
	points := l.Points()
	if len(points) < 2 {
		return
	}
	p.title(curveTitle)
	p.grid(pointsGrid(thin(points, shownPoints)))
	if len(points) > shownPoints {
		p.line(fmt.Sprintf("%d of %d points; the summary (-o x.json) has them all", shownPoints, len(points)))
	}
	if l.Verdict().Health == metrics.Saturated {
		p.sentence("", "", capital(ownLimit)+".")
	}
}

// health is what the generator says of itself, the most it took in the run: one line for each source; of many, those that have something to say.
func (p *page) health(s *metrics.Snapshot) {
	p.title("Generator")
	well := 0
	for i := range s.Sources {
		v := &s.Sources[i]
		if v.State == "refused" { // it never was one
			continue
		}
		if len(s.Sources) > shownSources && v.Verdict.Health == metrics.OK {
			well++
			continue
		}
		line := fmt.Sprintf("%s: %s, lag p99 %s, cpu peak %s", v.Name, v.Verdict.Health, atLeast(&v.Lag, v.Lag.P99), percent(v.CPUPeak))
		if v.Audit.Cores > 0 {
			line += fmt.Sprintf(" of %s cores", number(v.Audit.Cores))
		}
		if v.Audit.FileLimit > 0 && v.FilesPeak > 0 { // 0: the system does not tell
			line += fmt.Sprintf(", %s of %s descriptors", count(uint64(v.FilesPeak)), count(uint64(v.Audit.FileLimit)))
		}
		if v.MemoryPeak > 0 {
			line += ", " + size(float64(v.MemoryPeak))
		}
		p.sentence("", "", line)
	}
	if well > 0 {
		p.line(many(uint64(well), "source") + " ok; the table above has their figures")
	}
}

// safe makes every cell harmless for a terminal.
func safe(g *grid) *grid {
	for _, row := range g.rows {
		for i, c := range row {
			row[i] = redact.Neutralise(c)
		}
	}
	return g
}
