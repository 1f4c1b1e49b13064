package limits

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timeWait is how long a closed connection keeps its local port: twice net.inet.tcp.msl, which is 15 s unless changed.
const timeWait = 30 * time.Second

// system adds what only this system tells.
func (r *Reading) system() {
	r.CPU = processCPU()
	r.MemLimit = Memory()
	if d, err := os.Open("/dev/fd"); err == nil {
		names, _ := d.Readdirnames(-1)
		d.Close()
		r.Files = max(len(names)-1, 0)
	}
}

// mostFiles is the highest soft limit that the kernel accepts under a hard one, which is often said to be infinite.
func mostFiles(hard uint64) uint64 {
	if n, err := unix.SysctlUint32("kern.maxfilesperproc"); err == nil {
		return min(hard, uint64(n))
	}
	return min(hard, 10240) // OPEN_MAX of <sys/syslimits.h>
}

// PortRange is the range of local ports that the kernel gives to outgoing connections, both ends included.
func PortRange() (low, high int, ok bool) {
	first, err1 := unix.SysctlUint32("net.inet.ip.portrange.first")
	last, err2 := unix.SysctlUint32("net.inet.ip.portrange.last")
	return int(first), int(last), err1 == nil && err2 == nil && first <= last
}

func physicalMemory() uint64 {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return n
}

func quota() float64 { return 0 }

func groupMemory() uint64 { return 0 }

// describe adds to the facts what only this system tells.
func (h *Host) describe() {
	if release, err := unix.Sysctl("kern.osrelease"); err == nil {
		h.Kernel = "Darwin " + release
	}
	h.CPUModel, _ = unix.Sysctl("machdep.cpu.brand_string")
}
