//go:build unix

package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A folder or a pipe that a step names as its body is refused at once: nobody may ever write into the pipe.
func TestBodyFilesAreFiles(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Skip(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.yaml")
	text := head + "steps:\n- {post: /, body_file: pipe}\n- {post: /, body_file: folder}\n- {post: /, body_file: nothing}\n- {post: /, body_file: ../a}\n- {post: /, body_file: a.yaml}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, Env{})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{":3:24: body_file: pipe is not a file", ":4:24: body_file: folder is not a file", ":5:24: body_file: nothing: no such file", ":6:24: body_file: ../a: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), ":7:") {
		t.Errorf("a file is refused:\n%v", err)
	}
}
