package limits

import "time"

// Reading is what the process and its machine had used at one moment. Two of them make rates.
type Reading struct {
	CPU        time.Duration // of the process, user and system
	GCPauseP99 time.Duration // of the collections between the reading before and this one
	GCShare    float64       // of the process's available CPU, 0..1, likewise
	SchedP99   time.Duration // how long goroutines that could run waited, likewise
	Memory     uint64        // resident bytes; where the system does not tell, what the Go runtime holds
	MemLimit   uint64        // see Memory
	Files      int           // descriptors open
	FileLimit  int
	Ports      int // local TCP ports in use or waiting after use, at most: towards all destinations together
	PortLimit  int // of one source address towards one destination

	steal, total       uint64 // of the machine, in ticks
	throttled, periods uint64 // of the control group
}

// Read takes a reading. It costs a tenth or two of a millisecond and may be called from any goroutine, about once a second. The
// figures of the Go runtime are those since the call before, whoever made it.
func Read() Reading {
	var r Reading
	goRuntime.read(&r)
	if soft, _, err := Files(); err == nil {
		r.FileLimit = soft
	}
	if low, high, ok := PortRange(); ok {
		r.PortLimit = high - low + 1
	}
	r.system()
	return r
}

// Steal is the share of the machine's time since last that the hypervisor gave to others, 0..1.
func (r Reading) Steal(last Reading) float64 {
	return ratio(r.steal, last.steal, r.total, last.total)
}

// ThrottledShare is the share of the scheduling periods since last in which the control group had used up its quota, 0..1.
func (r Reading) ThrottledShare(last Reading) float64 {
	return ratio(r.throttled, last.throttled, r.periods, last.periods)
}

// ratio is (a-a0)/(b-b0) of counters that only grow; a counter that went back says nothing.
func ratio(a, a0, b, b0 uint64) float64 {
	if b <= b0 || a < a0 {
		return 0
	}
	return min(1, float64(a-a0)/float64(b-b0))
}
