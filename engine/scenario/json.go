package scenario

import (
	"bytes"
	"encoding/json"
	"strings"

	"go.yaml.in/yaml/v4"
)

// json is a YAML value as JSON text in the order of the file; templates stay as they are. Text that begins with { or [ is
// JSON already.
func (p *parser) json(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		if t := strings.TrimSpace(n.Value); strings.HasPrefix(t, "{") && !strings.HasPrefix(t, "{{") || strings.HasPrefix(t, "[") {
			return n.Value
		}
	}
	var b bytes.Buffer
	p.appendJSON(&b, n, 0)
	return b.String()
}

func (p *parser) appendJSON(b *bytes.Buffer, n *yaml.Node, depth int) {
	n = p.real(n)
	if depth > maxDepth {
		p.add(n, "put it into a file and name that under body_file", "json is nested more than %d deep", maxDepth)
		return
	}
	if b.Len() > MaxFile {
		if !p.full {
			p.full = true
			p.add(n, "put it into a file and name that under body_file", "the json body is larger than %s", formatSize(MaxFile))
		}
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i, f := range p.pairs(n, "json") {
			if i > 0 {
				b.WriteByte(',')
			}
			appendString(b, f.key)
			b.WriteByte(':')
			p.appendJSON(b, f.val, depth+1)
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, c := range n.Content {
			if !p.count(c) {
				break
			}
			if i > 0 {
				b.WriteByte(',')
			}
			p.appendJSON(b, c, depth+1)
		}
		b.WriteByte(']')
	default:
		p.appendScalar(b, n)
	}
}

func (p *parser) appendScalar(b *bytes.Buffer, n *yaml.Node) {
	s, ok := p.scalar(n, "a json value")
	if !ok {
		return
	}
	switch n.ShortTag() {
	case "!!null":
		b.WriteString("null")
	case "!!bool":
		b.WriteString(strings.ToLower(s))
	case "!!int", "!!float":
		if json.Valid([]byte(s)) { // as it is written: 1.10 stays 1.10
			b.WriteString(s)
			return
		}
		var v any
		if err := n.Load(&v); err == nil {
			if text, err := json.Marshal(v); err == nil {
				b.Write(text)
				return
			}
		}
		p.add(n, "put quotes around it to send it as text", "JSON has no number %s", quoted(s))
	default:
		appendString(b, s)
	}
}

func appendString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string is always valid, and a buffer takes everything
	b.Truncate(b.Len() - 1)
}
