package journey

import (
	"fmt"
	"regexp"
	"strings"

	"lt/engine/load"
	"lt/engine/scenario"
)

// longestValue is how much of a value is kept, bytes.
const longestValue = 64 << 10

// extract takes a value out of an answer.
type extract struct {
	source   scenario.Source
	slot     int
	name     string // of a header or cookie
	path     *jsonPath
	re       *regexp.Regexp
	group    int // of re
	pick     scenario.Pick
	fallback []byte
	has      bool // fallback holds if there is no value
	message  string
	pos      uint64 // tells the draws of a step's extracts apart
}

func (c *compiler) extracts(st *Step) {
	for i, e := range st.Src.Extract {
		x := extract{
			source: e.Source, slot: c.scope.slots[e.Name], name: e.Expr, pick: e.Pick, fallback: []byte(e.Default), has: e.HasDefault,
			message: "no value for " + shown(e.Name) + " (" + shown(e.Expr) + ")", pos: uint64(i),
		}
		switch e.Source {
		case scenario.FromJSON:
			st.NeedBody = true
			path, err := newJSONPath(e.Expr)
			if err != nil {
				c.fail(fmt.Errorf("extract %s: %w", e.Name, err))
			}
			x.path = path
		case scenario.FromRegex:
			st.NeedBody = true
			if x.re = c.pattern("extract "+e.Name, e.Expr); x.re != nil && x.re.NumSubexp() > 0 {
				x.group = 1
			}
		case scenario.FromHeader, scenario.FromCookie:
			st.NeedHead = true
		}
		st.extracts = append(st.extracts, x)
	}
}

// extract stores one value and reports whether there was one.
func (p *Program) extract(e *extract, st *Step, s *Session, in *Input, a *Answer, d *document) bool {
	value, ok := p.find(e, st, s, in, a, d)
	if !ok {
		if !e.has {
			return false
		}
		value = e.fallback
	}
	if len(value) > longestValue {
		value = value[:longestValue]
	}
	s.set(e.slot, st.Scenario.Vars, value)
	return true
}

// without says what may be why there was no value; empty if nothing is known.
func (e *extract) without(a *Answer, d *document) string {
	switch e.source {
	case scenario.FromJSON:
		if d.broken {
			return d.why(a)
		}
	case scenario.FromRegex:
		return cutNote(a)
	}
	return ""
}

// find looks for a value. A cookie is looked for in the answer and then among those that the user holds, since it may
// have been set by a redirect on the way.
func (p *Program) find(e *extract, st *Step, s *Session, in *Input, a *Answer, d *document) ([]byte, bool) {
	switch e.source {
	case scenario.FromJSON:
		if e.path.full == nil { // one value at most, for which one walk is enough
			value, ok := d.only(e.path)
			if ok {
				_, ok = p.choose(e, st, in, 1)
			}
			if !ok || string(value) == "null" {
				return nil, false
			}
			return jsonText(value), true
		}
		n := d.count(e.path)
		i, ok := p.choose(e, st, in, n)
		if !ok {
			return nil, false
		}
		return d.at(e.path, i)
	case scenario.FromRegex:
		if e.pick == scenario.First {
			m := e.re.FindSubmatchIndex(a.Body)
			return group(a.Body, m, e.group)
		}
		all := e.re.FindAllSubmatchIndex(a.Body, scenario.MostMatches)
		i, ok := p.choose(e, st, in, len(all))
		if !ok {
			return nil, false
		}
		return group(a.Body, all[i], e.group)
	}
	want := e.name
	if e.source == scenario.FromCookie {
		want = "set-cookie"
	}
	n := 0
	var value []byte
	p.fields(e, a, want, func(v []byte) bool {
		if n == 0 {
			value = v
		}
		n++
		return e.pick != scenario.First
	})
	i, ok := p.choose(e, st, in, n)
	if !ok {
		if v, ok := s.cookieValue(e.name); ok && e.source == scenario.FromCookie {
			return v, true
		}
		return nil, false
	}
	if i > 0 {
		p.fields(e, a, want, func(v []byte) bool { value = v; i--; return i >= 0 })
	}
	return value, true
}

// fields calls f with each value of a header field, or of a cookie set by the answer.
func (p *Program) fields(e *extract, a *Answer, want string, f func([]byte) bool) {
	if a.Head == nil {
		return
	}
	for name, value := range a.Head.Each {
		if len(name) != len(want) || !strings.EqualFold(string(name), want) {
			continue
		}
		if e.source == scenario.FromCookie {
			pair, ok := cookiePair(value, e.name)
			if !ok {
				continue
			}
			value = pair
		}
		if !f(value) {
			return
		}
	}
}

// choose is the number of the match that pick means.
func (p *Program) choose(e *extract, st *Step, in *Input, n int) (int, bool) {
	switch {
	case n == 0:
		return 0, false
	case e.pick == scenario.First:
		return 0, true
	case e.pick == scenario.Last:
		return n - 1, true
	case e.pick == scenario.Random:
		s := load.NewStream(in.Seed, load.ForPick, uint64(in.Iteration), p.who(in)<<32|uint64(st.ID&0xffff)<<16|e.pos&0xffff)
		return s.Intn(n), true
	}
	i := int(e.pick) - 1
	return i, i >= 0 && i < n
}

func group(body []byte, m []int, n int) ([]byte, bool) {
	if m == nil || m[2*n] < 0 {
		return nil, false
	}
	return body[m[2*n]:m[2*n+1]], true
}
