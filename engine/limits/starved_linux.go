package limits

import (
	"bytes"
	"os"
	"path/filepath"
)

// machineStarved counts for the whole machine, whoever's control group lacked the memory.
const machineStarved = "/proc/vmstat"

// StarvedSoFar is what the kernel counts for this process's control groups, innermost first, and in the end for all of the machine.
// It is empty where the system does not tell.
func StarvedSoFar() []Starved { return starvedSoFar(ownGroups()) }

func starvedSoFar(g groups) []Starved {
	var out []Starved
	add := func(file string) bool {
		n, ok := starvedIn(file)
		if ok {
			out = append(out, Starved{file, n})
		}
		return ok
	}
	for i, dir := range g.memory {
		// In the first version a group counts its own processes alone: what the groups around it say is of others.
		if !add(filepath.Join(dir, "memory.events")) && i == 0 {
			add(filepath.Join(dir, "memory.oom_control"))
		}
	}
	add(machineStarved)
	return out
}

// starvedIn is a file's count; false if it has none.
func starvedIn(file string) (uint64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	const name = "oom_kill"
	return parseStatLine(text, name), bytes.Contains(text, []byte(name+" ")) // which older kernels lack
}
