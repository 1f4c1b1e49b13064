package chart

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// runeWidth is the number of cells of r: 1 or 2, or 0 for everything that must not reach the terminal by itself: control
// characters, format characters (bidirectional overrides, joiners), marks, modifiers, and whatever joins its neighbours to
// one cluster. Without them the width of a text is the sum of its runes in every terminal, whether it counts by runes or by
// clusters.
func runeWidth(r rune) int {
	switch {
	case r < ' ', r >= 0x7f && r <= 0xa0, r == 0xad:
		return 0
	case r < 0x250, r >= 0x370 && r < 0x483, r >= 0x2010 && r < 0x2028, r >= 0x2190 && r < 0x219a, r >= 0x2500 && r < 0x25fd, r >= 0x2800 && r < 0x2900:
		if unicode.IsPrint(r) || r >= 0x2800 {
			return 1 // letters, and what we draw ourselves
		}
		return 0
	case r >= 0x4e00 && r < 0x9fff, r >= 0xac00 && r <= 0xd7a3:
		return 2
	case r == utf8.RuneError:
		return 1
	case !unicode.IsPrint(r) || unicode.In(r, unicode.M):
		return 0
	}
	one := string(r)
	w := ansi.StringWidth(one)
	if w < 1 || w > 2 || ansi.StringWidth(one+one) != 2*w || ansi.StringWidth("a"+one+"a") != w+2 || ansi.StringWidth("👍"+one) != w+2 || ansi.StringWidth("가"+one) != w+2 {
		return 0
	}
	return w
}

// Width is the number of cells that Canvas.Text uses for s.
func Width(s string) int {
	n := 0
	for i := 0; i < len(s); {
		if b := s[i]; b < utf8.RuneSelf {
			if b >= ' ' && b != 0x7f {
				n++
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		n += runeWidth(r)
		i += size
	}
	return n
}

// Clean is s with only what Canvas.Text would draw; line feeds and tabs become one blank.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case runeWidth(r) == 0:
			return -1
		}
		return r
	}, s)
}

// Shorten is s if it fits into n cells, else its beginning with … at the end.
func Shorten(s string, n int) string {
	if n <= 0 {
		return ""
	}
	if Width(s) <= n {
		return s
	}
	used := 0
	for i, r := range s {
		w := runeWidth(r)
		if used+w > n-1 {
			return s[:i] + "…"
		}
		used += w
	}
	return s
}

// Tight is a figure in n cells: if need be without the blank before its unit, so that no digit is lost.
func Tight(s string, n int) string {
	if Width(s) > n {
		s = strings.ReplaceAll(s, " ", "")
	}
	return Shorten(s, n)
}

// ShortenMiddle is s if it fits into n cells, else its beginning and end with … between them, for names whose end tells
// them apart.
func ShortenMiddle(s string, n int) string {
	if n <= 4 || Width(s) <= n {
		return Shorten(s, n)
	}
	tail := (n - 1) / 2
	end, used := len(s), 0
	for end > 0 {
		r, size := utf8.DecodeLastRuneInString(s[:end])
		w := runeWidth(r)
		if used+w > tail {
			break
		}
		used += w
		end -= size
	}
	head := Shorten(s[:end], n-used)
	if !strings.HasSuffix(head, "…") {
		head = Shorten(head, n-used-1) + "…"
	}
	return head + s[end:]
}

// Wrap breaks s into lines of at most n cells, at blanks where there are any; line feeds in s stay. It returns at most
// limit lines; a limit of 0 means all.
func Wrap(s string, n, limit int) []string {
	if n <= 0 {
		return nil
	}
	var out []string
	for line := range strings.SplitSeq(strings.ReplaceAll(s, "\r", ""), "\n") {
		line = Clean(line)
		for {
			if limit > 0 && len(out) == limit {
				return out
			}
			if Width(line) <= n {
				out = append(out, line)
				break
			}
			cut, used, space := 0, 0, -1
			for i, r := range line {
				w := runeWidth(r)
				if r == ' ' && i > 0 {
					space = i
				}
				if used+w > n {
					break
				}
				used += w
				cut = i + utf8.RuneLen(r)
			}
			switch {
			case space > 0 && space <= cut:
				out = append(out, line[:space])
				line = strings.TrimLeft(line[space:], " ")
			case cut == 0: // a wide rune in a single column
				return out
			default:
				out = append(out, line[:cut])
				line = line[cut:]
			}
		}
	}
	return out
}
