package redact

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Neutralise makes one printable line of any bytes: control characters, line breaks among them, escape sequences, marks
// that turn the direction of writing, invisible characters and bytes that are not UTF-8 are shown as \n, \x1b or \u202e.
// A terminal, a table or a log line cannot be harmed by the result. Text that is harmless already is returned as it is.
func Neutralise(s string) string { return neutralise(s, false) }

// NeutraliseLines keeps line feeds and tabs, and makes one line feed of CR LF.
func NeutraliseLines(s string) string { return neutralise(s, true) }

func neutralise(s string, lines bool) string {
	i := 0
	for i < len(s) && s[i] >= ' ' && s[i] < 0x7f {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			number(&b, `\x`, uint32(s[i]), 2)
		case lines && (r == '\n' || r == '\t'):
			b.WriteByte(byte(r))
		case lines && r == '\r' && strings.HasPrefix(s[i+1:], "\n"):
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r >= 0x7f && r < 0xa0:
			number(&b, `\x`, uint32(r), 2)
		case !visible(r):
			if r > 0xffff {
				number(&b, `\U`, uint32(r), 8)
			} else {
				number(&b, `\u`, uint32(r), 4)
			}
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// visible reports whether a character beyond ASCII may be shown: letters, marks, digits, signs and spaces. What is left
// out are format characters (the marks for direction among them), line and paragraph separators, private and unassigned
// characters.
func visible(r rune) bool {
	return unicode.IsPrint(r) || unicode.Is(unicode.Zs, r)
}

// number writes an escape sequence with that many hex digits.
func number(b *strings.Builder, prefix string, v uint32, digits int) {
	b.WriteString(prefix)
	for i := digits - 1; i >= 0; i-- {
		b.WriteByte("0123456789abcdef"[v>>(4*i)&15])
	}
}
