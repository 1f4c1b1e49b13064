package journey

import (
	"strings"
	"testing"
	"time"

	"lt/engine/h1"
	"lt/engine/scenario"
)

// at is the time of every test.
var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// file makes a scenario file of one scenario with these steps against http://shop.test.
func file(steps ...*scenario.Step) *scenario.File {
	for _, s := range steps {
		if s.Method == "" {
			s.Method = "GET"
		}
		if s.Name == "" {
			s.Name = s.Method + " " + s.URL
		}
	}
	return &scenario.File{
		Path: "x.yaml", Target: "http://shop.test", ThinkTimes: 1, Hosts: []string{"cdn.test", "https://api.test:8443"},
		Vars:      []scenario.Var{{Name: "color", Value: "red & blue/green"}, {Name: "host", Value: "http://api.test"}, {Name: "n", Value: "7"}},
		Scenarios: []*scenario.Scenario{{Name: "buyer", Weight: 1, Steps: steps}},
	}
}

func compileFile(t testing.TB, f *scenario.File) *Program {
	t.Helper()
	p, err := Compile(f, "lt/1.0")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func compileSteps(t testing.TB, steps ...*scenario.Step) *Program {
	t.Helper()
	return compileFile(t, file(steps...))
}

// head parses an answer's head.
func head(t testing.TB, text string) *h1.Head {
	t.Helper()
	var p h1.Parser
	sc := &h1.Scratch{}
	p.Begin(sc, true)
	_, ev, _, err := p.Feed(sc, []byte(strings.ReplaceAll(text, "\n", "\r\n")+"\r\n\r\n"))
	if err != nil || ev != h1.HeadEnd {
		t.Fatalf("head %q: event %v, %v", text, ev, err)
	}
	h := sc.Head
	return &h
}

func lines(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestStaticRequest(t *testing.T) {
	p := compileSteps(t, &scenario.Step{URL: "/a b?q=ü#frag"})
	var s Session
	out, req, err := p.Append(nil, p.Steps[0], &s, &Input{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := lines("GET /a%20b?q=%C3%BC HTTP/1.1\nHost: shop.test\nUser-Agent: lt/1.0\n\n")
	if string(out) != want {
		t.Errorf("got\n%q, want\n%q", out, want)
	}
	if string(req.Target) != "/a%20b?q=%C3%BC" || req.Origin.String() != "http://shop.test:80" || req.OriginID != 0 {
		t.Errorf("request %+v, target %s", req, req.Target)
	}
}
