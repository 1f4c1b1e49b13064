package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lt/engine/load"
)

// testEnv has one secret and one file, and no disk.
var testEnv = Env{
	LookupEnv: func(name string) (string, bool) { return "hunter22", name == "SHOP_PASSWORD" },
	ReadFile: func(name string) ([]byte, error) {
		if name == "bodies/order.bin" {
			return []byte("\x00order"), nil
		}
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	},
}

func parse(t testing.TB, text string) *File {
	t.Helper()
	f, err := Parse("shop.yaml", []byte(text), testEnv)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return f
}

func readTestdata(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheExampleOfTheDocumentationParses(t *testing.T) {
	f := parse(t, readTestdata(t, "built.yaml"))
	if f.Name != "Shop checkout" || f.Target != "https://shop.staging.internal" || f.Closed || len(f.Scenarios) != 2 {
		t.Fatalf("head: %+v", f)
	}
	if v := f.Vars[0]; v.Value != "hunter22" || !v.Secret {
		t.Errorf("variable %+v", v)
	}
	if !slices.Equal(f.Secrets, []string{"hunter22"}) || strings.Contains(string(f.Text), "hunter22") {
		t.Errorf("secrets %q", f.Secrets)
	}
	want := []load.Stage{
		{Name: "warm-up", For: 10 * time.Second, At: 50, Warmup: true},
		{Name: "ramp-up", For: time.Minute, At: 500, Ramp: true},
		{Name: "sustain", For: 2 * time.Minute, At: 500},
		{Name: "spike", For: 30 * time.Second, At: 1500},
		{Name: "recovery", For: time.Minute, At: 50},
	}
	if !slices.Equal(f.Load.Profile.Stages, want) {
		t.Errorf("stages %+v", f.Load.Profile.Stages)
	}
	if f.Warmup != 10*time.Second || f.Load.ThinkMean != 15*time.Second || !slices.Equal(f.Load.Weights, []int{3, 7}) {
		t.Errorf("warm-up %v, mean think time %v, weights %v", f.Warmup, f.Load.ThinkMean, f.Load.Weights)
	}
	buyer := f.Scenarios[0]
	login, product, cart := buyer.Setup[0], buyer.Steps[1], buyer.Steps[2]
	if login.Text != `{"email":"user{{vu}}@example.com","password":"{{password}}"}` || login.Body != BodyJSON {
		t.Errorf("login body %q", login.Text)
	}
	if product.Name != "product" || product.Method != "GET" || product.HTTP.Headers[0].Name != "Accept" || product.Check.JSON[0].Compare != (Compare{">", "0"}) {
		t.Errorf("product %+v", product)
	}
	if cart.Name != "POST /cart" || len(cart.Form) != 2 || !slices.Equal(cart.Check.Status, []StatusRange{{200, 200}, {201, 201}}) {
		t.Errorf("cart %+v", cart)
	}
	if len(buyer.Teardown) != 1 || len(f.SLO) != 5 {
		t.Errorf("teardown %d, slo %d", len(buyer.Teardown), len(f.SLO))
	}
}

func TestWhatIsNotBuiltYetIsRefusedByNameAllAtOnce(t *testing.T) {
	_, err := Parse("shop.yaml", []byte(readTestdata(t, "whole.yaml")), testEnv)
	var all Errors
	if !errors.As(err, &all) {
		t.Fatal(err)
	}
	var got []string
	for _, e := range all {
		got = append(got, fmt.Sprintf("%d: %s", e.Line, e.Msg))
		if e.Remedy == "" || e.Source == "" {
			t.Errorf("%s: no remedy or no source", e.Msg)
		}
	}
	want := []string{
		"4: `data:` feeds are not in this version",
		"34: json: {{user.email}} looks like a column of a feed, and `data:` feeds are not in this version",
		"40: `css:` selectors are not in this version",
		"42: `retry:` is not in this version",
		"46: `knee:` the search for the knee is not in this version",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A value may bring the path of a whole URL, also right behind the port.
func TestAValueMayBringThePath(t *testing.T) {
	for _, url := range []string{"http://a.test{{l}}", "http://a.test:8080{{l}}", "http://{{l}}", "http://{{l}}:8080/", "http://a.test:{{l}}/x", "http://[::1]:80{{l}}?a={{l}}"} {
		parse(t, head+"steps: [{get: /, extract: {l: $.l}}, {get: '"+url+"'}]\n")
	}
	if _, err := Parse("a.yaml", []byte(head+"steps: [{get: /, extract: {l: $.l}}, {get: 'http://a.test:80800{{l}}'}]\n"), testEnv); err == nil || !strings.Contains(err.Error(), `"80800" is not a port`) {
		t.Error(err)
	}
}

// Nothing is no text, whichever of YAML's words for it stands there.
func TestNothingIsEmpty(t *testing.T) {
	f := parse(t, head+"vars: {a: , b: null, c: ~, d: 'null'}\nsteps: [{post: /, form: {x: null}, headers: {A: ''}}, {post: /, json: [null, ~]}]\n")
	for i, want := range []string{"", "", "", "null"} {
		if f.Vars[i].Value != want {
			t.Errorf("%+v, want %q", f.Vars[i], want)
		}
	}
	if st := f.Scenarios[0].Steps; st[0].Form[0].Value != "" || st[1].Text != "[null,null]" {
		t.Errorf("%+v, %s", st[0].Form, st[1].Text)
	}
}
