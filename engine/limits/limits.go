// Package limits tells what this machine allows the process to do, and what the process has taken of it: descriptors,
// cores, memory, local ports, and the signs that something else was in the way (steal, throttling, collections).
//
// Readings come from the kernel; what a system does not tell is zero or false and never an error.
package limits

import (
	"math"
	"runtime"
	"runtime/debug"
	"time"
)

// Cores is how many cores the process may use at most: those it may run on, or less if its control group has a quota.
func Cores() float64 {
	n := float64(runtime.NumCPU())
	if q := quota(); q > 0 {
		n = min(n, q)
	}
	return n
}

// Memory is the least of the control group's limit, the physical memory and GOMEMLIMIT, in bytes; 0 is unknown.
func Memory() uint64 {
	limit := physicalMemory()
	if g := groupMemory(); g > 0 && (limit == 0 || g < limit) {
		limit = g
	}
	if m := debug.SetMemoryLimit(-1); m > 0 && m < math.MaxInt64 && (limit == 0 || uint64(m) < limit) {
		limit = uint64(m)
	}
	return limit
}

// Reading is what the process and its machine had used at one moment. Two of them make rates.
type Reading struct {
	CPU        time.Duration // of the process, user and system
	GCPauseP99 time.Duration // of the collections between the reading before and this one
	GCShare    float64       // of the process's available CPU, 0..1, likewise
	SchedP99   time.Duration // how long goroutines that could run waited, likewise
	Memory     uint64        // resident bytes
	MemLimit   uint64        // see Memory
	Files      int           // descriptors open
	FileLimit  int
	Ports      int // local TCP ports in use or waiting after use
	PortLimit  int

	steal, total       uint64 // of the machine, in ticks
	throttled, periods uint64 // of the control group
}

// Steal is the share of the machine's time since last that the hypervisor gave to others, 0..1.
func (r Reading) Steal(last Reading) float64 {
	return ratio(r.steal, last.steal, r.total, last.total)
}

// ThrottledShare is the share of the scheduling periods since last in which the control group had used up its quota, 0..1.
func (r Reading) ThrottledShare(last Reading) float64 {
	return ratio(r.throttled, last.throttled, r.periods, last.periods)
}

func ratio(a, a0, b, b0 uint64) float64 {
	if b <= b0 || a < a0 {
		return 0
	}
	return float64(a-a0) / float64(b-b0)
}
