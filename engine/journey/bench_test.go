package journey

import (
	"testing"
	"time"
	"unsafe"

	"lt/engine/scenario"
)

// journeyOf is what the allocation tests and benchmarks run: a static step, one with variables, cookies and a body, and
// one with checks and extracts, with a session that has a cookie and two values.
func journeyOf(t testing.TB) (*Program, *Session, *Answer) {
	p := compileSteps(t,
		&scenario.Step{URL: "/static/page?x=1", HTTP: scenario.HTTP{Headers: []scenario.Pair{{Name: "Accept", Value: "application/json"}}}},
		&scenario.Step{
			Method: "POST", URL: "/products/{{randomInt 1 500}}?t={{id}}", Headers: []scenario.Pair{{Name: "Authorization", Value: "Bearer {{token}}"}},
			Body: scenario.BodyJSON, Text: `{"id":"{{uuid}}","token":"{{token}}","color":"{{color}}"}`,
		},
		&scenario.Step{
			URL:     "/products/{{id}}",
			Extract: []scenario.Extract{{Name: "token", Expr: "$.token"}, {Name: "id", Source: scenario.FromHeader, Expr: "X-Id"}},
			Check: scenario.Check{
				Status: []scenario.StatusRange{{From: 200, To: 200}}, Time: time.Second, Contains: []string{"stock"},
				JSON: []scenario.JSONCheck{{Path: "$.stock", Compare: scenario.Compare{Op: ">", Value: "0"}}},
			},
		})
	s := new(Session)
	s.Reset(p.Scenarios[0])
	s.receive("http://shop.test/", "session=0123456789abcdef0123456789abcdef; Path=/; HttpOnly", at)
	s.set(0, 2, []byte("0123456789abcdef0123456789abcdef"))
	s.set(1, 2, []byte("4711"))
	a := &Answer{
		Status: 200, Time: time.Millisecond, Body: []byte(`{"name":"A thing","price":12.5,"stock":17,"token":"fedcba9876543210fedcba9876543210"}`),
		Head: head(t, "HTTP/1.1 200 OK\nServer: nginx\nDate: Sun, 01 Mar 2026 12:00:00 GMT\nContent-Type: application/json\nX-Id: 4712\nSet-Cookie: session=f123456789abcdef0123456789abcdef; Path=/; HttpOnly\nContent-Length: 85"),
	}
	return p, s, a
}

func TestNothingIsAllocatedOnceWarm(t *testing.T) {
	p, s, a := journeyOf(t)
	in := &Input{Seed: 1, Now: at}
	var empty Session
	var dst []byte
	var failed error
	render := func(st *Step, s *Session, proxy *Proxy) func() {
		return func() {
			var err error
			in.Iteration++
			if dst, _, err = p.Append(dst[:0], st, s, in, proxy); err != nil {
				failed = err
			}
		}
	}
	_, req, _ := p.Append(nil, p.Steps[0], s, in, nil)
	plain := &Answer{Status: 200}
	s.Save()
	for name, f := range map[string]func(){
		"static":               render(p.Steps[0], &empty, nil),
		"static with a cookie": render(p.Steps[0], s, nil),
		"rendered":             render(p.Steps[1], s, nil),
		"through a proxy":      render(p.Steps[1], s, &Proxy{Authorization: "Basic eA=="}),
		"status alone":         func() { p.Judge(p.Steps[0], s, in, plain) },
		"wrong status":         func() { p.Judge(p.Steps[0], s, in, &Answer{Status: 500}) },
		"checks and extracts":  func() { p.Judge(p.Steps[2], s, in, a) },
		"cookies of an answer": func() { p.StoreCookies(p.Steps[0], s, &req, a.Head, at) },
		"an iteration": func() {
			s.Restore()
			p.StoreCookies(p.Steps[0], s, &req, a.Head, at)
			p.Judge(p.Steps[2], s, in, a)
		},
		"pause": func() { p.Pause(p.Steps[0], in) },
	} {
		f()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if failed != nil {
		t.Error(failed)
	}
}

func TestSessionsAreSmall(t *testing.T) {
	if n := unsafe.Sizeof(Session{}); n > 96 {
		t.Errorf("an empty session is %d bytes", n)
	}
	p, s, a := journeyOf(t)
	s.Save()
	in := &Input{Now: at}
	_, req, _ := p.Append(nil, p.Steps[1], s, in, nil)
	p.StoreCookies(p.Steps[1], s, &req, a.Head, at)
	p.Judge(p.Steps[2], s, in, a)
	if n := s.bytes(); n > 512 {
		t.Errorf("a session with a cookie, two values and their saved state is %d bytes", n)
	}
}

// bytes is all the memory that a session holds.
func (s *Session) bytes() int {
	n := int(unsafe.Sizeof(*s)) + cap(s.target)
	if !s.sharesC {
		n += cap(s.cookies)
	}
	if !s.sharesV {
		n += cap(s.vars)
	}
	if s.saved != nil {
		n += int(unsafe.Sizeof(*s.saved)) + cap(s.saved.cookies) + cap(s.saved.vars)
	}
	return n
}

func BenchmarkAppend(b *testing.B) {
	p, s, _ := journeyOf(b)
	var empty Session
	for _, bench := range []struct {
		name string
		st   *Step
		s    *Session
	}{{"static", p.Steps[0], &empty}, {"cookie", p.Steps[0], s}, {"rendered", p.Steps[1], s}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			in := &Input{Seed: 1, Now: at}
			var dst []byte
			for b.Loop() {
				in.Iteration++
				dst, _, _ = p.Append(dst[:0], bench.st, bench.s, in, nil)
			}
		})
	}
}

func BenchmarkJudge(b *testing.B) {
	p, s, a := journeyOf(b)
	in := &Input{Seed: 1, Now: at}
	for _, bench := range []struct {
		name string
		st   *Step
	}{{"status", p.Steps[0]}, {"checks", p.Steps[2]}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Judge(bench.st, s, in, a)
			}
		})
	}
}

func BenchmarkStoreCookies(b *testing.B) {
	p, s, a := journeyOf(b)
	_, req, _ := p.Append(nil, p.Steps[0], s, &Input{}, nil)
	b.ReportAllocs()
	for b.Loop() {
		p.StoreCookies(p.Steps[0], s, &req, a.Head, at)
	}
}

func BenchmarkPause(b *testing.B) {
	p := compileSteps(b, &scenario.Step{URL: "/", Think: &scenario.Think{Kind: scenario.LogNormal, A: time.Second, B: time.Second}})
	in := &Input{}
	b.ReportAllocs()
	for b.Loop() {
		in.Iteration++
		p.Pause(p.Steps[0], in)
	}
}
