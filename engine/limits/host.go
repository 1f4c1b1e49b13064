package limits

import "runtime"

// Host is what a machine is and allows, as a record keeps it. It describes the kind of machine and does not name it:
// reports are passed on. Zero and empty mean unknown, and for limits also that there is none.
type Host struct {
	OS        string  `json:"os"`
	Arch      string  `json:"arch"`
	Kernel    string  `json:"kernel,omitempty"`
	CPUModel  string  `json:"cpu_model,omitempty"`
	CPUs      int     `json:"cpus"`  // that the process may run on
	Cores     float64 `json:"cores"` // that it may use at most, see Cores
	Memory    uint64  `json:"memory_bytes,omitempty"`
	MemLimit  uint64  `json:"memory_limit_bytes,omitempty"` // see Memory
	Go        string  `json:"go"`
	Container string  `json:"container,omitempty"`

	FilesSoft int `json:"files_soft,omitempty"`
	FilesHard int `json:"files_hard,omitempty"`
	PortLow   int `json:"port_low,omitempty"`
	PortHigh  int `json:"port_high,omitempty"`
	// TimeWaitReuse is Linux's tcp_tw_reuse: a port may be taken again a second after its connection was closed, towards
	// any destination (1) or only towards this machine itself (2).
	TimeWaitReuse int     `json:"time_wait_reuse,omitempty"`
	Tracked       int     `json:"conntrack_max,omitempty"`         // connections that the packet filter can follow at once
	LinkSpeed     float64 `json:"link_bytes_per_second,omitempty"` // of the fastest network link that is up
}

// Facts describes this machine. It reads a handful of files and may be called from any goroutine.
func Facts() Host {
	h := Host{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(), CPUs: runtime.NumCPU(), Cores: Cores(),
		Memory: physicalMemory(), MemLimit: Memory(),
	}
	if soft, hard, err := Files(); err == nil {
		h.FilesSoft, h.FilesHard = soft, hard
	}
	if low, high, ok := PortRange(); ok {
		h.PortLow, h.PortHigh = low, high
	}
	h.describe()
	return h
}
