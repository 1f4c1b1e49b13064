package scenario

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is one problem of a scenario file.
type Error struct {
	Path         string // of the file, as given
	Line, Column int    // from 1, the column in characters; 0: the problem has no place
	Source       string // the offending line, without its end
	Msg          string // what is wrong
	Remedy       string // what to write instead; may be empty
}

// Error is the problem with its place, its line with a caret under the place, and the remedy.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Path)
	if e.Path == "" {
		b.WriteString("scenario")
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	b.WriteString(visible(hideCredentials(e.Msg)))
	if e.Line > 0 && strings.TrimSpace(e.Source) != "" {
		source, caret := excerpt(e.Source, e.Column)
		number := strconv.Itoa(e.Line)
		fmt.Fprintf(&b, "\n  %s | %s\n  %s | %s^", number, source, strings.Repeat(" ", len(number)), strings.Repeat(" ", caret))
	}
	if e.Remedy != "" {
		b.WriteString("\n  ")
		b.WriteString(visible(hideCredentials(e.Remedy)))
	}
	return b.String()
}

// Errors are all problems of a file, in its order. Never empty as an error.
type Errors []*Error

// Error is every problem, one after the other, with an empty line between.
func (e Errors) Error() string {
	parts := make([]string, len(e))
	for i, x := range e {
		parts[i] = x.Error()
	}
	return strings.Join(parts, "\n\n")
}

// Unwrap lets errors.As find the single problems.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, x := range e {
		out[i] = x
	}
	return out
}

func (e Errors) sort() {
	sort.SliceStable(e, func(i, j int) bool {
		if e[i].Line != e[j].Line {
			return e[i].Line < e[j].Line
		}
		return e[i].Column < e[j].Column
	})
}

// excerptWidth is how much of a long line is shown: it fits into 80 columns with its number.
const excerptWidth = 68

// lookAround is how many bytes on either side of a place are looked at to show its line: a file may be one line of megabytes.
const lookAround = 2000

// excerpt is the part of a line around a column, with tabs and controls made visible as one space each so that the caret
// stands right; caret is the number of characters before it.
func excerpt(line string, column int) (text string, caret int) {
	place := offsetOf(line, column)
	low, high := max(0, place-lookAround), min(len(line), place+lookAround)
	runes := []rune(hideCredentials(strings.ToValidUTF8(line[low:high], "�")))
	for i, r := range runes {
		if r == '\t' || !unicode.IsPrint(r) {
			runes[i] = ' '
		}
	}
	at := min(utf8.RuneCountInString(strings.ToValidUTF8(line[low:place], "�")), len(runes))
	if len(runes) <= excerptWidth {
		return strings.TrimRight(string(runes), " "), at
	}
	from := max(0, min(at-excerptWidth/2, len(runes)-excerptWidth))
	to := min(len(runes), from+excerptWidth)
	text, caret = string(runes[from:to]), at-from
	if from > 0 {
		text, caret = "..."+text, caret+3
	}
	if to < len(runes) {
		text += "..."
	}
	return text, caret
}

// offsetOf is where in a line a column begins, bytes; the line's end if it has fewer characters.
func offsetOf(line string, column int) int {
	for i := range line {
		if column--; column < 1 {
			return i
		}
	}
	return len(line)
}

// credentials are what stands between a scheme and the last @ before the path of a URL: a password may have one itself.
var credentials = regexp.MustCompile(`://[^\s/?#"'{}]+@`)

// hideCredentials masks them, each character by another, so that columns stay.
func hideCredentials(line string) string {
	return credentials.ReplaceAllStringFunc(line, func(s string) string {
		return "://" + strings.Repeat("*", utf8.RuneCountInString(s)-len("://@")) + "@"
	})
}

// tokens are the parameters of a URL whose names say that their values are secrets.
var tokens = regexp.MustCompile(`(?i)([?&#](?:[\w.-]*(?:password|passwd|passphrase|secret|token|api[_.-]?key|access[_.-]?key|csrf|xsrf|signature|session)[\w.-]*|pwd|pw|pass|pin|otp|auth|sig|sid|jwt|code|key)=)([^&#\s]+)`)

// hideTokens masks the values of such parameters, as far as they stand there: what a template fills in has no value yet. A name
// of a step is shown and kept everywhere.
func hideTokens(s string) string {
	return tokens.ReplaceAllStringFunc(s, func(pair string) string {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(value, "{{") && strings.HasSuffix(value, "}}") {
			return pair
		}
		return name + "=***"
	})
}

// visible keeps control characters of a file away from the terminal.
func visible(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, strings.ToValidUTF8(s, "�"))
}

// quoted is a value of the file as it stands in a message: short, on one line.
func quoted(s string) string {
	r := []rune(strings.ToValidUTF8(s, "�"))
	if len(r) > 40 {
		return strconv.Quote(string(r[:40])) + "..."
	}
	return strconv.Quote(string(r))
}
