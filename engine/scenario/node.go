package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxNodes bounds how many values a file may have once its aliases are filled in. A file of a kilobyte can otherwise stand
// for billions of them (ten anchors of ten aliases each).
const maxNodes = 100_000

// maxDepth bounds the nesting of free values; it also ends an alias that contains itself.
const maxDepth = 64

// walker goes through the tree of a YAML file and collects what is wrong with it.
type walker struct {
	path  string
	text  []byte
	lines []string // without their ends
	nodes int
	full  bool   // maxNodes was reported
	least string // what to write into an empty file; empty: the least scenario
	errs  Errors
	more  bool // there were mistakes beyond maxErrors
}

// maxErrors bounds the report: after so many nobody reads on.
const maxErrors = 50

// crowded says that the report is full, and that looking for further mistakes is of no use.
func (w *walker) crowded() bool { return len(w.errs) >= maxErrors }

func (w *walker) addAt(pos Pos, msg, remedy string) {
	e := &Error{Path: w.path, Line: pos.Line, Column: pos.Column, Msg: msg, Remedy: remedy}
	if pos.Line > 0 && pos.Line <= len(w.lines) {
		e.Source = w.lines[pos.Line-1]
	}
	for _, x := range w.errs {
		if x.Line == e.Line && x.Column == e.Column && x.Msg == e.Msg {
			return // an alias brings the same mistake again
		}
	}
	if w.crowded() {
		w.more = true
		return
	}
	w.errs = append(w.errs, e)
}

// failed is everything that was reported, in the order of the file; nil if nothing was.
func (w *walker) failed() error {
	if len(w.errs) == 0 {
		return nil
	}
	w.errs.sort()
	if w.more {
		w.errs = append(w.errs, &Error{Path: w.path, Msg: "there are more mistakes than these", Remedy: "mend these first"})
	}
	return w.errs
}

func (w *walker) add(n *yaml.Node, remedy, format string, args ...any) {
	w.addAt(posOf(n), fmt.Sprintf(format, args...), remedy)
}

// fail reports an error of a value. What the value should be stands after a semicolon in the value parsers' messages.
func (w *walker) fail(n *yaml.Node, what string, err error) {
	for _, err := range unjoin(err) {
		msg, remedy := cutRemedy(err.Error())
		if what != "" {
			msg = what + ": " + msg
		}
		w.add(n, remedy, "%s", msg)
	}
}

// cutRemedy splits a message at its first semicolon; one in quotes is of the value that is quoted.
func cutRemedy(s string) (msg, remedy string) {
	within := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			within = !within
		case within && s[i] == '\\':
			i++
		case !within && strings.HasPrefix(s[i:], "; "):
			return s[:i], s[i+2:]
		}
	}
	return s, ""
}

// unjoin is the list that errors.Join made, or the error alone.
func unjoin(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

func posOf(n *yaml.Node) Pos {
	if n == nil {
		return Pos{}
	}
	return Pos{n.Line, n.Column}
}

// real is what an alias stands for.
func (w *walker) real(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return n
}

// count takes one value from the file's allowance; false: it is used up.
func (w *walker) count(n *yaml.Node) bool {
	if w.nodes++; w.nodes <= maxNodes {
		return true
	}
	if !w.full {
		w.full = true
		w.add(n, "use fewer aliases (*name)", "the file stands for more than %d values", maxNodes)
	}
	return false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// field is one key of a mapping with its value, alias resolved.
type field struct {
	key  string
	name *yaml.Node
	val  *yaml.Node
}

// object is a mapping whose keys are all known.
type object struct {
	node   *yaml.Node
	fields []field
	bad    bool // keys were unknown or empty, so that what seems to be missing may be there under another name
	later  bool // there are keys of later versions, which may stand for what seems to be missing
}

// get is the value of the first of the given keys that is there, nil if none is.
func (o *object) get(keys ...string) *yaml.Node {
	for i := range o.fields {
		if slices.Contains(keys, o.fields[i].key) {
			return o.fields[i].val
		}
	}
	return nil
}

// pairs are the keys and values of a mapping in their order, with merges (<<) filled in: a key of the mapping itself wins
// over a merged one, an earlier merged mapping over a later one. what names the mapping in messages.
func (w *walker) pairs(n *yaml.Node, what string) []field {
	n = w.real(n)
	if n.Kind != yaml.MappingNode {
		w.add(n, "write each as name: value", "%s is a mapping (key: value), not %s", what, kindOf(n))
		return nil
	}
	var out []field
	at := map[string]*yaml.Node{}
	w.collect(n, what, 0, at, &out)
	return out
}

func (w *walker) collect(n *yaml.Node, what string, depth int, at map[string]*yaml.Node, out *[]field) {
	own := map[string]*yaml.Node{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, val := w.real(n.Content[i]), n.Content[i+1]
		if !w.count(name) {
			return
		}
		if name.Kind != yaml.ScalarNode {
			w.add(name, `a value that begins with { or [ and is meant as text needs quotes: "{{...}}"`, "a key is a word, not %s", kindOf(name))
			continue
		}
		if name.ShortTag() == "!!merge" {
			merges = append(merges, val)
			continue
		}
		if first := own[name.Value]; first != nil {
			w.add(name, "keep one of the two", "%s has the key %s twice: it stands on line %d already", what, name.Value, first.Line)
			continue
		}
		own[name.Value] = name
		if at[name.Value] == nil {
			at[name.Value] = name
			*out = append(*out, field{name.Value, name, w.real(val)})
		}
	}
	for _, m := range merges {
		m = w.real(m)
		sources := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			sources = m.Content
		}
		for _, s := range sources {
			s = w.real(s)
			switch {
			case s.Kind != yaml.MappingNode:
				w.add(s, "write <<: *name, where &name marks a mapping", "<< merges mappings, not %s", kindOf(s))
			case depth >= maxDepth:
				w.add(s, "merge fewer mappings, or write the keys out", "mappings are merged into each other more than %d deep", maxDepth)
			case w.count(s):
				w.collect(s, what, depth+1, at, out)
			}
		}
	}
}

// object reads a mapping with known keys. Unknown ones and ones without value are reported and left out. nil if it is none.
func (w *walker) object(n *yaml.Node, what string, known []string, later map[string]string) *object {
	n = w.real(n)
	if n.Kind != yaml.MappingNode {
		w.add(n, "write "+known[0]+": ...", "%s is a mapping (key: value), not %s", what, kindOf(n))
		return nil
	}
	o := &object{node: n}
	for _, f := range w.pairs(n, what) {
		if w.crowded() {
			w.more = true
			break
		}
		if why, ok := later[f.key]; ok {
			o.later = true
			msg, remedy, _ := strings.Cut(why, "; ")
			w.add(f.name, remedy, "%s", msg)
			continue
		}
		if !slices.Contains(known, f.key) {
			remedy := "it may have " + list(known)
			if near := meant(f.key, known); near != "" {
				remedy = "did you mean " + near + "?"
			}
			o.bad = true
			w.add(f.name, remedy, "%s has no key %s", what, quoted(f.key))
			continue
		}
		if isNull(f.val) {
			if f.key != "payload" && f.key != "body" { // files of other tools write a null for a request without body
				o.bad = true
				w.add(f.name, "give it a value, or remove the key", "%s has no value", f.key)
			}
			continue
		}
		o.fields = append(o.fields, f)
	}
	return o
}

// list joins names as in a sentence.
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// items are the elements of a sequence; a single value counts as a sequence of one if single allows it.
func (w *walker) items(n *yaml.Node, what string, single bool) []*yaml.Node {
	n = w.real(n)
	if n.Kind != yaml.SequenceNode {
		if single && n.Kind == yaml.ScalarNode {
			return []*yaml.Node{n}
		}
		w.add(n, "write [a, b], or one - a line", "%s is a list, not %s", what, kindOf(n))
		return nil
	}
	var out []*yaml.Node
	for _, c := range n.Content {
		c = w.real(c)
		if !w.count(c) {
			break
		}
		if isNull(c) {
			w.add(c, "remove it, or write something after the dash", "%s has an empty element", what)
			continue
		}
		out = append(out, c)
	}
	return out
}

// scalar is the text of a value exactly as it is written: 1.10 stays 1.10. That of nothing, however it is written, is empty.
func (w *walker) scalar(n *yaml.Node, what string) (string, bool) {
	n = w.real(n)
	if n.Kind != yaml.ScalarNode {
		remedy := "write a single value"
		if n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0 && len(n.Content) > 0 && n.Content[0].Kind == yaml.MappingNode {
			remedy = `put quotes around {{...}}: "{{name}}"`
		}
		w.add(n, remedy, "%s is text or a number, not %s", what, kindOf(n))
		return "", false
	}
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
	case "!!null":
		return "", true
	default:
		w.add(n, "write the value without a !tag", "%s has the tag %s, which means nothing here", what, n.ShortTag())
		return "", false
	}
	if len(n.Value) > 1<<20 {
		w.add(n, "put it into a file and name that under body_file", "%s is longer than 1 MiB", what)
		return "", false
	}
	return n.Value, true
}

// kindOf names what a value is, for messages.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!int", "!!float":
			return "the number " + n.Value
		case "!!bool":
			return n.Value
		case "!!null":
			return "nothing"
		}
		return "the text " + quoted(n.Value)
	}
	return "this"
}

// bool reads true or false; yes, no, on and off mean the same.
func (w *walker) bool(n *yaml.Node, what string) bool {
	s, ok := w.scalar(n, what)
	switch strings.ToLower(s) {
	case "true", "yes", "on":
		return true
	case "false", "no", "off":
		return false
	}
	if ok {
		w.add(n, "write true or false", "%s is true or false, not %s", what, quoted(s))
	}
	return false
}

// oneOf reads one of a few words and yields its place among them; 0 if it is none.
func (w *walker) oneOf(n *yaml.Node, what string, words ...string) int {
	s, ok := w.scalar(n, what)
	if i := slices.Index(words, s); i >= 0 || !ok {
		return max(i, 0)
	}
	remedy := "write " + strings.Join(words, ", ")
	if near := Nearest(s, words); near != "" {
		remedy = "did you mean " + near + "?"
	}
	w.add(n, remedy, "%s is %s, not %s", what, strings.Join(words, ", "), quoted(s))
	return 0
}

// intOf reads a whole number within bounds.
func (w *walker) intOf(n *yaml.Node, what string, low, high int64) int64 {
	s, ok := w.scalar(n, what)
	if !ok {
		return low
	}
	v, err := ParseCount(s, low, high)
	if err != nil {
		w.add(n, "write a whole number from "+strconv.FormatInt(low, 10)+" to "+strconv.FormatInt(high, 10), "%s: %v", what, err)
		return low
	}
	return v
}
