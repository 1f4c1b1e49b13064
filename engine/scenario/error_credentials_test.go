package scenario

import (
	"strings"
	"testing"
)

// The line that an error shows has no credentials in it, and the caret still points at the right place.
func TestErrorsHideCredentials(t *testing.T) {
	_, err := Parse("a.yaml", []byte("target: http://127.0.0.1\nsteps:\n  - {get: \"http://bob:pässword@127.0.0.1/c\", nme: x}\n"), Env{})
	if err == nil {
		t.Fatal("credentials in a URL were taken")
	}
	text := err.Error()
	if strings.Contains(text, "bob") || strings.Contains(text, "ssword") || !strings.Contains(text, "http://************@127.0.0.1/c") {
		t.Error(text)
	}
	for _, target := range []string{"http://bob:pa@canary@127.0.0.1", "bob:pa@canary@127.0.0.1"} {
		env := Env{LookupEnv: func(string) (string, bool) { return target, true }}
		_, err := Parse("a.yaml", []byte("target: ${TARGET}\nsteps: [{get: /}]\n"), env)
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Error(err)
		}
	}
	if text := (&Error{Source: "target: http://bob:pa@canary@127.0.0.1/x@y", Line: 1, Column: 1}).Error(); strings.Contains(text, "canary") || !strings.Contains(text, "@127.0.0.1/x@y") {
		t.Error(text)
	}
	if got, caret := excerpt("  http://a:b@c d", 14); got != "  http://***@c d" || got[caret] != 'c' {
		t.Errorf("%q, caret at %d", got, caret)
	}
}

// The name that a step gets from its URL is shown everywhere, so it has no token in it.
func TestNamesHideTokens(t *testing.T) {
	for url, want := range map[string]string{
		"/x?token=canary&a=1":               "GET /x?token=***&a=1",
		"/x?a=1&Access_Token=canary#code=2": "GET /x?a=1&Access_Token=***#code=***",
		"/x?token={{token}}&sid={{s}}":      "GET /x?token={{token}}&sid={{s}}",
		"/x?api-key=canary{{n}}":            "GET /x?api-key=***",
		"/tokens/7?page=2&keyword=shoes":    "GET /tokens/7?page=2&keyword=shoes",
	} {
		if got := shortName("GET " + url); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
	f, err := Quick{URL: "http://127.0.0.1/x?token=canary"}.File(Env{})
	if err != nil {
		t.Fatal(err)
	}
	if st := f.Scenarios[0].Steps[0]; st.Name != "GET /x?token=***" || st.URL != "/x?token=canary" {
		t.Errorf("the step %q sends %q", st.Name, st.URL)
	}
	if _, err := (Quick{URL: "http://127.0.0.1/", Headers: []string{"Authorization canary"}}).File(Env{}); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a header without a colon: %v", err)
	}
}
