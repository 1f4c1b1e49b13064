package scenario

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Names is what the words of a template may mean at one place of a scenario.
type Names struct {
	Constants map[string]string // variables of the file that no step writes, with their values
	Variables map[string]bool   // what steps extract, and so has no value yet
	After     map[string]string // what a later step extracts, and so means nothing here: name to step; may be nil
}

// has says whether a name is a variable here.
func (n *Names) has(name string) bool {
	_, constant := n.Constants[name]
	return constant || n.Variables[name]
}

// PartKind says what a Part is.
type PartKind uint8

const (
	PartText     PartKind = iota // of the template itself, or of a literal argument
	PartConstant                 // the value of a variable that never changes: data, not the template's own text
	PartVariable                 // filled in while the run goes on
	PartCall                     // of a function
)

// Part is a piece of a template.
type Part struct {
	Kind  PartKind
	Name  string        // of a variable, constant or function
	Text  string        // of a text or constant
	Args  []Part        // of a call; of now: the layout alone
	Shift time.Duration // of now
	at    int
}

// literal says whether a part is known before the run.
func (p *Part) literal() bool { return p.Kind == PartText || p.Kind == PartConstant }

// TemplateError is one problem of a template. Msg has the remedy after a semicolon.
type TemplateError struct {
	Offset int // bytes from the template's start
	Msg    string
}

func (e *TemplateError) Error() string { return e.Msg }

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
	open  int // where the {{ stands that is being read
	depth int
	names *Names
	errs  []error
}

// ParseTemplate takes a template apart, or tells its problems, at most fifty; each error is a *TemplateError. It is the one place that
// knows the grammar, the functions and what their arguments may be. A variable hides the function of the same name.
func ParseTemplate(src string, names *Names) ([]Part, []error) {
	p := &templateParser{src: src, names: names}
	var out []Part
	for {
		open := strings.Index(p.src[p.i:], "{{")
		if open < 0 {
			if p.i < len(src) {
				out = append(out, Part{Text: src[p.i:], at: p.i})
			}
			if len(p.errs) > 0 {
				return nil, p.errs
			}
			return out, nil
		}
		start := p.i + open
		p.open = start
		if open > 0 {
			out = append(out, Part{Text: src[p.i:start], at: p.i})
		}
		p.i = start + 2
		p.depth = 0
		part, ok := p.expr(false)
		p.space()
		switch {
		case ok && strings.HasPrefix(p.src[p.i:], "}}"):
			p.i += 2
			out = append(out, part)
			continue
		case ok && p.i >= len(p.src), !strings.Contains(p.src[start:], "}}"):
			p.fail(start, `{{ is not closed; add }}, or write {{"{{"}} where the braces are meant`)
		case ok:
			p.fail(p.i, "%s stands where }} is expected; text within {{...}} needs quotes", quoted(firstRune(p.src[p.i:])))
		}
		end := strings.Index(p.src[start:], "}}")
		if end < 0 || len(p.errs) >= maxErrors {
			return nil, p.errs
		}
		p.i = start + end + 2
	}
}

func firstRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}

func (p *templateParser) fail(at int, format string, args ...any) (Part, bool) {
	p.errs = append(p.errs, &TemplateError{at, fmt.Sprintf(format, args...)})
	return Part{}, false
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

// deepest is how far calls may be nested: far beyond what anyone writes, and harmless for the stack.
const deepest = 16

// expr reads up to, not over, the closing braces or parenthesis.
func (p *templateParser) expr(inner bool) (Part, bool) {
	if p.depth++; p.depth > deepest {
		return p.fail(p.i, "parentheses are nested more than %d deep; use a simpler expression", deepest)
	}
	defer func() { p.depth-- }()
	p.space()
	at := p.i
	if p.ends(inner) {
		if p.i >= len(p.src) && !strings.Contains(p.src[p.open:], "}}") {
			return Part{}, false // told as what is not closed
		}
		return p.fail(at, "{{}} is empty; name a variable or a function")
	}
	head, word, ok := p.arg()
	if !ok {
		return head, false
	}
	p.space()
	if p.ends(inner) {
		if word {
			return p.word(at, head.Text)
		}
		return head, true
	}
	if !word {
		return p.fail(at, "arguments follow something that is no function; write {{function argument}}")
	}
	if p.src[p.i] == '|' {
		return p.fail(p.i, "there are no filters; a function stands before its value, as in {{base64 %s}}", head.Text)
	}
	fn, ok := functions[head.Text]
	if !ok {
		return p.unknown(at, head.Text, true)
	}
	call := Part{Kind: PartCall, Name: head.Text, at: at}
	for {
		p.space()
		if p.ends(inner) {
			break
		}
		argAt := p.i
		a, word, ok := p.arg()
		if !ok {
			return a, false
		}
		if word && (!fn.words || p.names.has(a.Text)) {
			if a, ok = p.word(argAt, a.Text); !ok {
				return a, false
			}
		}
		call.Args = append(call.Args, a)
	}
	return p.call(fn, call)
}

// call checks the arguments of a function.
func (p *templateParser) call(fn function, call Part) (Part, bool) {
	if n := len(call.Args); n < fn.min || n > fn.max {
		count := "%s has %d arguments; write {{%s}}"
		if n == 1 {
			count = "%s has %d argument; write {{%s}}"
		}
		return p.fail(call.at, count, call.Name, n, fn.usage)
	}
	if fn.check != nil {
		if at, err := fn.check(&call); err != nil {
			return p.fail(at, "%s: %s", call.Name, err)
		}
	}
	return call, true
}

// word is a name that stands for a value: a variable, or a function without arguments.
func (p *templateParser) word(at int, name string) (Part, bool) {
	if v, ok := p.names.Constants[name]; ok {
		return Part{Kind: PartConstant, Name: name, Text: v, at: at}, true
	}
	if p.names.Variables[name] {
		return Part{Kind: PartVariable, Name: name, at: at}, true
	}
	if fn, ok := functions[name]; ok {
		if fn.min > 0 {
			return p.fail(at, "%s has no arguments; write {{%s}}", name, fn.usage)
		}
		return p.call(fn, Part{Kind: PartCall, Name: name, at: at})
	}
	return p.unknown(at, name, false)
}

func (p *templateParser) unknown(at int, name string, called bool) (Part, bool) {
	if strings.HasPrefix(name, "faker.") {
		return p.fail(at, "the faker functions are not in this version; use vars, randomString or randomInt")
	}
	if step, ok := p.names.After[name]; ok {
		return p.fail(at, "{{%s}} is used before step %s extracts it; move that step forward, or give the name a value under vars:", name, quoted(step))
	}
	if base, _, ok := strings.Cut(name, "."); ok && !p.names.has(base) {
		return p.fail(at, "{{%s}} looks like a column of a feed, and `data:` feeds are not in this version; use vars or extract", name)
	}
	known := slices.Clone(FunctionNames)
	if !called {
		known = append(known, slices.Collect(maps.Keys(p.names.Constants))...)
		known = append(known, slices.Collect(maps.Keys(p.names.Variables))...)
	}
	slices.Sort(known)
	remedy := "a variable stands under vars: or is extracted by a step before"
	if called {
		remedy = "there are " + list(FunctionNames)
	}
	if near := Nearest(name, known); near != "" {
		remedy = "did you mean {{" + near + "}}?"
		if fn, ok := functions[near]; ok && !p.names.has(near) {
			remedy = "did you mean {{" + fn.usage + "}}?"
		}
	}
	kind := "variable or function"
	if called {
		kind = "function"
	}
	return p.fail(at, "there is no %s %s; %s", kind, quoted(name), remedy)
}

// arg reads one argument. word is set if it is a bare word that may be a name: what begins with a digit or sign is a number, a
// distance or a date.
func (p *templateParser) arg() (part Part, word, ok bool) {
	at := p.i
	s := p.src[p.i:]
	wrong := func(format string, args ...any) (Part, bool, bool) {
		part, ok := p.fail(at, format, args...)
		return part, false, ok
	}
	switch {
	case strings.HasPrefix(s, `\"`):
		end := strings.Index(s[2:], `\"`)
		if end < 0 {
			return wrong("a quoted text is not closed; add the quote")
		}
		p.i += end + 4
		return Part{Text: s[2 : 2+end], at: at}, false, true
	case s[0] == '"' || s[0] == '\'' || s[0] == '`':
		end := strings.IndexByte(s[1:], s[0])
		if end < 0 {
			return wrong("a quoted text is not closed; add the quote")
		}
		p.i += end + 2
		return Part{Text: s[1 : 1+end], at: at}, false, true
	case s[0] == '(':
		p.i++
		inner, ok := p.expr(true)
		if !ok {
			return inner, false, false
		}
		p.space()
		if p.i >= len(p.src) || p.src[p.i] != ')' {
			return wrong("a parenthesis is not closed; add )")
		}
		p.i++
		return inner, false, true
	}
	end := 0
	for end < len(s) && isWordByte(s[end]) {
		end++
	}
	if end == 0 {
		if strings.HasPrefix(s, "}}") {
			return wrong("a parenthesis is not closed; add )")
		}
		return wrong("%s cannot stand here; text within {{...}} needs quotes", quoted(firstRune(s)))
	}
	if c := s[0]; c != '_' && c < 0x80 && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
		if !bareValue.MatchString(s[:end]) {
			return wrong("%s is neither a name nor a number; write {{name}} for a variable, and text in quotes", quoted(s[:end]))
		}
	} else {
		word = true
	}
	p.i += end
	return Part{Text: s[:end], at: at}, word, true
}

// bareValue is how what is no name begins and needs no quotes: a number, a distance or a date, or a conversion of strftime.
var bareValue = regexp.MustCompile(`^(?:[+-]?\.?[0-9]|%)`)

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
