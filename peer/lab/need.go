package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Need says what a test cannot do without: the name of a program, or one of
//
//	linux    the kernel
//	root     the rights of root
//	netns    network namespaces, bridges and iptables, with the rights to make them
//	netem    the kernel's own delays and losses
//	memory   control groups that bound memory, with the rights to make them
//	quota    control groups that bound processor time, likewise
//	full     everything that takes more than a few seconds (not asked for with -short, and only where LT_CI=1)
//
// Where something is missing, the test is skipped with the reason; where LT_CI=1 says that everything is there, it fails.
func Need(t testing.TB, what ...string) {
	t.Helper()
	for _, w := range what {
		if w == "full" {
			if os.Getenv("LT_CI") != "1" || testing.Short() {
				t.Skip("takes long: LT_CI=1 go test, without -short, runs it")
			}
			continue
		}
		if _, err := find(w); err != nil {
			lacks(t, err)
		}
	}
}

// Program is where a program is; without it the test ends as Need has it.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := find(name)
	if err != nil {
		lacks(t, err)
	}
	return path
}

func lacks(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("LT_CI") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

func find(what string) (string, error) {
	switch what {
	case "linux":
		if runtime.GOOS != "linux" {
			return "", fmt.Errorf("this is %s, and the test needs linux", runtime.GOOS)
		}
	case "root":
		if os.Geteuid() != 0 {
			return "", fmt.Errorf("user %d is not root", os.Geteuid())
		}
	case "netns":
		return "", canIsolate()
	case "netem":
		return "", canDelay()
	case "memory":
		return "", canBound()
	case "quota":
		return "", canSqueeze()
	default:
		return locate(what)
	}
	return "", nil
}

// locate is where a program is.
func locate(what string) (string, error) {
	if path, err := exec.LookPath(what); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} { // not in everybody's path
		if path, err := exec.LookPath(filepath.Join(dir, what)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", what)
}
