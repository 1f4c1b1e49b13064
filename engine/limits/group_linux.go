package limits

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// groups are the folders that limit the process: its own control group first, then each one around it up to the root of
// the mount, since the tightest of them holds. Version 2 of the kernel's interface has one tree, the first version one for
// each resource. Inside a container the path may be the host's and not exist here: then only the root answers.
type groups struct {
	cpu, memory []string
}

// ownGroups does not change while a process runs, in all but contrived cases.
var ownGroups = sync.OnceValue(func() groups {
	text, _ := os.ReadFile("/proc/self/cgroup")
	return parseGroups("/sys/fs/cgroup", text)
})

// parseGroups reads /proc/self/cgroup: lines of "number:controllers:path", of which number 0 without controllers is version
// 2. Where both versions are mounted, a controller is in the tree that names it.
func parseGroups(mount string, text []byte) groups {
	var g groups
	var unified []string
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if parts[0] == "0" && parts[1] == "" {
			unified = ladder(mount, parts[2])
		}
		for name := range strings.SplitSeq(parts[1], ",") {
			switch name {
			case "cpu":
				g.cpu = ladder(filepath.Join(mount, "cpu"), parts[2])
			case "memory":
				g.memory = ladder(filepath.Join(mount, "memory"), parts[2])
			}
		}
	}
	if unified == nil {
		unified = ladder(mount, "/")
	}
	if g.cpu == nil {
		g.cpu = unified
	}
	if g.memory == nil {
		g.memory = unified
	}
	return g
}

// ladder lists the folder of path below root and all folders around it, up to root and never above it.
func ladder(root, path string) []string {
	var out []string
	for p := filepath.Clean("/" + path); ; p = filepath.Dir(p) {
		out = append(out, filepath.Join(root, p))
		if p == "/" {
			return out
		}
	}
}

// quota is how many cores the control groups allow; 0 is no quota.
func quota() float64 { return ownGroups().quota() }

// groupMemory is the most bytes the control groups allow; 0 is no limit.
func groupMemory() uint64 { return ownGroups().limit() }

func (g groups) quota() float64 {
	var cores float64
	for _, dir := range g.cpu {
		text, err := os.ReadFile(filepath.Join(dir, "cpu.max"))
		if err != nil {
			q, err1 := os.ReadFile(filepath.Join(dir, "cpu.cfs_quota_us"))
			p, err2 := os.ReadFile(filepath.Join(dir, "cpu.cfs_period_us"))
			if err1 != nil || err2 != nil {
				continue
			}
			text = bytes.Join([][]byte{q, p}, []byte(" "))
		}
		cores = least(cores, parseQuota(text))
	}
	return cores
}

func (g groups) limit() uint64 {
	var most uint64
	for _, dir := range g.memory {
		for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				most = least(most, parseLimit(text))
			}
		}
	}
	return most
}

// throttling are the periods in which the quota was used up and all periods, of the innermost group that has a quota: the others count
// no periods.
func (g groups) throttling() (throttled, periods uint64) {
	for _, dir := range g.cpu {
		text, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
		if err != nil {
			continue
		}
		if throttled, periods = parseCPUStat(text); periods > 0 {
			return throttled, periods
		}
	}
	return 0, 0
}

// parseQuota reads "QUOTA PERIOD" in microseconds as cores; 0 is no quota ("max", or -1).
func parseQuota(text []byte) float64 {
	f := strings.Fields(string(text))
	if len(f) != 2 {
		return 0
	}
	q, err1 := strconv.ParseInt(f[0], 10, 64)
	p, err2 := strconv.ParseInt(f[1], 10, 64)
	if err1 != nil || err2 != nil || q <= 0 || p <= 0 {
		return 0
	}
	return float64(q) / float64(p)
}

// parseLimit reads a limit in bytes; 0 is none, which version 2 writes as "max" and the first version as a number near 2^63.
func parseLimit(text []byte) uint64 {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil || n >= 1<<60 {
		return 0
	}
	return n
}

// parseCPUStat takes the throttled and all periods from a group's cpu.stat.
func parseCPUStat(text []byte) (throttled, periods uint64) {
	return parseStatLine(text, "nr_throttled"), parseStatLine(text, "nr_periods")
}

// parseStatLine is the figure on the line of a name in a group's file of such lines; 0 if there is none.
func parseStatLine(text []byte, name string) uint64 {
	for line := range bytes.Lines(text) {
		if key, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" ")); string(key) == name {
			n, _ := strconv.ParseUint(string(value), 10, 64)
			return n
		}
	}
	return 0
}
