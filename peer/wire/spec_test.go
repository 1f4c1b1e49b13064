package wire

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// The specification has every message with every field under its number or name, and none that there is not.
func TestSpecification(t *testing.T) {
	text, err := os.ReadFile("spec.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(text), "\n### ")[1:] {
		name, body, _ := strings.Cut(s, "\n")
		body, _, _ = strings.Cut(body, "\n## ")
		sections[name] = body
	}
	types := []reflect.Type{
		reflect.TypeFor[Hello](), reflect.TypeFor[Policy](), reflect.TypeFor[Greeting](), reflect.TypeFor[Welcome](),
		reflect.TypeFor[Origin](), reflect.TypeFor[Finding](), reflect.TypeFor[OtherRun](), reflect.TypeFor[Totals](),
	}
	for _, v := range all {
		types = append(types, reflect.TypeOf(v()).Elem())
	}
	numbered := regexp.MustCompile(`(?m)^\| (\d+) \| (\w+) \| .* \| \d+ \|$`)
	named := regexp.MustCompile("(?m)^\\| (\\w+) \\| `(\\w+)`(\\?)? \\| .* \\| \\d+ \\|$")
	for _, typ := range types {
		var want, got []string
		for i := range typ.NumField() {
			f := typ.Field(i)
			if tag := f.Tag.Get("cbor"); tag != "" {
				n, _, _ := strings.Cut(tag, ",")
				want = append(want, n+" "+f.Name)
				continue
			}
			name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
			if rest == "omitempty" {
				name += "?"
			}
			want = append(want, name+" "+f.Name)
		}
		for _, m := range numbered.FindAllStringSubmatch(sections[typ.Name()], -1) {
			got = append(got, m[1]+" "+m[2])
		}
		for _, m := range named.FindAllStringSubmatch(sections[typ.Name()], -1) {
			got = append(got, m[2]+m[3]+" "+m[1])
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: spec.md has %v, the code %v", typ.Name(), got, want)
		}
	}
	for k := KindError; k <= KindWarn; k++ {
		if row := fmt.Sprintf("\n| %d | %s | ", uint8(k), k); !strings.Contains(string(text), row) {
			t.Errorf("spec.md lacks the row %q", row)
		}
	}
	if next := KindWarn + 1; next.String() != fmt.Sprintf("message %d", uint8(next)) {
		t.Errorf("%s has a name and is not tested", next)
	}
}
