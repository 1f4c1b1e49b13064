//go:build linux || darwin

package peer

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"lt/engine/limits"
	"lt/peer/wire"
)

// Beside its socket a process has a sign, by which others of this machine know it: a file that it holds locked for as long as it
// lives, so that one that was killed is not taken for living, whoever has its number by now. And it has what the kernel counted of
// processes that it ended for want of memory when the process last looked, by which whoever finds it dead can tell what of.
const (
	signName    = "run"
	starvedName = "starved"
	// longestSign bounds what is read of a sign, in bytes: an id of a run comes in a line of no more.
	longestSign = wire.MaxLine
)

// sign is what stands there.
type sign struct {
	Run       string    `json:"run"`
	PID       int       `json:"pid"`
	Processes string    `json:"processes"` // to whom the number means this process, as wire.Hello has it
	Began     time.Time `json:"began"`
}

// signIn puts up the sign of this process; nil if it cannot be told from others' or the file system knows no locks, which costs
// a warning and nothing else. It is locked before anything stands in it: whoever looks meanwhile sees nothing yet, and is seen.
func signIn(dir, run string) *os.File {
	_, processes := machine()
	if processes == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(dir, signName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil
	}
	text, err := json.Marshal(sign{run, os.Getpid(), digest(processes), time.Now()})
	if err == nil {
		err = locked(f)
	}
	if err == nil {
		_, err = f.Write(text)
	}
	if err != nil {
		f.Close()
		return nil
	}
	return f
}

func locked(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Idle implements Rendezvous.
func (r *Runs) Idle(incarnation string) {
	for _, base := range r.bases {
		if mine(base) == nil {
			_ = os.Remove(filepath.Join(base, incarnation, signName))
		}
	}
}

// Others implements Rendezvous.
func (r *Runs) Others(run string) []wire.OtherRun {
	_, processes := machine()
	var out []wire.OtherRun
	seen := make(map[string]bool) // two bases may be one folder
	for _, base := range r.bases {
		if seen[base] || mine(base) != nil {
			continue
		}
		seen[base] = true
		entries, _ := os.ReadDir(base)
		for _, e := range entries {
			if len(out) == mostOthers {
				return out
			}
			if !isIncarnation(e.Name()) {
				continue
			}
			s, ok := readSign(filepath.Join(base, e.Name(), signName))
			if ok && s.Run != run && s.Processes == digest(processes) {
				out = append(out, wire.OtherRun{Run: s.Run, PID: s.PID, Age: max(0, time.Since(s.Began))})
			}
		}
	}
	return out
}

// readSign reads the sign of a living process; false if there is none, or it is dead.
func readSign(name string) (s sign, ok bool) {
	f, err := os.Open(name)
	if err != nil {
		return s, false
	}
	defer f.Close() // with the lock, if it was free
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return s, false
	}
	text, err := io.ReadAll(io.LimitReader(f, longestSign))
	return s, err == nil && json.Unmarshal(text, &s) == nil
}

// noteStarved notes in a process's folder what the kernel counts now.
func noteStarved(dir string) {
	counts := limits.StarvedSoFar()
	if len(counts) == 0 {
		return
	}
	if text, err := json.Marshal(counts); err == nil {
		_ = os.WriteFile(filepath.Join(dir, starvedName), text, 0o600)
	}
}

// starvedSince is how many processes the kernel has ended for want of memory since that was last noted there; below 0: not known.
func starvedSince(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, starvedName))
	var before []limits.Starved
	if err != nil || json.Unmarshal(text, &before) != nil {
		return -1
	}
	if n, ok := limits.StarvedSince(before); ok {
		return n
	}
	return -1
}
