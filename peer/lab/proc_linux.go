package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is one process of this machine, whatever namespace it lives in.
type Process struct {
	PID, Parent int
	Exe         string // with " (deleted)" where its file is gone
	Args        []string
	Environ     []string
}

func (p Process) String() string { return fmt.Sprintf("%d %s", p.PID, strings.Join(p.Args, " ")) }

// Kill sends a signal; a process that is gone is no error.
func (p Process) Kill(sig syscall.Signal) { _ = syscall.Kill(p.PID, sig) }

// anonymous is how much memory the process has that is in no file, in bytes; 0 if it is gone.
func (p Process) anonymous() int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "RssAnon:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// waited is for how long each thread of a process was ready to run and had no processor, by its number, since it began.
func waited(pid int) map[string]time.Duration {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	out := make(map[string]time.Duration, len(tasks))
	for _, t := range tasks {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, t.Name()))
		if f := strings.Fields(string(text)); len(f) == 3 { // time run, time waited, in ns, and how often it ran
			n, _ := strconv.ParseInt(f[1], 10, 64)
			out[t.Name()] = time.Duration(n)
		}
	}
	return out
}

// carriers are the kernel's threads that deliver packets where more come than it delivers in passing.
func carriers() (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(text), "ksoftirqd/") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// stolen is for how long each processor was taken away from this machine by what it runs on, by its name, since it began. To whoever
// was running there that is no wait.
func stolen() map[string]time.Duration {
	const tick = 10 * time.Millisecond
	text, _ := os.ReadFile("/proc/stat")
	out := map[string]time.Duration{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 9 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		n, _ := strconv.ParseInt(f[8], 10, 64) // user, nice, system, idle, waiting for disks, interrupts, soft ones, stolen
		out[f[0]] = time.Duration(n) * tick
	}
	return out
}

// mark is the variable in the environment of everything that runs on a host of a lab; it says which.
const mark = "LT_LAB_HOST="

// Processes are all that this user may look into.
func Processes() []Process {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var ps []Process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		exe, err := os.Readlink(dir + "/exe")
		if err != nil {
			continue // the kernel's own, a stranger's or gone
		}
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		// The name in parentheses may hold anything; the state and the parent come behind the last one.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		args, _ := os.ReadFile(dir + "/cmdline")
		env, _ := os.ReadFile(dir + "/environ")
		ps = append(ps, Process{PID: pid, Parent: parent, Exe: exe, Args: words(args), Environ: words(env)})
	}
	return ps
}

func words(b []byte) []string {
	s := strings.TrimRight(string(b), "\x00")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\x00")
}

// below are the processes that descend from one of the roots.
func below(ps []Process, roots ...int) []Process {
	var out []Process
	for grown := true; grown; {
		grown = false
		for _, p := range ps {
			if slices.Contains(roots, p.Parent) && !slices.Contains(roots, p.PID) {
				roots, out, grown = append(roots, p.PID), append(out, p), true
			}
		}
	}
	return out
}

func lives(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || err == syscall.EPERM
}

// endMarked ends whatever belongs to a folder: what carries the mark of it or of a host in it, what was started with a file of it,
// as every sshd (which writes over its own environment), and all that these started.
func endMarked(dir string) {
	for range 3 {
		all := Processes()
		var own []Process
		var roots []int
		for _, p := range all {
			if p.PID != os.Getpid() && (p.marked(dir) || strings.Contains(strings.Join(p.Args, " "), dir+"/")) {
				own, roots = append(own, p), append(roots, p.PID)
			}
		}
		if len(own) == 0 {
			return
		}
		for _, p := range append(own, below(all, roots...)...) {
			p.Kill(syscall.SIGKILL)
		}
	}
}

func (p Process) marked(dir string) bool {
	return slices.ContainsFunc(p.Environ, func(v string) bool {
		value, ok := strings.CutPrefix(v, mark)
		return ok && (value == dir || strings.HasPrefix(value, dir+"/"))
	})
}
