package lab

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var built struct {
	once sync.Once
	path string
	err  error
}

// Binary is the real lt, built once in the life of a test process, as releases are: without cgo. With -short there is none, and the
// test is skipped.
func Binary(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts the real program, which takes its time")
	}
	built.once.Do(func() {
		dir, err := scratch("bin")
		if err != nil {
			built.err = err
			return
		}
		atEnd(func() { _ = os.RemoveAll(dir) })
		built.path = filepath.Join(dir, "lt")
		cmd := exec.Command("go", "build", "-o", built.path, "lt")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build lt: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// digest is the name that a peer's cache has for the program.
var digest = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile(built.path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(b)), nil
})
