// Package limits tells what this machine allows the process to do, and what the process has taken of it.
//
// In order of use: RaiseFiles at the start; Facts for the record, which says what kind of machine made the load; Check
// before the run, which holds what a run needs against the facts and says what to change; Read once a second while it
// goes on, for the signs that something else was in the way (steal, throttling, collections, full tables); and Pressure ten
// times a second, since memory can run out between two readings.
//
// Everything comes from the kernel and the Go runtime. What a system does not tell is zero, empty or false and never an
// error: a limit that is not known is not a reason to stop.
package limits

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
)

// Cores is how many cores the process may use at most: those it may run on (its affinity), or less if its control group
// has a quota. It is above zero, and may be a fraction.
func Cores() float64 {
	n := float64(runtime.NumCPU())
	if q := quota(); q > 0 {
		n = min(n, q)
	}
	return n
}

// heapLimit is GOMEMLIMIT as the process was started with, in bytes; math.MaxInt64: none.
var heapLimit = debug.SetMemoryLimit(-1) // a negative argument only asks

// heapShare is how much of the memory that may be used the heap may grow to before the collector works as hard as it can: the
// kernel's part of every connection, and what else runs on the machine, need the rest.
const heapShare = 0.8

// Memory is the least of the control group's limit, the physical memory and GOMEMLIMIT, in bytes; 0 is unknown.
func Memory() uint64 { return least(ownMemory(), groupMemory()) }

// ownMemory is the most that this process may have, whatever its control groups say.
func ownMemory() uint64 {
	limit := physicalMemory()
	if heapLimit < math.MaxInt64 {
		limit = least(limit, uint64(max(heapLimit, 0)))
	}
	return limit
}

// garbagePercent is how much garbage there may be of what is in use before it is collected; the runtime's own rule is 100. A run
// throws away some 50 KB a second: memory is worth more than to look through 4 MB half as often, and what is touched of a histogram
// for the first time takes half as much again and not twice.
const garbagePercent = 50

// BoundHeap keeps the heap of the process small and within its machine. GOMEMLIMIT and GOGC of the user's stay as they are. It is
// meant to be called once, at the start.
func BoundHeap() {
	if m := Memory(); m > 0 && heapLimit == math.MaxInt64 {
		debug.SetMemoryLimit(int64(float64(m) * heapShare))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// least is the smaller of two limits, of which zero means that there is none.
func least[T uint64 | float64](a, b T) T {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}
