package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// function says how a template function is written. The journey has the code; here stands what a file may say.
type function struct {
	usage    string
	min, max int
	words    bool // bare words that are no variables are text, such as the name of a format
}

var functions = map[string]function{
	"uuid":         {usage: "uuid"},
	"randomInt":    {usage: "randomInt FROM TO", min: 2, max: 2},
	"randomString": {usage: "randomString LENGTH", min: 1, max: 1},
	"now":          {usage: "now FORMAT ±DURATION", max: 2, words: true},
	"iteration":    {usage: "iteration"},
	"vu":           {usage: "vu"},
	"add":          {usage: "add A B", min: 2, max: 16},
	"base64":       {usage: "base64 VALUE", min: 1, max: 1},
	"urlencode":    {usage: "urlencode VALUE", min: 1, max: 1},
	"json":         {usage: "json VALUE", min: 1, max: 1},
	"hmac":         {usage: "hmac sha256 KEY TEXT", min: 3, max: 3, words: true},
}

var functionNames = slices.Sorted(maps.Keys(functions))

// scope is what the names of a template may mean at one place of a scenario.
type scope struct {
	known map[string]bool   // variables of the file and values extracted before
	after map[string]string // values that a later step extracts: name to step
}

// templateError is one problem of a template. Its text has the remedy after a semicolon.
type templateError struct {
	offset int // bytes from the template's start
	msg    string
}

func (e *templateError) Error() string { return e.msg }

// templateParser reads a template:
//
//	template = { text | "{{" expr "}}" }
//	expr     = name { arg }
//	arg      = name | number | duration | 'text' | "text" | \"text\" | "(" expr ")"
//
// The form with backslashes is what quotes turn into where a YAML value has become JSON.
type templateParser struct {
	src   string
	i     int
	depth int
	scope *scope
	errs  []error
}

// checkTemplate reports every problem of a template. nil: none.
func checkTemplate(src string, sc *scope) []error {
	p := &templateParser{src: src, scope: sc}
	for {
		open := strings.Index(p.src[p.i:], "{{")
		if open < 0 {
			return p.errs
		}
		start := p.i + open
		p.i = start + 2
		p.depth = 0
		ok := p.expr(false)
		p.space()
		switch {
		case ok && strings.HasPrefix(p.src[p.i:], "}}"):
			p.i += 2
			continue
		case ok && p.i >= len(p.src):
			p.fail(start, "{{ is not closed; add }}")
		case ok:
			p.fail(p.i, "%s stands where }} is expected; text within {{...}} needs quotes", quoted(firstRune(p.src[p.i:])))
		}
		end := strings.Index(p.src[start:], "}}")
		if end < 0 {
			return p.errs
		}
		p.i = start + end + 2
	}
}

func firstRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}

func (p *templateParser) fail(at int, format string, args ...any) bool {
	p.errs = append(p.errs, &templateError{at, fmt.Sprintf(format, args...)})
	return false
}

func (p *templateParser) space() {
	for p.i < len(p.src) && strings.IndexByte(" \t\r\n", p.src[p.i]) >= 0 {
		p.i++
	}
}

func (p *templateParser) ends(inner bool) bool {
	if p.i >= len(p.src) {
		return true
	}
	if inner {
		return p.src[p.i] == ')'
	}
	return strings.HasPrefix(p.src[p.i:], "}}")
}

// expr reads up to, not over, the closing braces or parenthesis.
func (p *templateParser) expr(inner bool) bool {
	if p.depth++; p.depth > 16 {
		return p.fail(p.i, "parentheses are nested more than 16 deep; use a simpler expression")
	}
	defer func() { p.depth-- }()
	p.space()
	at := p.i
	if p.ends(inner) {
		return p.fail(at, "{{}} is empty; name a variable or a function")
	}
	head, word, ok := p.arg()
	if !ok {
		return false
	}
	p.space()
	if p.ends(inner) {
		return !word || p.word(at, head, true)
	}
	if !word {
		return p.fail(at, "arguments follow something that is no function; write {{function argument}}")
	}
	fn, ok := functions[head]
	if !ok {
		return p.unknown(at, head, true)
	}
	args := 0
	for {
		p.space()
		if p.ends(inner) {
			break
		}
		argAt := p.i
		text, word, ok := p.arg()
		if !ok {
			return false
		}
		args++
		if word && !fn.words && !p.word(argAt, text, false) {
			return false
		}
	}
	if args < fn.min || args > fn.max {
		return p.fail(at, "%s has %d arguments; write {{%s}}", head, args, fn.usage)
	}
	return true
}

// word is a name that stands for a value: a variable, or a function without arguments.
func (p *templateParser) word(at int, name string, head bool) bool {
	if p.scope.known[name] {
		return true
	}
	if fn, ok := functions[name]; ok {
		if fn.min > 0 {
			return p.fail(at, "%s has no arguments; write {{%s}}", name, fn.usage)
		}
		return true
	}
	return p.unknown(at, name, false)
}

func (p *templateParser) unknown(at int, name string, called bool) bool {
	if strings.HasPrefix(name, "faker.") {
		return p.fail(at, "the faker functions are not in this version; use vars, randomString or randomInt")
	}
	if step, ok := p.scope.after[name]; ok {
		return p.fail(at, "{{%s}} is used before step %s extracts it; move that step forward, or give the name a value under vars:", name, quoted(step))
	}
	if base, _, ok := strings.Cut(name, "."); ok && !p.scope.known[base] {
		return p.fail(at, "{{%s}} looks like a column of a feed, and `data:` feeds are not in this version; use vars or extract", name)
	}
	names := make([]string, 0, len(functions)+len(p.scope.known))
	for n := range functions {
		names = append(names, n)
	}
	if !called {
		for n := range p.scope.known {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	remedy := "a variable stands under vars: or is extracted by a step before"
	if called {
		remedy = "there are " + list(functionNames)
	}
	if near := Nearest(name, names); near != "" {
		remedy = "did you mean {{" + near + "}}?"
		if fn, ok := functions[near]; ok && !p.scope.known[near] {
			remedy = "did you mean {{" + fn.usage + "}}?"
		}
	}
	kind := "variable or function"
	if called {
		kind = "function"
	}
	return p.fail(at, "there is no %s %s; %s", kind, quoted(name), remedy)
}

// arg reads one argument. word is set if it is a bare word.
func (p *templateParser) arg() (text string, word, ok bool) {
	at := p.i
	s := p.src[p.i:]
	switch {
	case strings.HasPrefix(s, `\"`):
		end := strings.Index(s[2:], `\"`)
		if end < 0 {
			return "", false, p.fail(at, "a quoted text is not closed; add the quote")
		}
		p.i += end + 4
		return s[2 : 2+end], false, true
	case s[0] == '"' || s[0] == '\'' || s[0] == '`':
		end := strings.IndexByte(s[1:], s[0])
		if end < 0 {
			return "", false, p.fail(at, "a quoted text is not closed; add the quote")
		}
		p.i += end + 2
		return s[1 : 1+end], false, true
	case s[0] == '(':
		p.i++
		if !p.expr(true) {
			return "", false, false
		}
		p.space()
		if p.i >= len(p.src) || p.src[p.i] != ')' {
			return "", false, p.fail(at, "a parenthesis is not closed; add )")
		}
		p.i++
		return "", false, true
	}
	end := 0
	for end < len(s) && isWordByte(s[end]) {
		end++
	}
	if end == 0 {
		return "", false, p.fail(at, "%s cannot stand here; text within {{...}} needs quotes", quoted(firstRune(s)))
	}
	p.i += end
	text = s[:end]
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		return text, false, true
	}
	_, err := time.ParseDuration(text)
	return text, err != nil, true
}

func isWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 || strings.IndexByte("_.-+:%/", c) >= 0
}

// validName says whether a template can name a variable so.
func validName(s string) bool {
	if s == "" || len(s) > 100 || s[0] >= '0' && s[0] <= '9' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			return false
		}
	}
	return true
}
