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

// timeWait is how long a closed connection keeps its local port: a constant of the kernel (TCP_TIMEWAIT_LEN).
const timeWait = 60 * time.Second

// system adds what only this system tells.
func (r *Reading) system() {
	r.CPU = processCPU()
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if pages := parseStatm(text); pages > 0 {
			r.Memory = pages * uint64(os.Getpagesize())
		}
	}
	r.MemLimit = memoryLimit()
	r.Files = openFiles()
	r.Ports = usedPorts("/proc/net", r.Files)
	if text, err := os.ReadFile("/proc/stat"); err == nil {
		r.steal, r.total = parseStat(text)
	}
	r.throttled, r.periods = ownGroups().throttling()
}

// memoryLimit is Memory, asked once: it does not change while a process runs.
var memoryLimit = sync.OnceValue(Memory)

// mostFiles is the highest soft limit that the kernel accepts under a hard one.
func mostFiles(hard uint64) uint64 { return hard }

// files remembers the last count of descriptors: counting reads a directory entry for each, so thousands are counted seldom.
var files struct {
	sync.Mutex
	n  int
	at time.Time
}

const (
	manyFiles  = 1000             // from here on a count takes longer than all else in a reading
	filesEvery = 10 * time.Second // how often they are counted then
)

func openFiles() int {
	files.Lock()
	defer files.Unlock()
	if files.n < manyFiles || time.Since(files.at) > filesEvery {
		if d, err := os.Open("/proc/self/fd"); err == nil {
			names, _ := d.Readdirnames(-1)
			d.Close()
			files.n, files.at = max(len(names)-1, 0), time.Now() // less the one that was opened to count
		}
	}
	return files.n
}

// usedPorts is how many local ports are in use or waiting, at most. The kernel counts all sockets of the machine, the
// target's ends among them when it runs here too; this process cannot own more of them than it has descriptors.
func usedPorts(dir string, descriptors int) int {
	inUse, waiting := 0, 0
	for _, name := range []string{"sockstat", "sockstat6"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			u, w := parseSockstat(text)
			inUse, waiting = inUse+u, waiting+w
		}
	}
	return min(inUse, descriptors) + waiting
}

// PortRange is the range of local ports that the kernel gives to outgoing connections, both ends included.
func PortRange() (low, high int, ok bool) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, 0, false
	}
	return parsePortRange(text)
}

func parsePortRange(text []byte) (low, high int, ok bool) {
	f := strings.Fields(string(text))
	if len(f) != 2 {
		return 0, 0, false
	}
	l, err1 := strconv.ParseUint(f[0], 10, 16)
	h, err2 := strconv.ParseUint(f[1], 10, 16)
	if err1 != nil || err2 != nil || l > h {
		return 0, 0, false
	}
	return int(l), int(h), true
}

func physicalMemory() uint64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return uint64(i.Totalram) * uint64(i.Unit)
}

// parseStatm takes the resident pages from /proc/self/statm, where they come second.
func parseStatm(text []byte) (pages uint64) {
	_, text, _ = bytes.Cut(bytes.TrimSpace(text), []byte(" "))
	second, _, _ := bytes.Cut(text, []byte(" "))
	pages, err := strconv.ParseUint(string(second), 10, 40)
	if err != nil {
		return 0
	}
	return pages
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
		n, err := strconv.ParseUint(f[i], 10, 60)
		if err != nil {
			return 0, 0
		}
		total += n
		steal = n
	}
	return steal, total
}

// parseSockstat counts the TCP sockets in use and those waiting after their close in /proc/net/sockstat or sockstat6. The
// waiting of both families stand in the first of the two.
func parseSockstat(text []byte) (inUse, waiting int) {
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "TCP:" && f[0] != "TCP6:" {
			continue
		}
		for i := 1; i+1 < len(f); i += 2 {
			n, err := strconv.ParseUint(f[i+1], 10, 30)
			if err != nil {
				continue
			}
			switch f[i] {
			case "inuse":
				inUse += int(n)
			case "tw":
				waiting += int(n)
			}
		}
	}
	return inUse, waiting
}

// describe adds to the facts what only this system tells.
func (h *Host) describe() {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		h.CPUModel = parseCPUInfo(text)
	}
	h.Container = container()
	h.TimeWaitReuse = readNumber("/proc/sys/net/ipv4/tcp_tw_reuse")
	h.Tracked = readNumber("/proc/sys/net/netfilter/nf_conntrack_max")
	h.LinkSpeed = linkSpeed("/sys/class/net")
}

// readNumber reads a file that holds one number; 0 if there is none.
func readNumber(name string) int {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

// parseCPUInfo takes the name of the first processor from /proc/cpuinfo; some architectures only name the board.
func parseCPUInfo(text []byte) string {
	board := ""
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.Join(strings.Fields(value), " ")
		switch strings.TrimSpace(name) {
		case "model name":
			if value != "" {
				return value
			}
		case "Model", "Hardware", "cpu model":
			board = value
		}
	}
	return board
}

// container is the kind of container the process runs in, as far as it shows; empty outside.
func container() string {
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return "kubernetes"
	}
	for _, mark := range []struct{ file, kind string }{{"/.dockerenv", "docker"}, {"/run/.containerenv", "podman"}} {
		if _, err := os.Stat(mark.file); err == nil {
			return mark.kind
		}
	}
	text, err := os.ReadFile("/run/systemd/container")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// linkSpeed is the speed of the fastest network link that is up and tells, in bytes a second; virtual ones often do not.
func linkSpeed(root string) float64 {
	links, err := os.ReadDir(root)
	if err != nil {
		return 0
	}
	best := 0
	for _, l := range links {
		state, err := os.ReadFile(filepath.Join(root, l.Name(), "operstate"))
		if err != nil || strings.TrimSpace(string(state)) != "up" {
			continue
		}
		best = max(best, readNumber(filepath.Join(root, l.Name(), "speed"))) // in Mbit/s; -1 is unknown
	}
	return float64(best) * 1e6 / 8
}
