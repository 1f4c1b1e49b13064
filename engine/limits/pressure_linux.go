package limits

import (
	"os"
	"path/filepath"
)

// systemPressure keeps the kernel's files open, so that a look is a read of each.
type systemPressure struct {
	statm  *os.File
	page   uint64
	levels []level
	text   [8 << 10]byte // memory.stat is the longest, with some 1,500 bytes
}

// level is a control group that limits the process.
type level struct {
	limit, used, stat *os.File
	name              string // the line of stat that tells how much the kernel keeps only until it needs the room
	idle              uint64 // what it said last
}

func (p *systemPressure) open() {
	p.statm, _ = os.Open("/proc/self/statm")
	p.page = uint64(os.Getpagesize())
	p.watch(ownGroups())
}

// watch opens the files of the groups, in the words of either version of the kernel's interface.
func (p *systemPressure) watch(g groups) {
	for _, dir := range g.memory {
		for _, v := range [...][3]string{{"memory.max", "memory.current", "inactive_file"}, {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}} {
			limit, err1 := os.Open(filepath.Join(dir, v[0]))
			used, err2 := os.Open(filepath.Join(dir, v[1]))
			if err1 != nil || err2 != nil {
				shut(limit)
				shut(used)
				continue
			}
			stat, _ := os.Open(filepath.Join(dir, "memory.stat"))
			idle := parseStatLine(p.read(stat), v[2])
			p.levels = append(p.levels, level{limit, used, stat, v[2], idle})
		}
	}
}

func (p *systemPressure) close() {
	shut(p.statm)
	for _, l := range p.levels {
		shut(l.limit)
		shut(l.used)
		shut(l.stat)
	}
	p.levels = nil
}

func shut(f *os.File) {
	if f != nil {
		f.Close()
	}
}

// resident is what this process has in memory.
func (p *systemPressure) resident() (bytes uint64, ok bool) {
	pages := parseStatm(p.read(p.statm))
	return pages * p.page, pages > 0
}

// groups is how much of its limit the group nearest to it has used, 0..1: what else runs in the group and the kernel's memory
// for sockets count, which our own resident memory does not show; files that the kernel keeps only until it needs the room do not.
func (p *systemPressure) groups() float64 {
	most := 0.0
	for i := range p.levels {
		l := &p.levels[i]
		limit := parseLimit(p.read(l.limit))
		if limit == 0 {
			continue
		}
		used := parseLimit(p.read(l.used))
		if used > limit/2 { // below that it costs more than it says
			l.idle = parseStatLine(p.read(l.stat), l.name)
		}
		most = max(most, float64(used-min(used, l.idle))/float64(limit))
	}
	return most
}

// read is the text of a file, which the next read overwrites; none if there is no such file.
func (p *systemPressure) read(f *os.File) []byte {
	if f == nil {
		return nil
	}
	n, _ := f.ReadAt(p.text[:], 0)
	return p.text[:n]
}
