package chart

import "lt/tui/theme"

// Column is a column of a Table.
type Column struct {
	Title string
	Width int  // in cells; with Grow the least width
	Left  bool // text; figures are right aligned
	Grow  bool // takes what the others leave; if several do, equal parts
	Mark  bool // the column by which the table is sorted: its title is strong
	Ends  bool // names whose ends tell them apart: what is too long loses its middle
}

// Cell is a place of a Table: a text, or what Draw draws into the place.
type Cell struct {
	Text  string
	Style theme.Style
	Draw  func(Canvas) // if not nil, instead of Text
}

// Table lays rows out in columns of fixed width, two cells apart, so that a figure never moves its neighbour. What is too
// long is shortened. A row of a single cell is a title and has the whole width. Rows that are not shown need not be made: Row is asked for those on the canvas only.
type Table struct {
	Columns  []Column
	Len      int
	Row      func(i int) []Cell
	First    int // the first row shown
	Selected int // marked with ▸; negative: none
}

// Widths are the widths of the columns on w cells, after two for the mark of the selection. Columns that do not fit are 0,
// from the right.
func (t Table) Widths(w int) []int {
	out := make([]int, len(t.Columns))
	used, growing := 2, 0
	for i, col := range t.Columns {
		need := max(0, col.Width)
		if i > 0 {
			need += 2
		}
		if used+need > w {
			break
		}
		used += need
		out[i] = max(0, col.Width)
		if col.Grow {
			growing++
		}
	}
	for i, col := range t.Columns {
		if col.Grow && out[i] > 0 {
			more := (w - used) / growing
			out[i] += more
			used += more
			growing--
		}
	}
	return out
}

// Draw draws the titles in the first row of c and the rows below.
func (t Table) Draw(c Canvas) {
	widths := t.Widths(c.W())
	x := 2
	for i, col := range t.Columns {
		if widths[i] == 0 {
			continue
		}
		st := theme.Dim
		if col.Mark {
			st = theme.Text | theme.Bold
		}
		t.cell(c.Sub(x, 0, widths[i], 1), col, Cell{Text: col.Title, Style: st})
		x += widths[i] + 2
	}
	for y := 1; y < c.H(); y++ {
		n := t.First + y - 1
		if n < 0 || n >= t.Len {
			break
		}
		cells := t.Row(n)
		if n == t.Selected {
			c.Set(0, y, theme.Accent|theme.Bold, '▸')
		}
		if len(cells) == 1 {
			t.cell(c.Sub(2, y, c.W()-2, 1), t.Columns[0], cells[0])
			continue
		}
		x := 2
		for i, col := range t.Columns {
			if widths[i] == 0 || i >= len(cells) {
				continue
			}
			cell := cells[i]
			if n == t.Selected {
				cell.Style |= theme.Bold
			}
			t.cell(c.Sub(x, y, widths[i], 1), col, cell)
			x += widths[i] + 2
		}
	}
}

func (t Table) cell(c Canvas, col Column, cell Cell) {
	switch {
	case cell.Draw != nil:
		cell.Draw(c)
	case col.Ends:
		c.Text(0, 0, cell.Style, ShortenMiddle(cell.Text, c.W()))
	case col.Left:
		c.Text(0, 0, cell.Style, Shorten(cell.Text, c.W()))
	default:
		c.Right(c.W(), 0, cell.Style, Tight(cell.Text, c.W()))
	}
}

// Scroll is the first row to show so that row selected is visible on h rows of n, moved no more than needed from first.
func Scroll(first, selected, n, h int) int {
	h = max(1, h)
	if selected >= 0 && selected < first {
		first = selected
	}
	if selected >= first+h {
		first = selected - h + 1
	}
	return max(0, min(first, n-h))
}
