package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"lt/engine/ledger"
	"lt/engine/metrics"
	"lt/engine/redact"
)

// The rows of a table of Markdown: GitHub drops a step summary of more than 1 MiB as a whole
// (https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands, adding a job summary).
const (
	markdownErrors = 50
	markdownSteps  = 500
	markdownPoints = 50
)

// writeMarkdown writes the report as GitHub shows it: the verdict first.
func writeMarkdown(w io.Writer, l *ledger.Ledger) error {
	b := bufio.NewWriter(w)
	h, s := l.Header(), l.Snapshot()
	t := &s.Totals
	fmt.Fprintf(b, "## %s: %s\n\n**%s.**\n\n", markdownText(h.Name), word(l), markdownText(capital(headline(l))))
	fmt.Fprintf(b, "%s. Run `%s`, started %s, lt %s.\n", markdownText(subject(l)), h.ID, h.Started.UTC().Format("2006-01-02 15:04:05 UTC"), markdownText(h.Version))
	if h.Basis != "" {
		fmt.Fprintf(b, "Allowed: %s.\n", markdownText(h.Basis))
	}
	b.WriteByte('\n')
	for _, r := range verdictOf(l).Reasons {
		fmt.Fprintf(b, "- %s\n", markdownText(r))
	}
	section := func(title string, g *grid) {
		if len(g.rows) == 0 {
			return
		}
		fmt.Fprintf(b, "\n### %s\n\n%s\n", title, strings.Join(g.markdown(), "\n"))
	}
	section("SLOs", sloGrid(l.SLOs()))
	totals := &grid{head: []string{"requests", "errors", "dropped", "error rate", "late", "arrivals/s", "offered/s", "throughput/s", "goodput/s"}}
	totals.add(count(t.Requests), count(t.Errors), count(t.Dropped), percent(t.ErrorRate), count(t.Late), number(t.ArrivalsRPS), number(t.OfferedRPS), number(t.ThroughputRPS), number(t.GoodputRPS))
	section("Totals", totals)
	section("Times", timesGrid(t))
	section("Steps", stepsGrid(s.Steps[:min(len(s.Steps), markdownSteps)]))
	more(b, len(s.Steps)-markdownSteps, "steps")
	errors := &grid{head: []string{"error", "step", "message", "count", "hint"}, text: 5}
	for i := range s.Errors[:min(len(s.Errors), markdownErrors)] {
		e := &s.Errors[i]
		what, message := errorWords(e)
		errors.add(what, stepName(e.Step), message, count(e.Count), e.Hint)
	}
	section("Errors", errors)
	more(b, len(s.Errors)-markdownErrors, "kinds of errors")
	section("Stages", stagesGrid(s.Stages[:min(len(s.Stages), markdownSteps)]))
	more(b, len(s.Stages)-markdownSteps, "stages")
	section(curveTitle, pointsGrid(thin(l.Points(), markdownPoints)))
	if s.Verdict.Health == metrics.Saturated {
		fmt.Fprintf(b, "\n%s.\n", markdownText(capital(ownLimit)))
	}
	section("Sources", sourcesGrid(s.Sources))
	for i, r := range sourceReasons(s.Sources) {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(b, "- %s\n", markdownText(r))
	}
	if all := notes(l); len(all) > 0 {
		fmt.Fprintf(b, "\n### To read this right\n\n")
		for _, n := range all {
			fmt.Fprintf(b, "- %s\n", markdownText(n))
		}
	}
	if l.Judged() == ledger.None {
		fmt.Fprintf(b, "\n%s\n", markdownText(judged))
	}
	return b.Flush()
}

// more says that a table was cut.
func more(w io.Writer, n int, what string) {
	if n > 0 {
		fmt.Fprintf(w, "\nand %d more %s; the summary (-o x.json) has them all\n", n, what)
	}
}

// markdownEscapes takes the meaning from what Markdown, or the HTML that is made from it, would act upon; GitHub takes what stands between dollars
// for mathematics.
var markdownEscapes = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "\\", `\\`, "#", `\#`, "~", `\~`, "$", `\$`,
)

// markdownText makes a text that came from outside harmless.
func markdownText(s string) string { return markdownEscapes.Replace(redact.Neutralise(s)) }

// capital lets a sentence begin with a capital letter.
func capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}
