package journey

import (
	"errors"
	"fmt"
	"strconv"

	"lt/engine/load"
	"lt/engine/scenario"
)

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

// names are the meanings of words as the grammar of templates wants them.
func (sc *scope) names() *scenario.Names {
	n := &scenario.Names{Constants: sc.consts, Variables: map[string]bool{}}
	for name := range sc.slots {
		n.Variables[name] = true
	}
	return n
}

// parse turns a template into its parts: text and expressions by turns. Variables of the file that never change have
// become text, but stay apart from the text around them because they are data and are escaped as such.
func (c *compiler) parse(src string) ([]*node, error) {
	parts, errs := scenario.ParseTemplate(src, c.scope.names())
	if len(errs) > 0 {
		at := 0
		if te, ok := errs[0].(*scenario.TemplateError); ok {
			at = te.Offset
		}
		return nil, fmt.Errorf("template %q, at character %d: %w", clip(src), at+1, errs[0])
	}
	return c.nodes(parts), nil
}

// nodes makes what is rendered of what was read. Calls are numbered from the inside out, from left to right.
func (c *compiler) nodes(parts []scenario.Part) []*node {
	out := make([]*node, len(parts))
	for i := range parts {
		out[i] = c.node(&parts[i])
	}
	return out
}

func (c *compiler) node(p *scenario.Part) *node {
	switch p.Kind {
	case scenario.PartCall:
		args := c.nodes(p.Args)
		if p.Name == "now" {
			args = append(args, &node{slot: -1, num: int64(p.Shift), isN: true})
		}
		c.calls++
		return &node{fn: functions[p.Name], text: p.Name, slot: -1, args: args, pos: c.calls}
	case scenario.PartVariable:
		n := &node{text: p.Name, slot: c.scope.slots[p.Name]}
		if v, ok := c.scope.start[p.Name]; ok {
			n.def = &v
		}
		return n
	}
	n := textNode(p.Text)
	n.constant = p.Kind == scenario.PartConstant
	if v, err := strconv.ParseInt(n.text, 10, 64); err == nil {
		n.num, n.isN = v, true
	}
	return n
}

func textNode(s string) *node { return &node{text: s, slot: -1} }

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
