package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// group is a control group of the kernel's that bounds the memory or the processor time of the processes in it, in the first or the
// second version of that interface, whichever has it here.
type group struct {
	dir   string
	limit int64 // of memory, in bytes
}

// newGroup makes a group with a limit in bytes.
func newGroup(name string, limit int64) (*group, error) {
	const mount = "/sys/fs/cgroup"
	g := &group{dir: filepath.Join(mount, "memory", name), limit: limit}
	file := "memory.limit_in_bytes"
	if _, err := os.Stat(filepath.Join(mount, "memory", file)); err != nil {
		g.dir, file = filepath.Join(mount, name), "memory.max"
		_ = os.WriteFile(filepath.Join(mount, "cgroup.subtree_control"), []byte("+memory"), 0) // where it is there already, no error matters
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(g.dir, file), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
		g.remove()
		return nil, fmt.Errorf("%s bounds no memory: %w", g.dir, err)
	}
	return g, nil
}

// newQuota makes a group whose processes together have this part of one processor, in every fifth of a second.
func newQuota(name string, part float64) (*group, error) {
	const mount, period = "/sys/fs/cgroup", 200_000 // µs
	g := &group{dir: filepath.Join(mount, "cpu", name)}
	files := map[string]string{"cpu.cfs_period_us": strconv.Itoa(period), "cpu.cfs_quota_us": strconv.Itoa(int(part * period))}
	if _, err := os.Stat(filepath.Join(mount, "cpu", "cgroup.procs")); err != nil {
		g.dir, files = filepath.Join(mount, name), map[string]string{"cpu.max": fmt.Sprintf("%d %d", int(part*period), period)}
		_ = os.WriteFile(filepath.Join(mount, "cgroup.subtree_control"), []byte("+cpu"), 0) // where it is there already, no error matters
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(g.dir, file), []byte(text), 0); err != nil {
			g.remove()
			return nil, fmt.Errorf("%s bounds no processor time: %w", g.dir, err)
		}
	}
	return g, nil
}

// add moves a process into the group; what it starts from then on is in it too.
func (g *group) add(pid int) error {
	return os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// taken is how much of its limit is taken by what cannot be dropped, in bytes: not by pages of files.
func (g *group) taken() (int64, error) {
	n, err := g.figure("memory.stat", "anon")
	if err != nil {
		n, err = g.figure("memory.stat", "rss") // as the first version calls it
	}
	return n, err
}

// killed is how many of its processes the kernel has ended for want of memory.
func (g *group) killed() (int64, error) {
	n, err := g.figure("memory.events", "oom_kill")
	if err != nil {
		n, err = g.figure("memory.oom_control", "oom_kill")
	}
	return n, err
}

func (g *group) figure(file, name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s of %s says nothing of %s", file, g.dir, name)
}

// remove removes the group once all its processes have ended, which they are to do shortly.
func (g *group) remove() {
	for range 50 {
		if err := os.Remove(g.dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
