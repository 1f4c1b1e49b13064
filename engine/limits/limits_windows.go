package limits

import (
	"time"

	"golang.org/x/sys/windows"
)

// Files are the soft and the hard limit of open files: Windows has no such limit for sockets.
func Files() (soft, hard int, err error) { return 1 << 24, 1 << 24, nil }

// RaiseFiles does nothing on Windows.
func RaiseFiles() (soft int, err error) { return 1 << 24, nil }

// Read takes a reading. It may be called from any goroutine, about once a second.
func Read() Reading {
	var r Reading
	goRuntime.read(&r)
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(windows.CurrentProcess(), &created, &exited, &kernel, &user) == nil {
		r.CPU = ticks(kernel) + ticks(user)
	}
	r.FileLimit, _, _ = Files()
	if low, high, ok := PortRange(); ok {
		r.PortLimit = high - low + 1
	}
	return r
}

// ticks reads a length of time, which Windows counts in steps of 100 ns.
func ticks(f windows.Filetime) time.Duration {
	return time.Duration(uint64(f.HighDateTime)<<32|uint64(f.LowDateTime)) * 100
}

// PortRange is the range of local ports for outgoing connections: the default since Windows Vista.
func PortRange() (low, high int, ok bool) { return 49152, 65535, true }

func physicalMemory() uint64 { return 0 }

func quota() float64 { return 0 }

func groupMemory() uint64 { return 0 }
