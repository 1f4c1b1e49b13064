package lab

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// pipeMode is the first argument of a test binary that ssh started as its ProxyCommand; the second is the socket of a Fault.
const pipeMode = "lab-pipe"

// Modes is to be called first in TestMain: where the process is one that a lab started by executing the test binary again, it
// does that work and ends.
func Modes() {
	if len(os.Args) == 3 && os.Args[1] == pipeMode {
		if err := pipe(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// pipe carries stdin and stdout to and from a Fault, which does the failing.
func pipe(socket string) error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(c, os.Stdin)
		_ = c.(*net.UnixConn).CloseWrite()
	}()
	_, err = io.Copy(os.Stdout, c)
	return err
}

var (
	endings   []func() // what Main does when the tests are over, newest first
	endingsMu sync.Mutex
)

func atEnd(f func()) {
	endingsMu.Lock()
	endings = append(endings, f)
	endingsMu.Unlock()
}

// Runner is what testing.M is to a TestMain.
type Runner interface{ Run() int }

// Main is m with the removal of what the labs of this process share.
func Main(m Runner) Runner { return runner{m} }

type runner struct{ m Runner }

func (r runner) Run() int {
	code := r.m.Run()
	endingsMu.Lock()
	defer endingsMu.Unlock()
	for i := len(endings) - 1; i >= 0; i-- {
		endings[i]()
	}
	endings = nil
	return code
}
