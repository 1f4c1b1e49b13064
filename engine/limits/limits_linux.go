package limits

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Read takes a reading. It costs some tens of microseconds and may be called from any goroutine, about once a second.
func Read() Reading {
	var r Reading
	goRuntime.read(&r)
	r.CPU = processCPU()
	r.Memory = residentBytes()
	r.MemLimit = memoryLimit()
	r.Files, r.FileLimit = openFiles()
	r.Ports, r.PortLimit = usedPorts()
	if text, err := os.ReadFile("/proc/stat"); err == nil {
		r.steal, r.total = parseStat(text)
	}
	if text, err := os.ReadFile(filepath.Join(group(), "cpu.stat")); err == nil {
		r.throttled, r.periods = parseCPUStat(text)
	}
	return r
}

// memoryLimit is Memory, asked once: it does not change while a process runs.
var memoryLimit = sync.OnceValue(Memory)

func residentBytes() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(text))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(f[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

// files remembers the last count of descriptors: counting reads a directory entry for each, so thousands are counted seldom.
var files struct {
	sync.Mutex
	n  int
	at time.Time
}

func openFiles() (n, limit int) {
	soft, _, err := Files()
	if err != nil {
		soft = 0
	}
	files.Lock()
	defer files.Unlock()
	if files.n < 1000 || time.Since(files.at) > 10*time.Second {
		if d, err := os.Open("/proc/self/fd"); err == nil {
			names, _ := d.Readdirnames(-1)
			d.Close()
			files.n, files.at = max(len(names)-1, 0), time.Now()
		}
	}
	return files.n, soft
}

func usedPorts() (n, limit int) {
	if low, high, ok := PortRange(); ok {
		limit = high - low + 1
	}
	for _, name := range []string{"/proc/net/sockstat", "/proc/net/sockstat6"} {
		if text, err := os.ReadFile(name); err == nil {
			n += parseSockstat(text)
		}
	}
	return n, limit
}

// PortRange is the range of local ports that the kernel gives to outgoing connections.
func PortRange() (low, high int, ok bool) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, 0, false
	}
	f := strings.Fields(string(text))
	if len(f) != 2 {
		return 0, 0, false
	}
	low, err1 := strconv.Atoi(f[0])
	high, err2 := strconv.Atoi(f[1])
	return low, high, err1 == nil && err2 == nil && low <= high
}

func physicalMemory() uint64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return uint64(i.Totalram) * uint64(i.Unit)
}

// group is the folder of the process's control group (version 2, or the first version's cpu group).
var group = sync.OnceValue(func() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "/sys/fs/cgroup"
	}
	return parseGroup(text, func(dir string) bool { _, err := os.Stat(dir); return err == nil })
})

// parseGroup finds the folder of the group in the text of /proc/self/cgroup. Inside a container the path of the host may not
// exist: the root of the mount is the group then.
func parseGroup(text []byte, exists func(string) bool) string {
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root := "/sys/fs/cgroup"
		switch {
		case parts[0] == "0" && parts[1] == "":
		case strings.Contains(","+parts[1]+",", ",cpu,"):
			root = "/sys/fs/cgroup/cpu"
		default:
			continue
		}
		if dir := filepath.Join(root, filepath.Clean("/"+parts[2])); exists(dir) {
			return dir
		}
		if exists(root) {
			return root
		}
	}
	return "/sys/fs/cgroup"
}

func quota() float64 {
	if text, err := os.ReadFile(filepath.Join(group(), "cpu.max")); err == nil {
		return parseQuota(text)
	}
	q, err1 := os.ReadFile(filepath.Join(group(), "cpu.cfs_quota_us"))
	p, err2 := os.ReadFile(filepath.Join(group(), "cpu.cfs_period_us"))
	if err1 != nil || err2 != nil {
		return 0
	}
	return parseQuota(append(append(bytes.TrimSpace(q), ' '), p...))
}

// parseQuota reads "QUOTA PERIOD" in microseconds as cores; 0 is no quota ("max", or -1).
func parseQuota(text []byte) float64 {
	f := strings.Fields(string(text))
	if len(f) != 2 {
		return 0
	}
	q, err1 := strconv.ParseFloat(f[0], 64)
	p, err2 := strconv.ParseFloat(f[1], 64)
	if err1 != nil || err2 != nil || !(q > 0) || !(p > 0) {
		return 0
	}
	return q / p
}

func groupMemory() uint64 {
	for _, name := range []string{filepath.Join(group(), "memory.max"), "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && n > 0 && n < 1<<60 { // the first version writes "no limit" as a number near 2^63
			return n
		}
	}
	return 0
}

// parseStat takes the ticks stolen and all ticks from the first line of /proc/stat: user nice system idle iowait irq softirq
// steal; guest time is already part of user.
func parseStat(text []byte) (steal, total uint64) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	f := strings.Fields(string(line))
	if len(f) < 9 || f[0] != "cpu" {
		return 0, 0
	}
	for i := 1; i <= 8; i++ {
		n, err := strconv.ParseUint(f[i], 10, 64)
		if err != nil {
			return 0, 0
		}
		total += n
		steal = n
	}
	return steal, total
}

// parseCPUStat takes the throttled and all periods from a group's cpu.stat.
func parseCPUStat(text []byte) (throttled, periods uint64) {
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "nr_throttled":
			throttled = n
		case "nr_periods":
			periods = n
		}
	}
	return throttled, periods
}

// parseSockstat counts the TCP sockets in use and those waiting after their close in /proc/net/sockstat.
func parseSockstat(text []byte) int {
	n := 0
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "TCP:" && f[0] != "TCP6:" {
			continue
		}
		for i := 1; i+1 < len(f); i += 2 {
			if f[i] != "inuse" && f[i] != "tw" {
				continue
			}
			if v, err := strconv.Atoi(f[i+1]); err == nil && v > 0 && v < 1<<30 {
				n += v
			}
		}
	}
	return n
}
