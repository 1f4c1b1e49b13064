package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// laughs is a file whose aliases stand for 10^levels values.
func laughs(levels int) string {
	var b strings.Builder
	b.WriteString("target: http://a.test\nsteps: [{post: /, json: &l0 [x, x, x, x, x, x, x, x, x, x]}]\nlabels: {}\n")
	for i := 1; i <= levels; i++ {
		a := fmt.Sprintf("*l%d, ", i-1)
		fmt.Fprintf(&b, "x%d: &l%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(a, 10), ", "))
	}
	fmt.Fprintf(&b, "setup: [{post: /, json: *l%d}]\n", levels)
	return b.String()
}

// FuzzParse checks that no text makes the parser panic or go on for long, that every problem can be shown, and that what
// parses is printed so that it parses to the same.
func FuzzParse(f *testing.F) {
	f.Add(everything)
	for _, pattern := range []string{"testdata/*.yaml", "../../scenarios/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			if text, err := os.ReadFile(name); err == nil {
				f.Add(string(text))
			}
		}
	}
	f.Add(laughs(3))
	f.Add("x: &a [*a]\nsteps: *a")
	f.Add("a: &a {<<: *a}\n<<: *a")
	f.Add("steps: [{get: '{{', json: &x {a: *x}}]")
	for _, c := range mistakes {
		f.Add(c.text)
	}
	for _, c := range clumsy {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("fuzz.yaml", []byte(text), testEnv)
		if err != nil {
			if file != nil || err.Error() == "" {
				t.Fatal("an error without a text, or with a file")
			}
			return
		}
		printed(t, file)
		var b strings.Builder
		if err := file.Plan(&b); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzQuickURL checks that whatever is typed as a URL is refused or makes a scenario.
func FuzzQuickURL(f *testing.F) {
	for _, s := range []string{"localhost", ":80", "http://a:b@c/d?e#f", "[::1]:8080/x", "a.b/{{uuid}}", "://", "http://%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		file, err := Quick{URL: s}.File(testEnv)
		if err == nil && (file.Target == "" || file.Scenarios[0].Steps[0].URL == "") {
			t.Fatalf("%q: %+v", s, file)
		}
	})
}
