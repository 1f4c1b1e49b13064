package report

import (
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// grid is a table: the first column is text and gives way when there is no room, the others are figures set to the right.
type grid struct {
	head []string
	rows [][]string
	text int   // how many columns from the left are text; at least the first
	less []int // columns that go, one after the other, where there is no room; positions count without those gone before
}

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

// drop takes a column out.
func (g *grid) drop(column int) {
	g.head = slices.Delete(g.head, column, column+1)
	for i := range g.rows {
		g.rows[i] = slices.Delete(g.rows[i], column, column+1)
	}
}

const (
	gap       = 2  // between columns
	leastText = 20 // what the first column keeps whatever the width
)

// lines sets the grid in at most width cells, if that can be done.
func (g *grid) lines(width int) []string {
	all := append([][]string{g.head}, g.rows...)
	widths, total := measure(all)
	for _, column := range g.less {
		if total-max(0, widths[0]-leastText) <= width {
			break
		}
		for r, row := range all {
			all[r] = slices.Delete(slices.Clone(row), column, column+1)
		}
		widths, total = measure(all)
	}
	if over := total - width; over > 0 {
		widths[0] = max(min(widths[0], leastText), widths[0]-over)
	}
	out := make([]string, len(all))
	for r, row := range all {
		var b strings.Builder
		for i, c := range row {
			if i > 0 {
				b.WriteString(strings.Repeat(" ", gap))
			}
			c = ansi.Truncate(c, widths[i], "…")
			pad := strings.Repeat(" ", widths[i]-ansi.StringWidth(c))
			if i < max(g.text, 1) {
				b.WriteString(c + pad)
			} else {
				b.WriteString(pad + c)
			}
		}
		out[r] = strings.TrimRight(b.String(), " ")
	}
	return out
}

// measure is how wide each column is, and all of them with their gaps.
func measure(rows [][]string) (widths []int, total int) {
	widths = make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], ansi.StringWidth(c))
		}
	}
	total = -gap
	for _, w := range widths {
		total += w + gap
	}
	return widths, total
}

// markdown sets the grid as a table of Markdown.
func (g *grid) markdown() []string {
	row := func(cells []string) string {
		safe := make([]string, len(cells))
		for i, c := range cells {
			safe[i] = markdownText(c)
		}
		return "| " + strings.Join(safe, " | ") + " |"
	}
	rule := "|"
	for i := range g.head {
		if i < max(g.text, 1) {
			rule += "---|"
		} else {
			rule += "--:|"
		}
	}
	out := []string{row(g.head), rule}
	for _, r := range g.rows {
		out = append(out, row(r))
	}
	return out
}

// wrap breaks a sentence into lines of at most width cells, those after the first set in by indent.
func wrap(s string, width, indent int) []string {
	lines := strings.Split(ansi.Wordwrap(s, max(width-indent, leastText), ""), "\n")
	for i := 1; i < len(lines); i++ {
		lines[i] = strings.Repeat(" ", indent) + strings.TrimSpace(lines[i])
	}
	return lines
}
