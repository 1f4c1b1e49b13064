//go:build unix

package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lt/engine/journey"
	"lt/engine/scenario"
)

// However many peers there are, at most eight are on their way through one server at once: a launcher counts how many of its kind
// run beside it.
func TestManyPeersAreDialledAFewAtOnce(t *testing.T) {
	const peers, most = 64, 8
	dir := t.TempDir()
	launcher := filepath.Join(dir, "launcher")
	script := `#!/bin/sh
cd "${0%/*}" && mkdir in.$$ && ls -d in.* | wc -l >n.$$
until [ -e go ]; do sleep 0.05; done
rmdir in.$$
echo "no such container" >&2
exit 1
`
	if err := os.WriteFile(launcher, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := scenario.Quick{URL: "http://127.0.0.1:9", Rate: "10", Duration: "1s", Seed: "1"}.File(scenario.Env{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range peers {
		file.Peers = append(file.Peers, scenario.Peer{Name: fmt.Sprint("p", i), Exec: []string{launcher, "sh", "-c", scenario.Boot}})
	}
	compiled, err := journey.Compile(file, "lt/test")
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Config{File: file, Program: compiled, NoLocal: true, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	f.Start(t.Context())
	inside := func() int {
		names, err := filepath.Glob(filepath.Join(dir, "in.*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	for deadline := time.Now().Add(30 * time.Second); inside() < most && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	for range 30 { // time enough for a ninth
		if n := inside(); n != most {
			t.Fatalf("%d are dialled at once, want %d: %v", n, most, f.Err())
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range f.Reports() {
	}
	var errs *StartErrors
	if !errors.As(f.Err(), &errs) || len(errs.Errs) != peers || !strings.Contains(errs.Error(), "no such container") {
		t.Errorf("%v", f.Err())
	}
	counts, err := filepath.Glob(filepath.Join(dir, "n.*"))
	if err != nil || len(counts) != peers {
		t.Errorf("%d launchers ran, want %d (%v)", len(counts), peers, err)
	}
	for _, name := range counts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || n < 1 || n > most {
			t.Errorf("a launcher found %d of its kind at once, want at most %d (%v)", n, most, err)
		}
	}
}
