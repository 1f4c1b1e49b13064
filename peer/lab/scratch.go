package lab

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// prefix begins the name of every folder of a lab; the id of the test process follows, so that another can tell what is left over.
const prefix = "lt-lab-"

var sweep = sync.OnceFunc(func() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if n, err := strconv.Atoi(pid); err == nil && n != os.Getpid() && !lives(n) {
			endMarked(dir)
			_ = os.RemoveAll(dir)
		}
	}
	sweepNetworks()
})

// scratch makes a folder of this process, after the leftovers of dead ones are gone. Short, for sockets live in it.
func scratch(name string) (string, error) {
	sweep()
	return os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+"-"+name+"-")
}
