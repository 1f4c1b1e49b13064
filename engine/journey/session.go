package journey

import (
	"encoding/binary"
)

// Session is what one virtual user holds between requests: cookies and extracted values. The zero value is ready. There
// may be a hundred thousand of them, so everything is kept in flat bytes: no map, no pointer per cookie or value.
//
// It belongs to one shard and must not be copied once it is in use.
type Session struct {
	cookies []byte // see cookie.go
	vars    []byte // Scenario.Vars ends of four bytes each, then the values one after the other; empty: no value at all
	target  []byte // path and query of the last request, if they were rendered for it
	saved   *saved
	sharesC bool // cookies is saved.cookies itself and must be copied before it is changed
	sharesV bool // vars likewise
}

// saved is the state after setup.
type saved struct{ cookies, vars []byte }

// Reset makes the session that of a user who has just come to a scenario: nothing is remembered, buffers are kept. How
// many values it may hold is the scenario's to say each time one is stored, so nothing is prepared for it here.
func (s *Session) Reset(_ *Scenario) {
	s.saved = nil
	if s.sharesC {
		s.cookies = nil
	}
	if s.sharesV {
		s.vars = nil
	}
	*s = Session{cookies: s.cookies[:0], vars: s.vars[:0], target: s.target[:0]}
}

// Save remembers cookies and values as they are now: the end of setup.
func (s *Session) Save() {
	if len(s.cookies) == 0 && len(s.vars) == 0 {
		s.saved = nil
		return
	}
	if s.saved == nil {
		s.saved = new(saved)
	}
	// What is saved and what is used are the same bytes until one of them has to change: many users never change theirs.
	*s.saved = saved{cookies: s.cookies, vars: s.vars}
	s.sharesC, s.sharesV = len(s.cookies) > 0, len(s.vars) > 0
}

// Restore goes back to what Save saw, or to nothing.
func (s *Session) Restore() {
	var to saved
	if s.saved != nil {
		to = *s.saved
	}
	if !s.sharesC {
		s.cookies = append(s.cookies[:0], to.cookies...)
	}
	if !s.sharesV {
		s.vars = append(s.vars[:0], to.vars...)
	}
}

// ownCookies makes the cookies safe to change, with room for n more bytes.
func (s *Session) ownCookies(n int) {
	if s.sharesC {
		s.cookies = append(make([]byte, 0, len(s.cookies)+n), s.cookies...)
		s.sharesC = false
	}
}

// Values lie one after the other by slot, each behind its length: four bytes that hold the length plus one, or zero where
// there is no value. A scenario has few of them, so walking there is cheaper than a table.
const lengthSize = 4

// find is where the value of a slot begins and ends; ok is false if it has none.
func (s *Session) find(slot int) (from, to int, ok bool) {
	at := 0
	for {
		n := int(binary.LittleEndian.Uint32(s.vars[at:]))
		from = at + lengthSize
		to = from + max(n-1, 0)
		if slot == 0 {
			return from, to, n > 0
		}
		slot--
		at = to
	}
}

// value is the value in a slot, valid until the session changes.
func (s *Session) value(slot int) ([]byte, bool) {
	if len(s.vars) == 0 {
		return nil, false
	}
	from, to, ok := s.find(slot)
	return s.vars[from:to], ok
}

// Secrets are the values of this user's cookies, and those of its variables whose name tells that they are secrets. It is meant
// for what is shown to people, not for the path of a request.
func (s *Session) Secrets(sc *Scenario, telling func(name string) bool) []string {
	var out []string
	for b := s.cookies; len(b) > 0; {
		c, n := readCookie(b)
		out = append(out, string(c.value))
		b = b[n:]
	}
	for slot, name := range sc.names {
		if v, ok := s.value(slot); ok && telling(name) {
			out = append(out, string(v))
		}
	}
	return out
}

// set stores a value in one of n slots. v must not alias the session.
func (s *Session) set(slot, n int, v []byte) {
	switch {
	case len(s.vars) == 0:
		s.sharesV = false
		s.vars = append(s.vars[:0], make([]byte, n*lengthSize)...)
	case s.sharesV:
		s.vars = append(make([]byte, 0, len(s.vars)+len(v)), s.vars...)
		s.sharesV = false
	}
	from, to, _ := s.find(slot)
	s.vars = splice(s.vars, from, to, len(v))
	copy(s.vars[from:], v)
	binary.LittleEndian.PutUint32(s.vars[from-lengthSize:], uint32(len(v)+1))
}

// splice makes b[from:to] n bytes long. What they hold then does not matter.
func splice(b []byte, from, to, n int) []byte {
	tail := len(b) - to
	if grow := n - (to - from); grow > 0 {
		b = extend(b, grow)
	}
	copy(b[from+n:], b[to:to+tail])
	return b[:from+n+tail]
}
