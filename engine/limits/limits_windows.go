package limits

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// timeWait is how long a closed connection keeps its local port: the default of TcpTimedWaitDelay.
const timeWait = 120 * time.Second

// Files are the soft and the hard limit of open files: Windows has no such limit for sockets.
func Files() (soft, hard int, err error) { return 1 << 24, 1 << 24, nil }

// RaiseFiles does nothing on Windows.
func RaiseFiles() (soft int, err error) { return 1 << 24, nil }

// system adds what only this system tells.
func (r *Reading) system() {
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(windows.CurrentProcess(), &created, &exited, &kernel, &user) == nil {
		r.CPU = ticks(kernel) + ticks(user)
	}
	r.MemLimit = Memory()
}

// ticks reads a length of time, which Windows counts in steps of 100 ns.
func ticks(f windows.Filetime) time.Duration {
	return time.Duration(uint64(f.HighDateTime)<<32|uint64(f.LowDateTime)) * 100
}

// PortRange is the range of local ports for outgoing connections: the default since Windows Vista.
func PortRange() (low, high int, ok bool) { return 49152, 65535, true }

// memoryStatus is MEMORYSTATUSEX of sysinfoapi.h.
type memoryStatus struct {
	length, load                                              uint32
	physical, availPhysical, pageFile, availPageFile, virtual uint64
	availVirtual, availExtended                               uint64
}

var globalMemoryStatus = windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")

func physicalMemory() uint64 {
	s := memoryStatus{length: uint32(unsafe.Sizeof(memoryStatus{}))}
	if ok, _, _ := globalMemoryStatus.Call(uintptr(unsafe.Pointer(&s))); ok == 0 {
		return 0
	}
	return s.physical
}

func quota() float64 { return 0 }

func groupMemory() uint64 { return 0 }

// describe adds to the facts what only this system tells.
func (h *Host) describe() {
	v := windows.RtlGetVersion()
	h.Kernel = fmt.Sprintf("Windows %d.%d.%d", v.MajorVersion, v.MinorVersion, v.BuildNumber)
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `HARDWARE\DESCRIPTION\System\CentralProcessor\0`, registry.QUERY_VALUE)
	if err != nil {
		return
	}
	defer k.Close()
	h.CPUModel, _, _ = k.GetStringValue("ProcessorNameString")
}
