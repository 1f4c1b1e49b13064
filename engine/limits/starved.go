package limits

// Starved is how many processes the kernel has ended for want of memory, as a file of the kernel's counts them.
type Starved struct {
	File  string `json:"file"`
	Count uint64 `json:"count"`
}

// StarvedSince is how many processes the kernel has ended for want of memory since some process took counts with StarvedSoFar: by the
// first of the files that still is there, since a control group goes with what was in it. False: nothing tells.
func StarvedSince(before []Starved) (n int, ok bool) {
	for _, b := range before {
		if now, ok := starvedIn(b.File); ok && now >= b.Count {
			return int(min(now-b.Count, 1<<30)), true
		}
	}
	return 0, false
}
