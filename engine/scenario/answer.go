package scenario

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/theory/jsonpath"
	"go.yaml.in/yaml/v4"
)

// extracts reads what is taken out of an answer.
func (p *parser) extracts(n *yaml.Node, st *Step) {
	for _, f := range p.pairs(n, "extract") {
		if !p.variableName(f.name, f.key) {
			continue
		}
		p.claims = append(p.claims, f.key)
		e := Extract{Name: f.key, Pos: posOf(f.name)}
		switch f.val.Kind {
		case yaml.ScalarNode:
			if !p.shortExtract(f.val, &e) {
				continue
			}
		default:
			if !p.longExtract(f.val, &e) {
				continue
			}
		}
		if err := checkExpr(e.Source, e.Expr); err != nil {
			p.fail(f.val, "extract "+f.key, err)
			continue
		}
		st.Extract = append(st.Extract, e)
	}
}

const extractForms = "write $.path for JSON, /regex(group)/, header:NAME or cookie:NAME"

// shortExtract reads the form of one string.
func (p *parser) shortExtract(n *yaml.Node, e *Extract) bool {
	s, ok := p.plain(n, "extract "+e.Name)
	if !ok {
		return false
	}
	prefix, rest, _ := strings.Cut(s, ":")
	switch {
	case strings.HasPrefix(s, "$"):
		e.Source, e.Expr = FromJSON, s
	case len(s) > 2 && s[0] == '/' && s[len(s)-1] == '/':
		e.Source, e.Expr = FromRegex, s[1:len(s)-1]
	case prefix == "header":
		e.Source, e.Expr = FromHeader, strings.TrimSpace(rest)
	case prefix == "cookie":
		e.Source, e.Expr = FromCookie, strings.TrimSpace(rest)
	case laterInExtract[prefix] != "":
		msg, remedy, _ := strings.Cut(laterInExtract[prefix], "; ")
		p.add(n, remedy, "%s", msg)
		return false
	default:
		p.add(n, extractForms, "extract %s: %s says no place in the answer", e.Name, quoted(s))
		return false
	}
	return true
}

// sourceWords are the keys of the long form, in the order of Source.
var sourceWords = []string{"jsonpath", "regex", "header", "cookie"}

// longExtract reads {jsonpath: $.price, default: "0", pick: last}.
func (p *parser) longExtract(n *yaml.Node, e *Extract) bool {
	before := len(p.errs)
	o := p.object(n, "extract "+e.Name, append(slices.Clone(sourceWords), "default", "pick"), laterInExtract)
	if o == nil || len(p.errs) > before {
		return false
	}
	found := 0
	for i, w := range sourceWords {
		if x := o.get(w); x != nil {
			found++
			e.Source = Source(i)
			e.Expr, _ = p.plain(x, w)
		}
	}
	if found != 1 {
		p.add(n, "give one of jsonpath:, regex:, header: or cookie:", "extract %s has %d places in the answer", e.Name, found)
		return false
	}
	if x := o.get("default"); x != nil {
		e.HasDefault = true
		e.Default, _ = p.plain(x, "default")
	}
	if x := o.get("pick"); x != nil {
		s, _ := p.scalar(x, "pick")
		switch s {
		case "first":
			e.Pick = First
		case "last":
			e.Pick = Last
		case "random":
			e.Pick = Random
		default:
			most := int64(1_000_000)
			if e.Source == FromRegex {
				most = MostMatches
			}
			v, err := ParseCount(s, 1, most)
			if err != nil {
				p.add(x, fmt.Sprintf("write first, last, random or a number from 1 to %d", most), "pick: there is no choice %s", quoted(s))
			}
			e.Pick = Pick(v)
		}
	}
	return len(p.errs) == before
}

// MostMatches is how many matches of a regular expression are looked at to pick one: a megabyte of an answer may have a million.
const MostMatches = 10_000

// checkExpr says what is wrong with the place of a value in an answer.
func checkExpr(source Source, expr string) error {
	if expr == "" {
		return errors.New("the place in the answer is empty; " + extractForms)
	}
	switch source {
	case FromJSON:
		return checkPath(expr)
	case FromRegex:
		return checkRegex(expr)
	}
	if !validHeaderName(expr) {
		return fmt.Errorf("%s cannot name a header or cookie; use letters, digits and -", quoted(expr))
	}
	return nil
}

func checkPath(expr string) error {
	if len(expr) > 1000 || strings.Count(expr, "(")+strings.Count(expr, "[")+strings.Count(expr, "!") > 100 {
		return errors.New("the JSON path is too long; at most 1000 characters and 100 brackets are read")
	}
	if _, err := jsonpath.Parse(expr); err != nil {
		why := strings.TrimPrefix(err.Error(), "jsonpath: ")
		return fmt.Errorf("%s is not a JSON path (RFC 9535): %s; write for example $.items[0].id", quoted(expr), strings.ReplaceAll(why, "; ", ", "))
	}
	return nil
}

func checkRegex(expr string) error {
	if _, err := regexp.Compile(expr); err != nil {
		why := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		return fmt.Errorf("%s is not a regular expression: %s; the syntax is RE2, without look-around and back-references", quoted(expr), strings.ReplaceAll(why, "; ", ", "))
	}
	return nil
}

var checkKeys = []string{"status", "time", "contains", "not_contains", "matches", "header", "jsonpath", "size"}

// check reads what an answer must fulfil.
func (p *parser) check(n *yaml.Node, st *Step) {
	o := p.object(n, "check", checkKeys, laterInCheck)
	if o == nil {
		return
	}
	c := &st.Check
	c.Pos = posOf(n)
	if x := o.get("status"); x != nil {
		before := len(p.errs)
		list := p.items(x, "status", true)
		if len(list) == 0 && len(p.errs) == before {
			p.add(x, "write [200, 201], or remove the key", "status is an empty list, so that no answer would be right")
		}
		for _, s := range list {
			v, ok := p.scalar(s, "status")
			if !ok {
				continue
			}
			r, err := parseStatus(v)
			if err != nil {
				p.fail(s, "status", err)
				continue
			}
			c.Status = append(c.Status, r)
		}
	}
	p.positive(o, "time", &c.Time)
	c.Contains = p.words(o, "contains")
	c.NotContains = p.words(o, "not_contains")
	for _, s := range p.words(o, "matches") {
		if len(s) > 2 && s[0] == '/' && s[len(s)-1] == '/' {
			s = s[1 : len(s)-1]
		}
		if err := checkRegex(s); err != nil {
			p.fail(o.get("matches"), "matches", err)
			continue
		}
		c.Matches = append(c.Matches, s)
	}
	if x := o.get("header"); x != nil {
		p.headerChecks(x, c)
	}
	if x := o.get("jsonpath"); x != nil {
		p.jsonChecks(x, c)
	}
	if x := o.get("size"); x != nil {
		if s, ok := p.scalar(x, "size"); ok {
			op, operand := cutOperator(s)
			size, err := ParseSize(operand)
			if err != nil {
				p.fail(x, "size", err)
			}
			c.Size = &Compare{op, strconv.FormatInt(size, 10)}
		}
	}
}

// parseStatus reads 200, 2xx or 200-204.
func parseStatus(s string) (StatusRange, error) {
	t := strings.TrimSpace(s)
	if len(t) == 3 && strings.EqualFold(t[1:], "xx") && t[0] >= '1' && t[0] <= '5' {
		low := int(t[0]-'0') * 100
		return StatusRange{low, low + 99}, nil
	}
	from, to, isRange := strings.Cut(t, "-")
	low, err := ParseCount(from, 100, 999)
	high := low
	if err == nil && isRange {
		high, err = ParseCount(to, low, 999)
	}
	if err != nil {
		return StatusRange{}, fmt.Errorf("%s is not a status; write 200, 2xx, 200-204 or a list [200, 201]", quoted(t))
	}
	return StatusRange{int(low), int(high)}, nil
}

// words reads one text or a list of them.
func (p *parser) words(o *object, key string) []string {
	n := o.get(key)
	if n == nil {
		return nil
	}
	var out []string
	for _, c := range p.items(n, key, true) {
		if s, ok := p.plain(c, key); ok {
			if s == "" {
				p.add(c, "write what is looked for", "%s is empty, every answer would fulfil it", key)
				continue
			}
			out = append(out, s)
		}
	}
	return out
}

func (p *parser) headerChecks(n *yaml.Node, c *Check) {
	add := func(n *yaml.Node, name, value string) {
		if !validHeaderName(name) {
			p.add(n, "a header's name has letters, digits and - only", "%s cannot name a header", quoted(name))
			return
		}
		if len(value) > 2 && value[0] == '/' && value[len(value)-1] == '/' {
			if err := checkRegex(value[1 : len(value)-1]); err != nil {
				p.fail(n, "header "+name, err)
				return
			}
		}
		c.Headers = append(c.Headers, HeaderCheck{name, value, posOf(n)})
	}
	if n.Kind != yaml.MappingNode {
		for _, x := range p.items(n, "header", true) {
			if s, ok := p.plain(x, "header"); ok {
				add(x, s, "")
			}
		}
		return
	}
	for _, f := range p.pairs(n, "header") {
		if isNull(f.val) {
			add(f.name, f.key, "")
		} else if s, ok := p.plain(f.val, "header "+f.key); ok {
			add(f.name, f.key, s)
		}
	}
}

func (p *parser) jsonChecks(n *yaml.Node, c *Check) {
	add := func(n, at *yaml.Node, path string, cmp Compare) {
		if err := checkPath(path); err != nil {
			p.fail(n, "jsonpath", err)
			return
		}
		if cmp.Op == "matches" {
			if err := checkRegex(cmp.Value); err != nil {
				p.fail(at, "jsonpath "+path, err)
				return
			}
		}
		if strings.ContainsAny(cmp.Op, "<>") {
			if _, err := parseNumber(cmp.Value); err != nil {
				p.add(at, "write for example \">0\"; for text use = or !=", "jsonpath %s: %s compares numbers, and %s is none", path, cmp.Op, quoted(cmp.Value))
				return
			}
		}
		c.JSON = append(c.JSON, JSONCheck{Path: path, Compare: cmp, Pos: posOf(n)})
	}
	if n.Kind != yaml.MappingNode {
		for _, x := range p.items(n, "jsonpath", true) {
			if s, ok := p.plain(x, "jsonpath"); ok {
				add(x, x, s, Compare{Op: "exists"})
			}
		}
		return
	}
	for _, f := range p.pairs(n, "jsonpath") {
		if isNull(f.val) {
			add(f.name, f.val, f.key, Compare{"=", "null"})
			continue
		}
		if s, ok := p.plain(f.val, "jsonpath "+f.key); ok {
			add(f.name, f.val, f.key, parseCompare(s))
		}
	}
}

// parseCompare reads ">0", "!= sold", "exists", "/regex/" or a plain value, which must be equal.
func parseCompare(s string) Compare {
	t := strings.TrimSpace(s)
	if t == "exists" {
		return Compare{Op: "exists"}
	}
	if rest, ok := strings.CutPrefix(t, "matches "); ok {
		t = strings.TrimSpace(rest)
		if len(t) > 2 && t[0] == '/' && t[len(t)-1] == '/' {
			t = t[1 : len(t)-1]
		}
		return Compare{"matches", t}
	}
	if len(t) > 2 && t[0] == '/' && t[len(t)-1] == '/' {
		return Compare{"matches", t[1 : len(t)-1]}
	}
	op, operand := cutOperator(t)
	return Compare{op, operand}
}

// cutOperator takes the comparison off the front; without one the value must be equal.
func cutOperator(s string) (op, operand string) {
	t := strings.TrimSpace(s)
	for _, op := range []string{"<=", ">=", "!=", "==", "<", ">", "="} {
		if rest, ok := strings.CutPrefix(t, op); ok {
			if op == "==" {
				op = "="
			}
			return op, strings.TrimSpace(rest)
		}
	}
	return "=", t
}
