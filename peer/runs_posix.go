//go:build linux || darwin

package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// runKept is how long the folder of a run that ended without clearing up stays; whoever lives touches its own.
	runKept = 24 * time.Hour
	// longestSocket is what fits into a socket's address on every system, with its closing zero.
	longestSocket = 103
)

// Runs is the Rendezvous of real processes: a socket below the folder in which the program was put, one folder a process, 0600 in
// 0700. The bases are tried in order.
type Runs struct{ bases []string }

// NewRuns uses the folder beside the one of the program if it was put there by a coordinator (…/lt/agents/SHA256), then the places
// where a coordinator would put it.
func NewRuns(executable string, getenv func(string) string) *Runs {
	r := &Runs{}
	if dir := filepath.Dir(executable); filepath.Base(dir) == "agents" && filepath.IsAbs(dir) {
		r.bases = append(r.bases, filepath.Join(filepath.Dir(dir), "runs"))
	}
	uid := strconv.Itoa(os.Getuid())
	home := getenv("HOME")
	if home != "" {
		home = filepath.Join(home, ".cache")
	}
	for _, base := range []string{getenv("LT_CACHE"), getenv("XDG_CACHE_HOME"), home, "/var/tmp/lt-" + uid, "/tmp/lt-" + uid, "/dev/shm/lt-" + uid} {
		if filepath.IsAbs(base) {
			r.bases = append(r.bases, filepath.Join(base, "lt", "runs"))
		}
	}
	return r
}

// Sweep removes what processes left that ended long ago without clearing up.
func (r *Runs) Sweep() {
	now := time.Now()
	for _, base := range r.bases {
		if mine(base) != nil {
			continue
		}
		entries, _ := os.ReadDir(base)
		for _, e := range entries {
			if st, err := e.Info(); err == nil && isIncarnation(e.Name()) && now.Sub(st.ModTime()) > runKept {
				_ = os.RemoveAll(filepath.Join(base, e.Name()))
			}
		}
	}
}

// Touch keeps the folder of a living process from being swept, and notes how often the kernel has run out of memory so far.
func (r *Runs) Touch(incarnation string) {
	now := time.Now()
	for _, base := range r.bases {
		if dir := filepath.Join(base, incarnation); mine(base) == nil && os.Chtimes(dir, now, now) == nil {
			noteStarved(dir)
		}
	}
}

// Listen implements Rendezvous. Only processes of the same user are accepted.
func (r *Runs) Listen(incarnation, run string) (net.Listener, error) {
	if !isIncarnation(incarnation) {
		return nil, fmt.Errorf("listen for the coordinator: %q is no incarnation", incarnation)
	}
	err := errors.New("there is no folder of one's own")
	for _, base := range r.bases {
		var l net.Listener
		if l, err = listenIn(base, incarnation, run); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("listen for the coordinator after a break: %w", err)
}

func listenIn(base, incarnation, run string) (l net.Listener, err error) {
	if err := os.MkdirAll(base, 0o700); err != nil {
		return nil, err
	}
	if err := mine(base); err != nil {
		return nil, err
	}
	dir := filepath.Join(base, incarnation)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	path, done, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	u.SetUnlinkOnClose(false) // the folder goes as a whole
	if err := os.Chmod(filepath.Join(dir, "sock"), 0o600); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	noteStarved(dir)
	return &ownListener{u, dir, signIn(dir, run)}, nil
}

// socketPath is a way to write the address of the socket in dir that fits into one; done gives back what it takes.
func socketPath(dir string) (path string, done func(), err error) {
	path = filepath.Join(dir, "sock")
	if len(path) <= longestSocket {
		return path, func() {}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/sock", d.Fd()), func() { d.Close() }, nil
}

// mine refuses a folder that another user made or may write to: in places that all may write to, somebody could have put it there
// before us.
func mine(dir string) error {
	for _, d := range []string{filepath.Dir(filepath.Dir(dir)), filepath.Dir(dir), dir} {
		st, err := os.Lstat(d)
		if err != nil {
			return err
		}
		if s, ok := st.Sys().(*syscall.Stat_t); !ok || !st.IsDir() || int(s.Uid) != os.Getuid() || st.Mode().Perm()&0o022 != 0 {
			return fmt.Errorf("%s is not a folder that only this user may write to", d)
		}
	}
	return nil
}

// ownListener accepts from the same user alone.
type ownListener struct {
	*net.UnixListener
	dir  string
	sign *os.File // locked as long as it is open; nil: others do not know of the process
}

func (l *ownListener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if uid, err := peerUser(c); err == nil && uid == os.Getuid() {
			return c, nil
		}
		c.Close()
	}
}

func (l *ownListener) Close() error {
	err := errors.Join(l.UnixListener.Close(), os.RemoveAll(l.dir))
	if l.sign != nil {
		l.sign.Close()
	}
	return err
}

// Find implements Rendezvous. A process that was killed a moment ago may take a moment to be gone.
func (r *Runs) Find(ctx context.Context, incarnation string, pid int) (io.ReadWriteCloser, error) {
	if !isIncarnation(incarnation) {
		return nil, fmt.Errorf("find the run again: %q is no incarnation", incarnation)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for {
		c, err := r.connect(ctx, incarnation)
		if err == nil {
			return c, nil
		}
		if dead(pid) {
			gone := &NoRunError{Starved: -1}
			for _, base := range r.bases {
				dir := filepath.Join(base, incarnation)
				if mine(base) == nil {
					gone.Starved = max(gone.Starved, starvedSince(dir))
					_ = os.RemoveAll(dir) // it could not do so itself
				}
			}
			return nil, gone
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("process %d is there and cannot be reached: %w", pid, err)
		}
	}
}

func (r *Runs) connect(ctx context.Context, incarnation string) (net.Conn, error) {
	err := fs.ErrNotExist
	for _, base := range r.bases {
		path, done, failed := socketPath(filepath.Join(base, incarnation))
		if failed != nil {
			continue
		}
		var d net.Dialer
		c, failed := d.DialContext(ctx, "unix", path)
		done()
		if failed == nil {
			if uid, bad := peerUser(c.(*net.UnixConn)); bad != nil || uid != os.Getuid() {
				c.Close()
				return nil, errors.New("another user listens there")
			}
			return c, nil
		}
		if !errors.Is(failed, fs.ErrNotExist) {
			err = failed
		}
	}
	return nil, err
}

// dead says whether there surely is no process of that number: none at all, or one that has ended and was not waited for.
func dead(pid int) bool {
	if pid <= 1 {
		return false
	}
	if err := unix.Kill(pid, 0); errors.Is(err, unix.ESRCH) {
		return true
	}
	return zombie(pid)
}
