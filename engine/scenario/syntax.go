package scenario

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// load reads the text as one YAML document. nil: what is wrong has been reported.
func (w *walker) load() *yaml.Node {
	text := bytes.TrimPrefix(w.text, []byte("\xef\xbb\xbf")) // the mark that some editors put before UTF-8
	switch {
	case len(text) > MaxFile:
		w.addAt(Pos{}, "the file is larger than "+formatSize(MaxFile)+", the most that is read", "name a scenario, and put large bodies into files of their own")
		return nil
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		w.addAt(Pos{}, "this is UTF-16 text, as PowerShell and some editors write it", "save the file as UTF-8")
		return nil
	case bytes.IndexByte(text, 0) >= 0:
		w.addAt(Pos{}, "this is not a text file: there are zero bytes in it", "name a scenario, which is YAML or JSON")
		return nil
	}
	w.lines = strings.Split(string(text), "\n")
	for i, line := range w.lines {
		line = strings.TrimSuffix(line, "\r")
		w.lines[i] = line
		if w.odd(i+1, line) {
			return nil
		}
	}
	var doc yaml.Node
	err := yaml.Load(fromJSON(text), &doc)
	if err != nil {
		w.syntax(err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || isNull(doc.Content[0]) {
		w.empty()
		return nil
	}
	return doc.Content[0]
}

// odd reports the first character of a line that no text has, and whether there is one.
func (w *walker) odd(number int, line string) bool {
	for i, r := range line {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(line[i:], "\uFFFD"):
			w.addAt(Pos{number, 1 + utf8.RuneCountInString(line[:i])}, "this is not UTF-8 text", "save the file as UTF-8")
			return true
		case r < ' ' && r != '\t' && r != '\r', r == 0xfffe, r == 0xffff:
			w.addAt(Pos{number, 1 + utf8.RuneCountInString(line[:i])}, fmt.Sprintf("there is a control character here (%U)", r),
				fmt.Sprintf(`remove it; where it is meant, write "\u%04x" in double quotes`, r))
			return true
		}
	}
	return false
}

// halves is a character beyond U+FFFF as JSON escapes it, in two halves, or an escaped backslash, which begins nothing.
var halves = regexp.MustCompile(`\\\\|\\u[dD][89abAB][[:xdigit:]]{2}\\u[dD][c-fC-F][[:xdigit:]]{2}`)

// fromJSON writes the characters that JSON escapes in halves (RFC 8259 section 7) as YAML escapes them, in one. Any other text
// is left as it is.
func fromJSON(text []byte) []byte {
	if !bytes.Contains(text, []byte(`\ud`)) && !bytes.Contains(text, []byte(`\uD`)) || !json.Valid(text) {
		return text
	}
	return halves.ReplaceAllFunc(text, func(m []byte) []byte {
		if len(m) == len(`\\`) {
			return m
		}
		high, _ := strconv.ParseUint(string(m[2:6]), 16, 16)
		low, _ := strconv.ParseUint(string(m[8:12]), 16, 16)
		return fmt.Appendf(nil, `\U%08X`, utf16.DecodeRune(rune(high), rune(low)))
	})
}

func (w *walker) empty() {
	remedy := w.least
	if remedy == "" {
		remedy = "a scenario needs at least a target and steps, for example\n    target: http://localhost:8080\n    steps: [{get: /}]"
	}
	w.addAt(Pos{}, "the file is empty", remedy)
}

// slip is a mistake in the YAML itself.
type slip struct {
	piece  string // of the reader's message
	said   string // what it means; empty: the message says it
	remedy string
	begins bool // the place that helps is where the construct begins, not where the reader gave up
}

// slips are the reader's messages in our words. The first one that fits counts.
var slips = []slip{
	{piece: "unknown anchor", remedy: "an alias *name needs an anchor &name before it; text that begins with * needs quotes"},
	{piece: "mapping values are not allowed", said: "a colon stands where none can", remedy: "text with a colon and a space in it needs quotes, and keys of one mapping stand below each other, in the same column"},
	{piece: "mapping keys are not allowed", said: "a key stands where none can", remedy: "keys of one mapping stand below each other, in the same column; text that begins with ? needs quotes"},
	{piece: "block sequence entries are not allowed", said: "a list cannot begin here", remedy: "put each - on a line of its own below the key, or write [a, b]; text that begins with - and a space needs quotes"},
	{piece: "cannot start any token", said: "a value cannot begin with this character", remedy: "text that begins with @, ` or % needs quotes"},
	{piece: "did not find expected ',' or", said: "a bracket is not closed, or a comma is missing before this", remedy: "each [ needs its ], each { its }, and commas stand between the elements"},
	{piece: "did not find expected key", said: "this does not fit the lines above", remedy: "check the indentation: keys of one mapping begin in the same column, and what belongs to a key stands further in"},
	{piece: "did not find expected '-'", said: "this does not fit the list above", remedy: "check the indentation: the elements of one list begin with - in the same column, and their keys stand below each other"},
	{piece: "could not find expected ':'", said: "this is neither a key with a colon nor a part of the value above", remedy: "write key: value; text over several lines stands further in than its key", begins: true},
	{piece: "did not find expected node content", said: "a value is missing here", remedy: "write one, in quotes if it begins with a comma, a bracket or %"},
	{piece: "unexpected end of stream", said: "the quotes that begin here are not closed", remedy: "add the closing quote", begins: true},
	{piece: "unexpected document indicator", said: "the quotes that begin here are not closed before the document ends", remedy: "add the closing quote", begins: true},
	{piece: "unknown escape character", said: "in double quotes a backslash begins an escape such as \\n, and this is none", remedy: `write \\ for a backslash, or use single quotes`},
	{piece: "hexadecimal number", said: `an escape such as \x1b or \u00e9 is not complete`, remedy: `write all its digits, \\ for a plain backslash, or use single quotes`},
	{piece: "invalid Unicode", said: "this escape is no character", remedy: `write the character itself, or \U0001F600 for one beyond \uFFFF`},
	{piece: "alphabetic or numeric", said: "an anchor (&) or alias (*) has no name", remedy: "text that begins with & or * needs quotes"},
	{piece: "tag", said: "! begins a tag, which means nothing here", remedy: "text that begins with ! needs quotes"},
	{piece: "directive", said: "% begins a directive, which means nothing here", remedy: "text that begins with % needs quotes", begins: true},
	{piece: "exceeded max depth", said: "brackets or mappings are nested too deep", remedy: "use fewer levels"},
	{piece: "expected <document", said: "something stands behind the end of the document", remedy: "check the brackets and the indentation: all of a file is one mapping"},
}

// syntax reports what the YAML reader did not understand.
func (w *walker) syntax(err error) {
	var le *yaml.LoadError
	var all *yaml.LoadErrors
	if errors.As(err, &all) && len(all.Errors) > 0 {
		le = all.Errors[0]
	} else if !errors.As(err, &le) {
		w.addAt(Pos{}, "this is not YAML: "+err.Error(), "compare it with what lt check accepts, such as a shipped scenario")
		return
	}
	msg := strings.TrimPrefix(le.Message, "yaml: ")
	switch {
	case strings.Contains(msg, "no documents"):
		w.empty()
		return
	case strings.Contains(msg, "found multiple"):
		pos := Pos{}
		for i, line := range w.lines {
			if i > 0 && strings.HasPrefix(line, "---") {
				pos = Pos{i + 1, 1}
				break
			}
		}
		w.addAt(pos, "a second document begins here", "one file holds one scenario file: remove ---, or make two files")
		return
	}
	if le.ContextMsg != "" {
		msg = le.ContextMsg + ": " + msg
	}
	s := slip{remedy: "check quotes, brackets and the indentation, here and on the line before"}
	if i := slices.IndexFunc(slips, func(x slip) bool { return strings.Contains(msg, x.piece) }); i >= 0 {
		s = slips[i]
	}
	s.said = cmp.Or(s.said, msg)
	pos := Pos{le.Mark.Line, le.Mark.Column}
	if s.begins && le.ContextMark.Line > 0 {
		pos = Pos{le.ContextMark.Line, le.ContextMark.Column}
	}
	if pos.Line > len(w.lines) {
		pos = Pos{len(w.lines), 1}
	}
	if strings.HasPrefix(s.said, "a bracket") && le.ContextMark.Line > 0 && le.ContextMark.Line < pos.Line {
		s.said = fmt.Sprintf("the bracket of line %d is not closed, or a comma is missing before this", le.ContextMark.Line)
	}
	if pos.Line > 0 {
		source := w.lines[pos.Line-1]
		at := offsetOf(source, pos.Column)
		switch {
		case strings.Contains(source, ": {{") || strings.Contains(source, "[{{"):
			s.remedy = `a value that begins with {{ needs quotes: "{{...}}"`
		case strings.HasPrefix(strings.TrimLeft(source, " "), "\t"):
			s.said, s.remedy = "a tab stands where only spaces may", "indent with spaces: YAML does not allow tabs there"
		case strings.Contains(msg, "expected ',' or") && strings.HasPrefix(source[at:], ":"):
			s.said, s.remedy = "a colon stands where none can", "put quotes around text with a colon in it, or a comma before the key"
		case strings.Contains(msg, "expected key") && strings.HasPrefix(source[at:], "- "):
			s.said, s.remedy = "this element fits no list above", "the elements of one list begin with - in the same column"
		case at > 0 && strings.Contains(msg, "did not find expected") && (source[at-1] == '\'' || source[at-1] == '"'):
			s.said, s.remedy = "something stands behind closing quotes", `within single quotes write '' for one, within double quotes \", or use the other kind around the text`
		}
	}
	w.addAt(pos, "this is not YAML: "+s.said, s.remedy)
}
