package limits

import "runtime/metrics"

// Pressure tells how near memory is to its limit. It is made to be asked ten times a second: it costs some ten microseconds where no
// group has used half of what it may, less than a hundred where one has, and allocates nothing. It is not safe for concurrent use.
type Pressure struct {
	own     uint64 // the most bytes that this process may have, of the machine's memory and GOMEMLIMIT; 0: unknown
	runtime []metrics.Sample
	system  systemPressure
}

// OpenPressure opens what it reads; Close gives that back.
func OpenPressure() *Pressure {
	p := &Pressure{own: ownMemory(), runtime: []metrics.Sample{{Name: heldBytes}, {Name: returnedBytes}}}
	p.system.open()
	return p
}

// Close ends it.
func (p *Pressure) Close() { p.system.close() }

// Share is how much of the nearest limit is used, 0..1: of this process's own, or of a control group's, in which everything counts
// that runs there. Where the system does not tell, it is zero.
func (p *Pressure) Share() float64 {
	share := p.system.groups()
	if p.own > 0 {
		used, ok := p.system.resident()
		if !ok {
			metrics.Read(p.runtime)
			used = held(p.runtime[0].Value, p.runtime[1].Value)
		}
		share = max(share, float64(used)/float64(p.own))
	}
	return share
}
