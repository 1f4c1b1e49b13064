package shop

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Bounds of a Config: what one process can hold in memory with room to spare. A waiting request is a goroutine and a
// connection, some 15 KiB.
const (
	maxServers = 1 << 16
	maxQueue   = 1 << 20
	maxStalls  = 1000
	maxStall   = 24 * time.Hour
)

// Config says what the target can do. The zero value is one server without a waiting room that serves in no time.
type Config struct {
	Service Distribution // how long a request occupies a server
	Servers int          // requests served at a time, 1..65536; 0 means 1
	Queue   int          // requests that may wait, 0..1048576; the next one is refused with 503 at once
	Errors  float64      // share of served requests answered with 500, 0..1
	Seed    uint64       // equal seeds and requests: equal service times, errors and tokens
	Stalls  []Stall      // planned stalls, in any order
}

// Stall is a time in which the servers stand still: nothing departs in [At, At+For), what is being served goes on after
// it, and the backlog is then worked off.
type Stall struct {
	At  time.Duration // since the first request of the Epoch
	For time.Duration
}

// ParseStall reads "10s+2s": 10 s after the first request, for 2 s.
func ParseStall(text string) (Stall, error) {
	at, length, ok := strings.Cut(strings.TrimSpace(text), "+")
	if !ok {
		return Stall{}, fmt.Errorf("stall %q: the length is missing; write 10s+2s for 2 s beginning 10 s after the first request", text)
	}
	var s Stall
	var err error
	if s.At, err = parseDuration(strings.TrimSpace(at)); err != nil {
		return Stall{}, fmt.Errorf("stall %q: beginning: %w", text, err)
	}
	if s.For, err = parseDuration(strings.TrimSpace(length)); err != nil {
		return Stall{}, fmt.Errorf("stall %q: length: %w", text, err)
	}
	if err := s.validate(); err != nil {
		return Stall{}, fmt.Errorf("stall %q: %w", text, err)
	}
	return s, nil
}

// String prints what ParseStall reads.
func (s Stall) String() string { return s.At.String() + "+" + s.For.String() }

func (s Stall) validate() error {
	switch {
	case s.At < 0:
		return errors.New("it cannot begin before the first request")
	case s.For <= 0:
		return errors.New("its length must be above 0; write 10s+2s for 2 s")
	case s.At > maxStall || s.For > maxStall:
		return fmt.Errorf("beginning and length are at most %v", maxStall)
	}
	return nil
}

// Validate reports every problem at once, joined; nil if there is none.
func (c Config) Validate() error {
	var problems []error
	if err := c.Service.validate(); err != nil {
		problems = append(problems, fmt.Errorf("service time %v: %w", c.Service, err))
	}
	if c.Servers < 0 || c.Servers > maxServers {
		problems = append(problems, fmt.Errorf("servers %d: give 1 to %d", c.Servers, maxServers))
	}
	if c.Queue < 0 || c.Queue > maxQueue {
		problems = append(problems, fmt.Errorf("queue %d: give 0 (nobody waits) to %d", c.Queue, maxQueue))
	}
	if !(c.Errors >= 0 && c.Errors <= 1) { // written so that NaN is refused too
		problems = append(problems, fmt.Errorf("errors %v: give a share of 0 to 1, such as 0.01 for one in a hundred", c.Errors))
	}
	if len(c.Stalls) > maxStalls {
		problems = append(problems, fmt.Errorf("%d stalls: at most %d", len(c.Stalls), maxStalls))
	}
	for _, s := range c.Stalls {
		if err := s.validate(); err != nil {
			problems = append(problems, fmt.Errorf("stall %v: %w", s, err))
		}
	}
	sorted := c.sortedStalls()
	for i := 1; i < len(sorted); i++ {
		if sorted[i].At < sorted[i-1].At+sorted[i-1].For {
			problems = append(problems, fmt.Errorf("stalls %v and %v overlap; join them into one", sorted[i-1], sorted[i]))
		}
	}
	return errors.Join(problems...)
}

func (c Config) sortedStalls() []Stall {
	sorted := slices.Clone(c.Stalls)
	slices.SortFunc(sorted, func(a, b Stall) int { return cmp.Compare(a.At, b.At) })
	return sorted
}

func (c Config) servers() int { return max(c.Servers, 1) }

// Capacity is how many requests a second the target can serve: servers / mean service time; +Inf without service time.
func (c Config) Capacity() float64 {
	mean := c.Service.Mean().Seconds()
	if mean == 0 {
		return math.Inf(1)
	}
	return float64(c.servers()) / mean
}

// String is the target in words, for the line that announces it.
func (c Config) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, each request served for %v, up to %d waiting", plural(c.servers(), "server"), c.Service, c.Queue)
	if capacity := c.Capacity(); !math.IsInf(capacity, 1) {
		form := ": %.4g requests/s"
		if capacity >= 10_000 {
			form = ": %.0f requests/s" // no exponent
		}
		fmt.Fprintf(&b, form, capacity)
	}
	if c.Errors > 0 {
		fmt.Fprintf(&b, ", %.3g %% of them answered with 500", 100*c.Errors)
	}
	for _, s := range c.sortedStalls() {
		fmt.Fprintf(&b, ", standing still for %v after %v", s.For, s.At)
	}
	return b.String()
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Demo is the target of the shipped demo scenario, and a sensible target where nothing else is asked for: 220 requests a
// second, about 0.6 of the demo's peak. Four servers keep the median flat up to near the capacity; a full queue is
// worth 0.55 s of waiting, long enough to be seen and short enough to be gone soon after the peak.
func Demo() Config {
	return Config{
		Service: Distribution{Kind: LogNormal, A: 18182 * time.Microsecond, B: 9 * time.Millisecond},
		Servers: 4,
		Queue:   120,
		Seed:    1,
	}
}
