package limits

import "golang.org/x/sys/unix"

// Read takes a reading. It may be called from any goroutine, about once a second.
func Read() Reading {
	var r Reading
	goRuntime.read(&r)
	r.CPU = processCPU()
	r.MemLimit = physicalMemory()
	if soft, _, err := Files(); err == nil {
		r.FileLimit = soft
	}
	if low, high, ok := PortRange(); ok {
		r.PortLimit = high - low + 1
	}
	return r
}

// PortRange is the range of local ports that the kernel gives to outgoing connections.
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
