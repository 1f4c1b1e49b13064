package peer

import (
	"fmt"
	"syscall"
	"time"

	"lt/peer/boot"
)

// held is what a source had of its machine's memory when it last reported, in bytes.
type held struct {
	resident, limit uint64        // limit 0: not known
	at              time.Duration // run time
}

// nearLimit is the share of what a process may have from which on its memory is likely why a signal ended it. Its heap is held to 80 %
// of that, so what is above cannot be collected.
const nearLimit = 0.8

func (h *held) near() bool { return h.limit > 0 && float64(h.resident) >= nearLimit*float64(h.limit) }

// memory says what a source last held at a time, as a sentence goes on; empty: it has not said.
func (f *Fleet) memory(s *source, at time.Time) string {
	h := &s.held
	if h.resident == 0 {
		return ""
	}
	text := "it last had " + size(h.resident) + " resident"
	if h.limit > 0 {
		text += " of the " + size(h.limit) + " that it may use"
	}
	return text + ", " + short(max(0, f.run(at)-h.at)) + " before"
}

// lostFor is why a source is lost. Where a signal may have ended its process it says of its memory what is known at once; more is known
// when its machine has been asked.
func (f *Fleet) lostFor(s *source, c Cause, now time.Time) string {
	memory := f.memory(s, now)
	if memory == "" || c.Signal != boot.Unnamed && c.Signal <= 0 {
		return c.Text
	}
	if c.Signal == killed && s.held.near() {
		memory = "memory is the likely cause: " + memory
	}
	return c.Text + "; " + memory
}

// killed is the signal by which the kernel ends a process for want of memory.
const killed = int(syscall.SIGKILL)

// explain says of a lost source, whose process is no more, what ended that, if more is known of it by now than when it was lost.
func (f *Fleet) explain(s *source, c Cause) {
	if s.lost.IsZero() || c.Signal == boot.Itself || c.Signal == 0 && c.Starved <= 0 {
		return
	}
	why := "its process is gone"
	memory := f.memory(s, s.lost)
	starved := c.Signal == killed || c.Signal <= 0 // it may have been the kernel, for want of memory
	switch {
	case c.Signal > 0:
		why = fmt.Sprintf("its process was ended by signal %d (%s)", c.Signal, syscall.Signal(c.Signal))
	case c.Signal == boot.Unnamed && c.Starved > 0:
		why = fmt.Sprintf("its process was ended by a signal (nobody says which; the kernel's is %d)", killed)
	case c.Signal == boot.Unnamed:
		why = "its process was ended by a signal (nobody says which)"
	}
	switch {
	case starved && c.Starved > 0:
		why += ", and memory is the likely cause: the kernel there ended " + processes(c.Starved) + " for want of it at about that time"
	case starved && c.Starved < 0 && s.held.near():
		why += ", and memory is the likely cause"
	case starved && c.Starved == 0:
		why += ", and not for want of memory as the kernel there counts"
		starved = false
	default:
		starved = false
	}
	if memory != "" {
		why += "; " + memory
	}
	if starved {
		why += "; try: more memory there, or a smaller weight for it"
	}
	s.reason = why
	if s.begun && s.m.State == "lost" {
		s.m.Reason = why
		f.show(s, "%s is gone: %s", s.name, why)
	}
}

func processes(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}
