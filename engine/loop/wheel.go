package loop

import (
	"math/bits"
	"time"
)

// tick is the wheel's resolution: the width of a slot. What a timer comes late for it counts as the target's response time, which may
// well be a tenth of a millisecond.
const tick = time.Millisecond / 16

const (
	levels     = 5                     // 8 bits of the tick number each
	levelSlots = 256                   // slots a level
	heads      = 1 + levels*levelSlots // list heads: index 0 is no node, then a slot each
	dueHead    = heads                 // head of the list of timers taken out to fire
	firstTimer = dueHead + 1           // node of the timer with id 0
	lastTick   = 1<<(8*levels) - 1     // 795 days after the epoch
	off        = lastTick + 1          // the tick on which what is cancelled is due
	wordBits   = 64                    // of the occupancy bitmaps
	words      = levelSlots / wordBits // of the bitmap of a level
)

// node is a place in a circular list: a head or a timer. next 0 means that the
// timer has no place, since no list contains node 0.
type node struct {
	next, prev uint32
	at         uint64 // tick of its place, not after due
	due        uint64 // tick on which the timer fires; off if it is cancelled
}

// wheel is a hierarchical timing wheel (Varghese and Lauck, "Hashed and
// Hierarchical Timing Wheels", 1987): 5 levels of 256 slots, 62.5 us a slot on
// the lowest, so all of 2^40 ticks is covered.
//
// A timer due on tick t lies on the level of the highest byte in which t and
// now differ, in the slot that this byte of t names. Hence on each level every
// occupied slot lies ahead of now's byte, all timers of a lower level are due
// before all of a higher one, and nothing ever wraps. When now reaches the
// first tick of a slot above level 0, its timers sink to the levels below.
//
// A timer that is cancelled or put off keeps its place, and is looked at when
// its place is reached: it then goes on to where it is due, or drops out. So the
// timeout of a request, which nearly every time is put off by the next one,
// touches no memory but its own node; to take it out of its list would touch four
// more, each of them cold where there are many users.
//
// Set and cancel cost a few memory accesses and never allocate once the table
// has grown to the highest id; a timer is 24 bytes.
type wheel struct {
	now    uint64 // every timer due before this tick has been taken out
	nodes  []node
	filled [levels][words]uint64 // which slots have timers
}

func (w *wheel) init() {
	w.nodes = make([]node, firstTimer, firstTimer+1024)
	for i := uint32(1); i < firstTimer; i++ {
		w.nodes[i].next, w.nodes[i].prev = i, i
	}
}

// tickAfter is the first tick not before d, so that a timer never fires early.
func tickAfter(d time.Duration) (uint64, bool) {
	if d <= 0 {
		return 0, true
	}
	n := d / tick
	if d%tick != 0 {
		n++
	}
	return uint64(n), n <= lastTick
}

// set makes timer id due at time d, wherever it was before. A d beyond the
// wheel's range leaves it not pending.
func (w *wheel) set(id uint32, d time.Duration) {
	due, ok := tickAfter(d)
	if !ok {
		w.cancel(id)
		return
	}
	i := id + firstTimer
	for uint32(len(w.nodes)) <= i {
		w.nodes = append(w.nodes, node{})
	}
	n := &w.nodes[i]
	n.due = max(due, w.now)
	if n.next != 0 {
		if n.at > w.now && n.at <= n.due {
			return
		}
		w.unlink(i)
	}
	w.insert(i)
}

// cancel makes timer id not pending.
func (w *wheel) cancel(id uint32) {
	i := id + firstTimer
	if uint32(len(w.nodes)) <= i {
		return
	}
	switch n := &w.nodes[i]; {
	case n.next == 0:
	case n.at > w.now:
		n.due = off
	default: // it may have been taken out to fire already
		w.unlink(i)
	}
}

// insert gives timer i the place where it is due.
func (w *wheel) insert(i uint32) {
	at := w.nodes[i].due
	w.nodes[i].at = at
	level := uint32(bits.Len64((at^w.now)|1)-1) / 8
	slot := uint32(at>>(8*level)) & (levelSlots - 1)
	w.filled[level][slot/wordBits] |= 1 << (slot % wordBits)
	w.append(1+level*levelSlots+slot, i)
}

func (w *wheel) append(head, i uint32) {
	last := w.nodes[head].prev
	w.nodes[i].next, w.nodes[i].prev = head, last
	w.nodes[last].next, w.nodes[head].prev = i, i
}

func (w *wheel) unlink(i uint32) {
	n := &w.nodes[i]
	next, prev := n.next, n.prev
	w.nodes[prev].next, w.nodes[next].prev = next, prev
	n.next, n.prev = 0, 0
	if next == prev && next < dueHead { // only the head is left
		slot := next - 1
		w.filled[slot/levelSlots][slot%levelSlots/wordBits] &^= 1 << (slot % wordBits)
	}
}

// first is the lowest occupied slot of the lowest occupied level: its head,
// the first tick it covers, and its level. ok is false when no timer pends.
func (w *wheel) first() (head uint32, at uint64, level uint32, ok bool) {
	for level = range uint32(levels) {
		for i, word := range w.filled[level] {
			if word == 0 {
				continue
			}
			slot := uint32(i*wordBits + bits.TrailingZeros64(word))
			shift := 8 * level
			at = w.now&^(1<<(shift+8)-1) | uint64(slot)<<shift
			return 1 + level*levelSlots + slot, at, level, true
		}
	}
	return 0, 0, 0, false
}

// next is when the wheel wants to be advanced next, Never if no timer has a
// place. It may be before the first timer is due: then timers sink, go on to
// where they are due, or drop out.
func (w *wheel) next() time.Duration {
	if w.nodes[dueHead].next != dueHead {
		return 0
	}
	_, at, _, ok := w.first()
	if !ok {
		return Never
	}
	return time.Duration(at) * tick
}

// advance takes out every timer due at time d, in the order of their ticks;
// pop then gives them one by one.
func (w *wheel) advance(d time.Duration) {
	to := uint64(min(max(d/tick, 0), lastTick))
	for {
		head, at, level, ok := w.first()
		if !ok || at > to {
			break
		}
		w.now = max(w.now, at)
		for i := w.nodes[head].next; i != head; i = w.nodes[head].next {
			w.unlink(i)
			switch due := w.nodes[i].due; {
			case due == off:
			case level == 0 && due <= at:
				w.append(dueHead, i)
			default:
				w.insert(i)
			}
		}
	}
	w.now = max(w.now, to)
}

// pop gives the next timer that advance took out. A timer cancelled or set
// again since then is not given.
func (w *wheel) pop() (id uint32, ok bool) {
	i := w.nodes[dueHead].next
	if i == dueHead {
		return 0, false
	}
	w.unlink(i)
	return i - firstTimer, true
}
