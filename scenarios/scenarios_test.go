package scenarios

import (
	"bytes"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func TestEveryFileIsListed(t *testing.T) {
	entries, err := fs.Glob(files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, info := range List() {
		listed = append(listed, info.Name+".yaml")
	}
	slices.Sort(listed)
	if !slices.Equal(entries, listed) {
		t.Errorf("embedded %v, listed %v", entries, listed)
	}
}

func TestEveryFileExplainsItself(t *testing.T) {
	for _, info := range List() {
		text, err := Open(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("# ")) || len(info.Title) < 20 {
			t.Errorf("%s opens with %q, want a comment that says what it shows", info.Name, info.Title)
		}
		for _, want := range []string{"\nname: ", "\ntarget: http://127.0.0.1:8080\n", "\nslo:"} {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("%s has no line %q", info.Name, strings.TrimSpace(want))
			}
		}
		if bytes.ContainsRune(text, '\t') || !bytes.HasSuffix(text, []byte("\n")) {
			t.Errorf("%s: has a tab, or no newline at its end", info.Name)
		}
	}
}

func TestOpen(t *testing.T) {
	one, err := Open("smoke")
	if err != nil {
		t.Fatal(err)
	}
	two, err := Open("smoke.yaml")
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("with and without .yaml: %v", err)
	}
	one[0] = 'x'
	if again, _ := Open("smoke"); !bytes.Equal(again, two) {
		t.Error("a caller's change reached the shipped text")
	}
	for _, name := range []string{"", "nothing", "../go.mod", "shop/doc.go"} {
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), "demo, smoke") {
			t.Errorf("Open(%q): %v, want an error that names what there is", name, err)
		}
	}
}
