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
	if got, caret := excerpt("  http://a:b@c d", 14); got != "  http://***@c d" || got[caret] != 'c' {
		t.Errorf("%q, caret at %d", got, caret)
	}
}
