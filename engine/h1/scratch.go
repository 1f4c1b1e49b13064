package h1

import "math"

// DefaultHeadBytes is the bound on heads where Limits gives none: 64 KiB, eight times what common servers send at
// most, and little enough that a peer which never ends its head costs next to nothing.
const DefaultHeadBytes = 64 << 10

// Limits bounds what an answer may cost. The zero value stands for the defaults.
type Limits struct {
	// HeadBytes bounds the status line and fields of the final head together with those of all interim (1xx) heads
	// before it; and, apart from that, chunk extensions and trailers together. Bytes; 0 or less is DefaultHeadBytes.
	HeadBytes int
}

// headBytes is the bound that holds; it fits in the Parser's 32-bit count.
func (l Limits) headBytes() int {
	if l.HeadBytes <= 0 {
		return DefaultHeadBytes
	}
	return min(l.HeadBytes, math.MaxInt32)
}

// Scratch is what the parsers of one shard share: the head read last and buffers for heads that are cut by reads.
// The zero value is ready; Limits may be set before first use. It must not be copied once used, and every Parser
// stays with the Scratch it began with.
type Scratch struct {
	Limits Limits
	// Head is the head that the last Informational or HeadEnd event was about.
	Head Head

	seen  familiar
	parts []part  // by Parser.part - 1
	free  []int32 // indices into parts that no parser holds
}

// part is a head of which only a beginning has come.
type part struct {
	raw  []byte // from the status line on; ours, so that folds can be undone in place
	head Head   // what the lines up to head.pos say
}

const (
	// keptBuffers and keptBytes bound the memory that buffers between exchanges hold: 64 x 8 KiB a shard.
	keptBuffers = 64
	keptBytes   = 8 << 10
)

// take gives the number (from 1) of an empty part.
func (sc *Scratch) take() int32 {
	if last := len(sc.free) - 1; last >= 0 {
		i := sc.free[last]
		sc.free = sc.free[:last]
		return i + 1
	}
	sc.parts = append(sc.parts, part{})
	return int32(len(sc.parts))
}

// release takes part number (from 1) back. Its bytes stay readable until the next take.
func (sc *Scratch) release(number int32) {
	i := number - 1
	pt := &sc.parts[i]
	pt.head = Head{}
	pt.raw = pt.raw[:0]
	if cap(pt.raw) > keptBytes || len(sc.free) >= keptBuffers {
		pt.raw = nil
	}
	sc.free = append(sc.free, i)
	if len(sc.free) == len(sc.parts) && len(sc.parts) > keptBuffers {
		// A burst is over and no parser holds a number: forget its table too.
		sc.parts, sc.free = nil, nil
	}
}
