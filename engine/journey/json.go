package journey

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"
	"github.com/tidwall/gjson"
)

// jsonPath is an RFC 9535 path. One that only goes down by names and numbers, nearly all of them in practice, is walked
// through the text of the answer without decoding it.
type jsonPath struct {
	steps []jsonStep // of a simple path
	full  *jsonpath.Path
}

// jsonStep goes to a member of an object, or to an element of an array.
type jsonStep struct {
	name    string
	index   int
	element bool
}

func newJSONPath(expr string) (*jsonPath, error) {
	full, err := jsonpath.Parse(expr)
	if err != nil {
		return nil, err
	}
	p := &jsonPath{full: full}
	if steps, ok := simplePath(expr); ok {
		p.steps, p.full = steps, nil
	}
	return p, nil
}

// simplePath reads $.a['b'][0]: names, quoted names without escapes and indices from 0.
func simplePath(expr string) (steps []jsonStep, ok bool) {
	if expr == "" || expr[0] != '$' {
		return nil, false
	}
	for s := expr[1:]; s != ""; {
		switch {
		case s[0] == '.':
			n := 1
			for n < len(s) && (isAlnum(s[n]) || s[n] == '_' || s[n] >= utf8.RuneSelf) {
				n++
			}
			if n == 1 {
				return nil, false
			}
			steps = append(steps, jsonStep{name: s[1:n]})
			s = s[n:]
		case len(s) > 3 && s[0] == '[' && (s[1] == '\'' || s[1] == '"'):
			quote := s[1]
			n := 2
			for n < len(s) && s[n] != quote && s[n] != '\\' && s[n] >= ' ' {
				n++
			}
			if n+1 >= len(s) || s[n] != quote || s[n+1] != ']' {
				return nil, false
			}
			steps = append(steps, jsonStep{name: s[2:n]})
			s = s[n+2:]
		case s[0] == '[':
			n := 1
			for n < len(s) && '0' <= s[n] && s[n] <= '9' {
				n++
			}
			i, err := strconv.Atoi(s[1:n])
			if err != nil || n >= len(s) || s[n] != ']' {
				return nil, false
			}
			steps = append(steps, jsonStep{index: i, element: true})
			s = s[n+1:]
		default:
			return nil, false
		}
	}
	return steps, true
}

// document is the body of one answer. It is checked and taken apart at most once, and only if a path asks.
type document struct {
	body    []byte
	checked bool
	broken  bool      // not JSON, or too deep
	root    *jsonNode // for paths that are not simple
	nodes   []*jsonNode
	of      *jsonpath.Path // what nodes were selected by
}

// deepestJSON is how far an answer may be nested, as in encoding/json. Looking whether a text is JSON takes a call a level: a
// megabyte of brackets would take more than a hundred megabytes of stack.
const deepestJSON = 10_000

func (d *document) valid() bool {
	if !d.checked {
		d.checked, d.broken = true, tooDeep(d.body) || !gjson.ValidBytes(d.body)
	}
	return !d.broken
}

// why says what is wrong with a broken document.
func (d *document) why(a *Answer) string {
	switch {
	case a.Cut:
		return cutNote(a)
	case tooDeep(d.body):
		return "body is nested too deep"
	}
	return "body is not JSON"
}

// tooDeep reports whether a text is nested deeper than deepestJSON. Few are long enough to be looked at closely.
func tooDeep(b []byte) bool {
	if len(b) <= deepestJSON || bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) <= deepestJSON {
		return false
	}
	depth, inText := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inText:
			if c == '\\' {
				i++
			} else if c == '"' {
				inText = false
			}
		case c == '"':
			inText = true
		case c == '[', c == '{':
			if depth++; depth > deepestJSON {
				return true
			}
		case c == ']', c == '}':
			depth--
		}
	}
	return false
}

// walk follows a simple path through a text that is known to be JSON, and returns the value's text. Of members with the same
// name the last counts, as in encoding/json and in browsers.
func (d *document) walk(steps []jsonStep) ([]byte, bool) {
	b := d.body
	at := jsonSpace(b, 0)
	for i := range steps {
		st := &steps[i]
		open := byte('{')
		if st.element {
			open = '['
		}
		if b[at] != open {
			return nil, false
		}
		found := -1
		at = jsonSpace(b, at+1)
		for n := 0; b[at] != '}' && b[at] != ']'; n++ {
			if st.element {
				if n == st.index {
					found = at
					break
				}
			} else {
				end := jsonEnd(b, at)
				same := jsonIs(b[at:end], st.name)
				at = jsonSpace(b, jsonSpace(b, end)+1) // behind the colon
				if same {
					found = at
				}
			}
			at = behindComma(b, jsonEnd(b, at))
		}
		if found < 0 {
			return nil, false
		}
		at = found
	}
	return b[at:jsonEnd(b, at)], true
}

func jsonSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// behindComma is where the next member or element begins, or the bracket that closes them, behind a value that ends at i.
func behindComma(b []byte, i int) int {
	if i = jsonSpace(b, i); b[i] == ',' {
		i = jsonSpace(b, i+1)
	}
	return i
}

// jsonEnd is the place behind the value that begins at i.
func jsonEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		for i++; ; i++ {
			i += bytes.IndexByte(b[i:], '"')
			escapes := 0
			for b[i-1-escapes] == '\\' {
				escapes++
			}
			if escapes%2 == 0 {
				return i + 1
			}
		}
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				i = jsonEnd(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

// jsonIs reports whether a string as it stands in JSON means name.
func jsonIs(quoted []byte, name string) bool {
	if inner := quoted[1 : len(quoted)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner) == name
	}
	return string(jsonText(quoted)) == name
}

// jsonText is a value as text: a string without quotes and escapes, anything else as it stands.
func jsonText(value []byte) []byte {
	if value[0] != '"' {
		return value
	}
	if inner := value[1 : len(value)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var s string
	if json.Unmarshal(value, &s) != nil {
		return nil
	}
	return []byte(s)
}

// jsonNode is a value of a document: its text, what the text means, and its members or elements in their order. The order is why
// paths are followed here: what a map of Go yields first is another member each time.
type jsonNode struct {
	text   []byte
	value  any            // as encoding/json decodes it; a number is a json.Number, else long ids would lose their last digits
	places map[string]int // of an object's members among kids
	kids   []jsonNode
}

// readNode reads the value that begins at i of a text that is known to be JSON, and returns where it ends. Of members with the
// same name the last counts.
func readNode(b []byte, i int) (n jsonNode, end int) {
	switch b[i] {
	case '{':
		members := map[string]any{}
		n.value, n.places = members, map[string]int{}
		for end = jsonSpace(b, i+1); b[end] != '}'; {
			from := end
			end = jsonEnd(b, from)
			name := string(jsonText(b[from:end]))
			var kid jsonNode
			kid, end = readNode(b, jsonSpace(b, jsonSpace(b, end)+1)) // behind the colon
			members[name] = kid.value
			if place, twice := n.places[name]; twice {
				n.kids[place] = kid
			} else {
				n.places[name] = len(n.kids)
				n.kids = append(n.kids, kid)
			}
			end = behindComma(b, end)
		}
		end++
	case '[':
		elements := []any{}
		for end = jsonSpace(b, i+1); b[end] != ']'; {
			var kid jsonNode
			kid, end = readNode(b, end)
			elements = append(elements, kid.value)
			n.kids = append(n.kids, kid)
			end = behindComma(b, end)
		}
		n.value = elements
		end++
	default:
		end = jsonEnd(b, i)
		switch text := b[i:end]; b[i] {
		case '"':
			n.value = string(jsonText(text))
		case 't', 'f':
			n.value = b[i] == 't'
		case 'n':
		default:
			n.value = json.Number(text)
		}
	}
	n.text = b[i:end]
	return n, end
}

// selected appends what one segment of a path yields of n and, if it is one of descendants, of all below.
func (n *jsonNode) selected(out []*jsonNode, segment *spec.Segment, root any) []*jsonNode {
	for _, s := range segment.Selectors() {
		switch s := s.(type) {
		case spec.Name:
			if i, ok := n.places[string(s)]; ok {
				out = append(out, &n.kids[i])
			}
		case spec.Index:
			i := int(s)
			if i < 0 {
				i += len(n.kids)
			}
			if n.places == nil && i >= 0 && i < len(n.kids) {
				out = append(out, &n.kids[i])
			}
		case spec.SliceSelector:
			if n.places != nil {
				continue
			}
			low, high := s.Bounds(len(n.kids))
			if step := s.Step(); step > 0 {
				for i := low; i < high; i += step {
					out = append(out, &n.kids[i])
				}
			} else if step < 0 {
				for i := high; i > low; i += step {
					out = append(out, &n.kids[i])
				}
			}
		case spec.WildcardSelector:
			for i := range n.kids {
				out = append(out, &n.kids[i])
			}
		case *spec.FilterSelector:
			for i := range n.kids {
				if s.Eval(n.kids[i].value, root) {
					out = append(out, &n.kids[i])
				}
			}
		}
	}
	if segment.IsDescendant() {
		for i := range n.kids {
			out = n.kids[i].selected(out, segment, root)
		}
	}
	return out
}

// sel selects by a path that is not simple, in a text that is known to be JSON.
func (d *document) sel(p *jsonPath) []*jsonNode {
	if d.of == p.full {
		return d.nodes
	}
	if d.root == nil {
		n, _ := readNode(d.body, jsonSpace(d.body, 0))
		d.root = &n
	}
	d.nodes, d.of = []*jsonNode{d.root}, p.full
	for _, segment := range p.full.Query().Segments() {
		var next []*jsonNode
		for _, n := range d.nodes {
			next = n.selected(next, segment, d.root.value)
		}
		d.nodes = next
	}
	return d.nodes
}

// first is the first value a path yields, as text: a string without quotes, anything else as it stands. null is a value here.
func (d *document) first(p *jsonPath) ([]byte, bool) {
	if p.full == nil {
		value, ok := d.only(p)
		if !ok {
			return nil, false
		}
		return jsonText(value), true
	}
	if !d.valid() {
		return nil, false
	}
	nodes := d.sel(p)
	if len(nodes) == 0 {
		return nil, false
	}
	return jsonText(nodes[0].text), true
}

// only is the value of a simple path, as it stands in the text.
func (d *document) only(p *jsonPath) ([]byte, bool) {
	if !d.valid() {
		return nil, false
	}
	return d.walk(p.steps)
}

// count is how many values there are to pick from under a path that is not simple; null is none.
func (d *document) count(p *jsonPath) int {
	if !d.valid() {
		return 0
	}
	n := 0
	for _, v := range d.sel(p) {
		if v.value != nil {
			n++
		}
	}
	return n
}

// at is the i-th value that count counted.
func (d *document) at(p *jsonPath, i int) ([]byte, bool) {
	for _, v := range d.sel(p) {
		if v.value == nil {
			continue
		}
		if i == 0 {
			return jsonText(v.text), true
		}
		i--
	}
	return nil, false
}
