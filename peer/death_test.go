package peer

import (
	"strings"
	"testing"
	"time"

	"lt/peer/boot"
	"lt/peer/wire"
)

// What a killed peer is lost by says what is known of it at once, and more when its machine has been asked: the signal, what the
// kernel counted, and how its memory stood. Nothing is said that nothing tells.
func TestSimSaysWhatEndedAPeer(t *testing.T) {
	const (
		had  = "it last had 40 MiB resident of the 100 MiB that it may use, 300 ms before"
		full = "it last had 85 MiB resident of the 100 MiB that it may use, 300 ms before"
		try  = "; try: more memory there, or a smaller weight for it"
	)
	for name, c := range map[string]struct {
		dies         Cause
		memory       uint64
		first, later string // the reason as it is lost, and once that is known; empty: the same
	}{
		"for want of memory, says the kernel": {
			Cause{Signal: 9, Starved: 1},
			40 << 20, "the connection broke; " + had,
			"its process was ended by signal 9 (killed), and memory is the likely cause: the kernel there ended 1 process for want of it at about that time; " + had + try,
		},
		"over ssh, which names no signal": {
			Cause{Signal: boot.Unnamed, Starved: 2},
			40 << 20, "the connection broke; " + had,
			"its process was ended by a signal (nobody says which; the kernel's is 9), and memory is the likely cause: the kernel there ended 2 processes for want of it at about that time; " + had + try,
		},
		"by somebody": {
			Cause{Signal: boot.Unnamed},
			85 << 20, "the connection broke; " + full,
			"its process was ended by a signal (nobody says which), and not for want of memory as the kernel there counts; " + full,
		},
		"near its limit, where no kernel counts": {
			Cause{Signal: 9, Starved: -1},
			85 << 20, "the connection broke; memory is the likely cause: " + full,
			"its process was ended by signal 9 (killed), and memory is the likely cause; " + full + try,
		},
		"far from its limit, where no kernel counts": {
			Cause{Signal: 9, Starved: -1}, 40 << 20, "the connection broke; " + had, "its process was ended by signal 9 (killed); " + had,
		},
		"by another signal": {
			Cause{Signal: 15, Starved: 1}, 85 << 20, "the connection broke; " + full, "its process was ended by signal 15 (terminated); " + full,
		},
		"and what carried it too": {
			Cause{Starved: 1},
			40 << 20, "the connection broke",
			"its process is gone, and memory is the likely cause: the kernel there ended 1 process for want of it at about that time; " + had + try,
		},
		"by itself, while the machine killed another": {Cause{Signal: boot.Itself, Starved: 1}, 85 << 20, "the connection broke", ""},
		"and nobody knows how":                        {Cause{Starved: -1}, 85 << 20, "the connection broke", ""},
		"and it never told of its memory":             {Cause{Signal: 9, Starved: -1}, 0, "the connection broke", "its process was ended by signal 9 (killed)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, minute, []string{"a", "b"}, func(s *simulation, _ *Config) {
				h := s.host("b")
				h.dies, h.memory = c.dies, c.memory
				s.at(20*time.Second+300*time.Millisecond, func() {
					s.set(func() { h.refuses = true })
					s.kill("b")
				})
			})
			v := s.check(t)
			if n := said(v, "b is lost: "+c.first+"; up to "); n != 1 {
				t.Errorf("%q was said %d times: %q", c.first, n, v.events)
			}
			want, events := c.later, 1
			if want == "" {
				want, events = c.first, 0
			}
			if got := v.members["b"]; got.State != "lost" || got.Reason != want {
				t.Errorf("it is %s: %q, want %q", got.State, got.Reason, want)
			}
			if n := said(v, "b is gone: "+want); n != events || said(v, "b is gone: ") != events {
				t.Errorf("that it is gone was said %d times: %q", n, v.events)
			}
		})
	}
}

// Another run on a peer's machine is warned of before the start, once for all peers there and once for a peer that joins.
func TestSimOtherRunsAreWarnedOf(t *testing.T) {
	s := simulate(t, minute, []string{"a", "b", "c"}, func(s *simulation, _ *Config) {
		s.host("a").others = []wire.OtherRun{{Run: "1f", PID: 40, Age: 3 * time.Second}, {Run: "2e", PID: 50, Age: time.Second}}
		s.host("b").others = []wire.OtherRun{{Run: "1f", PID: 40, Age: 3 * time.Second}, {Run: "1f", PID: 41, Age: 2 * time.Second}}
		s.host("a").machine, s.host("b").machine = "one", "one"
		s.host("d").others = []wire.OtherRun{{Run: "1f", PID: 7, Age: time.Minute}}
		s.at(10*time.Second, func() {
			if err := s.fleet.Add("d"); err != nil {
				t.Error(err)
			}
		})
	})
	v := s.check(t)
	const told = "; the two share its processors, which the figures of both may show; try: one after the other, or other machines"
	for _, want := range []string{
		"a and b: another run is active there (1f: 2 processes, one of them 40, for 3.0 s)" + told,
		"a: another run is active there (2e: process 50, for 1.0 s)" + told,
		"d: another run is active there (1f: process 7, for 60 s)" + told,
	} {
		if said(v, want) != 1 {
			t.Errorf("%q was said %d times", want, said(v, want))
		}
	}
	if n := said(v, "another run"); n != 3 {
		t.Errorf("it was said %d times: %q", n, v.events)
	}
	before := true
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.reports {
		before = before && !r.Begun
		if strings.HasPrefix(r.Text, "a") && strings.Contains(r.Text, "another run") && !before {
			t.Errorf("%q was said after the start", r.Text)
		}
	}
}
