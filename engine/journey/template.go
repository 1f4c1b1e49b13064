package journey

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"lt/engine/load"
)

// TemplateError says what is wrong with a template, and where.
type TemplateError struct {
	Template string
	Offset   int // bytes from the template's start
	Msg      string
}

func (e *TemplateError) Error() string {
	return fmt.Sprintf("template %q, at character %d: %s", clip(e.Template), e.Offset+1, e.Msg)
}

var errControl = errors.New("the value has a control character, which cannot stand in a header")

// node is a part of a template: text, a variable or a call with its arguments. It is filled in at compile time and only
// read afterwards.
type node struct {
	fn       *function // nil: text, or a variable
	text     string    // of text; of a variable or call its name, for messages
	slot     int       // of a variable: its place in the session; -1: text
	args     []*node
	pos      uint64 // of a call: its number within the step, the last coordinate of its random draws
	num      int64  // of text that is a whole number
	isN      bool
	word     bool    // a bare word, until it is known what it means
	constant bool    // text that was a variable of the file: data, not part of the template's own text
	def      *string // of a variable: what holds until a step has extracted it
	esc      escape
}

func (n *node) literal() bool { return n.fn == nil && n.slot < 0 }

// scope is what the names of one scenario mean.
type scope struct {
	consts map[string]string // vars of the file that no step writes
	slots  map[string]int    // what steps extract
	start  map[string]string // the value from the file of a variable that a step writes as well
}

func (sc *scope) has(name string) bool {
	_, c := sc.consts[name]
	_, s := sc.slots[name]
	return c || s
}

// parser reads one template. Its grammar:
//
//	template = { text | "{{" expr "}}" }
//	expr     = name { arg }
//	arg      = name | number | duration | 'text' | "text" | \"text\" | "(" expr ")"
//
// The form with backslashes is what a quoted argument turns into when a YAML value is written as a JSON body.
type parser struct {
	src   string
	i     int
	depth int // of parentheses
	scope *scope
	calls *uint64 // numbers the calls of a step
}

// parse turns a template into its parts: text and expressions by turns. Variables of the file that never change have
// become text, but stay apart from the text around them because they are data and are escaped as such.
func (c *compiler) parse(src string) ([]*node, error) {
	p := &parser{src: src, scope: c.scope, calls: &c.calls}
	var out []*node
	for p.i < len(src) {
		open := strings.Index(src[p.i:], "{{")
		if open < 0 {
			out = append(out, textNode(src[p.i:]))
			break
		}
		if open > 0 {
			out = append(out, textNode(src[p.i:p.i+open]))
		}
		start := p.i + open
		p.i = start + 2
		n, err := p.expr(false)
		if err != nil {
			return nil, err
		}
		p.space()
		if !strings.HasPrefix(src[p.i:], "}}") {
			if p.i >= len(src) {
				return nil, p.fail(start, "{{ is not closed: }} is missing")
			}
			return nil, p.fail(p.i, "expected }} here")
		}
		p.i += 2
		out = append(out, n)
	}
	return out, nil
}

func textNode(s string) *node { return &node{text: s, slot: -1} }

func (p *parser) fail(at int, format string, args ...any) error {
	return &TemplateError{Template: p.src, Offset: at, Msg: fmt.Sprintf(format, args...)}
}

func (p *parser) space() {
	for p.i < len(p.src) && (p.src[p.i] == ' ' || p.src[p.i] == '\t' || p.src[p.i] == '\n' || p.src[p.i] == '\r') {
		p.i++
	}
}

// ends reports whether an expression's end is next: its closing braces, or the parenthesis around it.
func (p *parser) ends(inner bool) bool {
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

func (p *parser) expr(inner bool) (*node, error) {
	if p.depth++; p.depth > deepest {
		return nil, p.fail(p.i, "parentheses are nested more than %d deep", deepest)
	}
	defer func() { p.depth-- }()
	p.space()
	at := p.i
	if p.ends(inner) {
		return nil, p.fail(at, "a variable or a function is missing between the braces")
	}
	head, err := p.arg()
	if err != nil {
		return nil, err
	}
	p.space()
	if p.ends(inner) {
		if head.word {
			return p.word(at, head.text)
		}
		return head, nil
	}
	if !head.word {
		return nil, p.fail(at, "expected the name of a function before its arguments")
	}
	fn := functions[head.text]
	if fn == nil {
		return nil, p.unknown(at, head.text, true)
	}
	var args []*node
	for {
		p.space()
		if p.ends(inner) {
			break
		}
		argAt := p.i
		a, err := p.arg()
		if err != nil {
			return nil, err
		}
		if a.word {
			if fn.words && !p.scope.has(a.text) {
				a.word = false
			} else if a, err = p.word(argAt, a.text); err != nil {
				return nil, err
			}
		}
		args = append(args, a)
	}
	return p.call(at, fn, head.text, args)
}

func (p *parser) call(at int, fn *function, name string, args []*node) (*node, error) {
	if len(args) < fn.min || len(args) > fn.max {
		return nil, p.fail(at, "%s is written {{%s}}", name, fn.usage)
	}
	*p.calls++
	n := &node{fn: fn, text: name, slot: -1, args: args, pos: *p.calls}
	if fn.check != nil {
		if err := fn.check(n); err != nil {
			return nil, p.fail(at, "%s is written {{%s}}: %s", name, fn.usage, err)
		}
	}
	return n, nil
}

// word is a name that stands for a value: a variable, or a function that needs no argument. A variable hides the function
// of the same name.
func (p *parser) word(at int, name string) (*node, error) {
	if slot, ok := p.scope.slots[name]; ok {
		n := &node{text: name, slot: slot}
		if v, ok := p.scope.start[name]; ok {
			n.def = &v
		}
		return n, nil
	}
	if v, ok := p.scope.consts[name]; ok {
		n := textNode(v)
		n.setNumber()
		n.constant = true
		return n, nil
	}
	if fn := functions[name]; fn != nil {
		return p.call(at, fn, name, nil)
	}
	return nil, p.unknown(at, name, false)
}

func (p *parser) unknown(at int, name string, called bool) error {
	if strings.HasPrefix(name, "faker.") {
		return p.fail(at, "the faker functions are not in this version; use vars, or randomString and randomInt")
	}
	if called {
		return p.fail(at, "there is no function %q; there are %s", clip(name), functionNames)
	}
	return p.fail(at, "there is no variable or function %q; a variable stands under vars: or is extracted by a step before", clip(name))
}

func (n *node) setNumber() {
	if v, err := strconv.ParseInt(n.text, 10, 64); err == nil {
		n.num, n.isN = v, true
	}
}

func (p *parser) arg() (*node, error) {
	at := p.i
	s := p.src[p.i:]
	switch {
	case strings.HasPrefix(s, `\"`):
		end := strings.Index(s[2:], `\"`)
		if end < 0 {
			return nil, p.fail(at, "the quoted text is not closed")
		}
		p.i += end + 4
		n := textNode(s[2 : 2+end])
		n.setNumber()
		return n, nil
	case s[0] == '"' || s[0] == '\'' || s[0] == '`':
		end := strings.IndexByte(s[1:], s[0])
		if end < 0 {
			return nil, p.fail(at, "the quoted text is not closed")
		}
		p.i += end + 2
		n := textNode(s[1 : 1+end])
		n.setNumber()
		return n, nil
	case s[0] == '(':
		p.i++
		n, err := p.expr(true)
		if err != nil {
			return nil, err
		}
		p.space()
		if p.i >= len(p.src) || p.src[p.i] != ')' {
			return nil, p.fail(at, "the parenthesis is not closed")
		}
		p.i++
		return n, nil
	}
	end := 0
	for end < len(s) && (isAlnum(s[end]) || strings.IndexByte("_.-+±:%/", s[end]) >= 0 || s[end] >= 0x80) {
		end++
	}
	if strings.HasPrefix(s, "}}") {
		return nil, p.fail(at, "a parenthesis is not closed")
	}
	if end == 0 {
		return nil, p.fail(at, "%q cannot stand here; text is written in quotes", s[0])
	}
	p.i += end
	n := textNode(s[:end])
	n.setNumber()
	// What begins with a digit or sign is a number, a distance or a date; only the rest can be a name.
	n.word = s[0] == '_' || s[0] >= 0x80 || isAlnum(s[0]) && s[0] > '9'
	return n, nil
}

// CheckTemplate reports what is wrong with a template whose variables are the names that known accepts; nil if nothing is.
// The error is a *TemplateError.
func CheckTemplate(s string, known func(name string) bool) error {
	c := &compiler{scope: &scope{slots: map[string]int{}}}
	for {
		_, err := c.parse(s)
		if err == nil {
			return nil
		}
		// A name that is not known yet is taken as a variable if the caller knows it; each round adds one name.
		var te *TemplateError
		if !errors.As(err, &te) {
			return err
		}
		name := nameAt(s, te.Offset)
		if name == "" || c.scope.has(name) || !known(name) {
			return err
		}
		c.scope.slots[name] = len(c.scope.slots)
	}
}

// nameAt is the word of a template that an error is about.
func nameAt(s string, at int) string {
	end := at
	for end < len(s) && (isAlnum(s[end]) || s[end] == '_' || s[end] == '.' || s[end] == '-' || s[end] >= 0x80) {
		end++
	}
	return s[at:end]
}

// render is what filling in a template needs. It lives on the caller's stack.
type render struct {
	p  *Program
	st *Step
	s  *Session
	in *Input
}

// nodes appends the parts of a template, each escaped for its place.
func (r *render) nodes(dst []byte, nodes []*node) ([]byte, error) {
	for _, n := range nodes {
		if n.literal() {
			dst = append(dst, n.text...)
			continue
		}
		from := len(dst)
		var err error
		if dst, err = r.value(dst, n); err == nil && n.esc != asIs {
			dst, err = escapeTail(dst, from, n.esc)
		}
		if err != nil {
			return dst, fmt.Errorf("%s: {{%s}}: %w", r.st.Src.Name, n.text, err)
		}
	}
	return dst, nil
}

// value appends a part as it is.
func (r *render) value(dst []byte, n *node) ([]byte, error) {
	switch {
	case n.fn != nil:
		return r.call(dst, n)
	case n.slot < 0:
		return append(dst, n.text...), nil
	}
	v, ok := r.s.value(n.slot)
	if ok {
		return append(dst, v...), nil
	}
	if n.def != nil {
		return append(dst, *n.def...), nil
	}
	return dst, errNoValue
}

var errNoValue = errors.New("no step of this iteration has given it a value")

// integer is the value of a part as a whole number.
func (r *render) integer(dst []byte, n *node) (int64, error) {
	if n.isN {
		return n.num, nil
	}
	from := len(dst)
	dst, err := r.value(dst, n)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseInt(string(dst[from:]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", clip(string(dst[from:])))
	}
	return v, nil
}

// draws is the random stream of one call: it depends on the seed, the iteration, the step and the call, never on what was
// drawn before, so a request rendered again is the same. With users of their own the user's number enters as well.
func (r *render) draws(pos uint64) load.Stream {
	return load.NewStream(r.in.Seed, load.ForTemplate, uint64(r.in.Iteration), r.p.who(r.in)<<32|uint64(r.st.ID&0xffff)<<16|pos&0xffff)
}

// merge joins neighbouring texts and drops empty ones.
func merge(nodes []*node) []*node {
	var out []*node
	for _, n := range nodes {
		if n.literal() {
			if n.text == "" {
				continue
			}
			if len(out) > 0 && out[len(out)-1].literal() {
				out[len(out)-1] = textNode(out[len(out)-1].text + n.text)
				continue
			}
		}
		out = append(out, n)
	}
	return out
}

// allText returns a template that has no variable part as its text.
func allText(nodes []*node) (string, bool) {
	switch {
	case len(nodes) == 0:
		return "", true
	case len(nodes) == 1 && nodes[0].literal():
		return nodes[0].text, true
	}
	return "", false
}

// clip shortens s for a message.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	i := most
	for i > 0 && s[i]&0xc0 == 0x80 {
		i--
	}
	return s[:i] + "…"
}
