package scenarios

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// names are the shipped files in the order in which they are shown: the demo first, then from the simplest on.
var names = []string{"demo", "smoke", "constant", "users", "spike", "journey", "ladder"}

// Info is one shipped scenario.
type Info struct {
	Name  string // what Open takes: the file's name without .yaml
	Title string // the first line of its opening comment
}

// List returns all shipped scenarios in the order in which they are meant to be met.
func List() []Info {
	list := make([]Info, 0, len(names))
	for _, name := range names {
		text, err := Open(name)
		if err != nil {
			panic(err) // the files are part of the binary and a test opens each of them
		}
		first, _, _ := strings.Cut(string(text), "\n")
		list = append(list, Info{Name: name, Title: strings.TrimSpace(strings.TrimPrefix(first, "#"))})
	}
	return list
}

// Open returns the text of a shipped scenario by its name, with or without .yaml; it is the caller's own copy.
func Open(name string) ([]byte, error) {
	text, err := files.ReadFile(strings.TrimSuffix(name, ".yaml") + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("no shipped scenario is called %q; there are %s", name, strings.Join(names, ", "))
	}
	return text, nil
}
