package journey

import (
	"slices"
	"strings"
	"testing"
	"time"

	"lt/engine/scenario"
)

// What is shown of a user leaves out its cookies and the values whose names tell.
func TestSecretsOfAUser(t *testing.T) {
	step := &scenario.Step{URL: "/", Extract: []scenario.Extract{{Name: "token", Expr: "$.t"}, {Name: "price", Expr: "$.p"}, {Name: "unset_token", Expr: "$.u"}}}
	p := compileSteps(t, step)
	sc := p.Scenarios[0]
	var s Session
	if got := s.Secrets(sc, func(string) bool { return true }); len(got) > 0 {
		t.Errorf("a user who has just come has %q", got)
	}
	s.store(&p.Origins[0], []byte("/"), []byte("sid=of-a-cookie"), time.Unix(1e9, 0))
	for name, slot := range map[string]int{"token": slices.Index(sc.names, "token"), "price": slices.Index(sc.names, "price")} {
		s.set(slot, sc.Vars, []byte("value of "+name))
	}
	got := s.Secrets(sc, func(name string) bool { return strings.Contains(name, "token") })
	if want := []string{"of-a-cookie", "value of token"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
