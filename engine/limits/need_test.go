package limits

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// small is a machine whose every limit is known.
var small = Host{
	OS: "linux", CPUs: 4, Cores: 4, Memory: 8 << 30, MemLimit: 8 << 30,
	FilesSoft: 20_000, FilesHard: 20_000, PortLow: 32768, PortHigh: 60999,
	Tracked: 65_536, LinkSpeed: 125e6,
}

func TestFindings(t *testing.T) {
	pod := small
	pod.Container, pod.FilesHard, pod.MemLimit, pod.Cores = "docker", 1024, 1<<30, 0.5
	mac := small
	mac.OS, mac.FilesHard, mac.Tracked = "darwin", 10_240, 0
	wide := small
	wide.PortLow, wide.Tracked, wide.FilesHard = 1024, 0, 1<<20
	open := small
	open.Tracked = 0
	reuse := open
	reuse.TimeWaitReuse = 1
	local := open
	local.TimeWaitReuse = 2

	for name, c := range map[string]struct {
		need Need
		host Host
		want string // severity: words of the text | words of the remedy; a line a finding
	}{
		"a modest run":           {Need{Connections: 500, Users: 500, BytesPerUser: 512, Shards: 2, SourceIPs: 1, BandwidthBps: 1e6}, small, ""},
		"nothing":                {Need{}, small, ""},
		"an unknown machine":     {Need{Connections: 1e6, NewPerSecond: 1e6, Users: 1e6, BytesPerUser: 1e6, BandwidthBps: 1e12, Shards: 99}, Host{}, ""},
		"descriptors, nearly":    {Need{Connections: 15_000, SourceIPs: 2}, small, "warning: up to 15,000 connections at once, 20,000 files open | ulimit -n 22000"},
		"descriptors, the spare": {Need{Connections: 13_744}, small, ""}, // 14,000 with the spare ones: 70 % exactly
		"descriptors, one more":  {Need{Connections: 13_745}, small, "warning: 13,745 connections | ulimit"},
		"descriptors, beyond":    {Need{Connections: 19_745, SourceIPs: 2}, small, "stop: 19,745 connections | ulimit -n 29000"},
		"descriptors, container": {Need{Connections: 2_000}, func() Host { h := pod; h.Cores = 1; return h }(), "stop: 2,000 | --ulimit nofile=4000:4000"},
		"descriptors, mac":       {Need{Connections: 12_000}, mac, "stop: 12,000 | kern.maxfilesperproc=18000"},
		"descriptors unlimited":  {Need{Connections: 20_000}, wide, ""},
		"ports, kept": {
			Need{Connections: 30_000},
			func() Host { h := open; h.FilesHard = 1 << 20; return h }(),
			"stop: up to 30,000 connections at once to one destination, one source address has 28,232 local ports | --source-ip ip_local_port_range=\"1024 65535\"",
		},
		"ports, half": {
			Need{Connections: 14_117},
			func() Host { h := open; h.FilesHard = 1 << 20; return h }(),
			"warning: up to 14,117 connections at once to one destination, beyond half of them Linux looks for a free one | --source-ip",
		},
		"ports, not half":          {Need{Connections: 14_116}, func() Host { h := open; h.FilesHard = 1 << 20; return h }(), ""},
		"ports, two sources":       {Need{Connections: 28_000, SourceIPs: 2}, func() Host { h := open; h.FilesHard = 1 << 20; return h }(), ""},
		"ports, not kept":          {Need{NewPerSecond: 500}, open, "stop: 500 new connections a second, 1m0s need 30,000 ports one source address has 28,232 | connections: keep"},
		"ports, not kept, near":    {Need{NewPerSecond: 400}, open, "warning: need 24,000 ports | connections: keep"},
		"ports, not kept, few":     {Need{NewPerSecond: 300}, open, ""},
		"ports, not kept, sources": {Need{NewPerSecond: 1200, SourceIPs: 3}, open, "warning: 3 source addresses has 84,696"},
		"ports, reused":            {Need{NewPerSecond: 5000}, reuse, ""},
		"ports, reused here":       {Need{NewPerSecond: 5000, Loopback: true}, local, ""},
		"ports, reused elsewhere":  {Need{NewPerSecond: 5000}, local, "stop: 300,000 ports"},
		"ports, widest":            {Need{NewPerSecond: 2000}, wide, "stop: 59,976 | another source"},
		"packet filter":            {Need{NewPerSecond: 400}, small, "warning: 24,000 ports\nwarning: 48,000 connections in the packet filter's table, holds 65,536 | nf_conntrack_max=69000"},
		"memory":                   {Need{Users: 20_000_000, BytesPerUser: 512}, small, "stop: 20,000,000 users need about 9.6 GiB 8 GiB may be used | fewer users"},
		"memory of a container":    {Need{Users: 1_600_000, BytesPerUser: 512}, func() Host { h := pod; h.Cores = 2; return h }(), "warning: 1 GiB may be used | raise the memory limit the machine has 8 GiB"},
		"less than a core":         {Need{Shards: 1}, pod, "warning: 50 % of a core | raise the CPU limit"},
		"more shards than cores":   {Need{Shards: 8}, small, "warning: 8 shards for 4 cores |"},
		"bandwidth":                {Need{BandwidthBps: 250e6}, small, "stop: 238 MiB/s carries 119 MiB/s |"},
		"bandwidth within":         {Need{BandwidthBps: 250e6, Loopback: true}, small, ""},
		"worst first":              {Need{Connections: 15_000, SourceIPs: 2, Users: 1e9, BytesPerUser: 512}, small, "stop: memory\nwarning: 15,000 connections at once, 20,000 files"},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.need.against(c.host)
			var want []string
			if c.want != "" {
				want = strings.Split(c.want, "\n")
			}
			if len(got) != len(want) {
				t.Fatalf("%d findings, want %d: %+v", len(got), len(want), got)
			}
			for i, f := range got {
				severity, rest, _ := strings.Cut(want[i], ": ")
				text, remedy, _ := strings.Cut(rest, "|")
				if f.Severity != severities[severity] || !hasWords(f.Text, text) || !hasWords(f.Remedy, remedy) {
					t.Errorf("severity %d: %s\n  try: %s\nwant %s", f.Severity, f.Text, f.Remedy, want[i])
				}
			}
		})
	}
}

var severities = map[string]Severity{"note": Note, "warning": Warn, "stop": Stop}

// hasWords says whether all words stand in the text, in their order.
func hasWords(text, words string) bool {
	for w := range strings.FieldsSeq(words) {
		_, after, found := strings.Cut(text, w)
		if !found {
			return false
		}
		text = after
	}
	return true
}

// A larger need never has milder findings, and no figure makes the arithmetic fail.
func TestMoreIsNeverMilder(t *testing.T) {
	worst := func(fs []Finding) Severity {
		if len(fs) == 0 {
			return Note
		}
		return fs[0].Severity
	}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, most int) int { return rapid.IntRange(0, most).Draw(t, name) }
		n := Need{
			Connections: draw("connections", 100_000), NewPerSecond: float64(draw("new", 100_000)), Users: draw("users", 1e8),
			BytesPerUser: draw("bytes", 4096), BandwidthBps: float64(draw("bandwidth", 1e9)), Shards: draw("shards", 64),
			SourceIPs: draw("sources", 8),
		}
		m := n
		m.Connections += draw("more connections", 100_000)
		m.NewPerSecond += float64(draw("more new", 1000))
		m.Users += draw("more users", 1e8)
		m.Shards += draw("more shards", 8)
		if worst(m.against(small)) < worst(n.against(small)) {
			t.Fatalf("%+v is worse than %+v", n, m)
		}
		for _, f := range m.against(small) {
			if f.Text == "" || f.Remedy == "" || strings.Contains(f.Text, "%!") || strings.Contains(f.Remedy, "%!") {
				t.Fatalf("finding %+v", f)
			}
		}
	})
	for _, x := range []float64{math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, -1} {
		Need{NewPerSecond: x, BandwidthBps: x}.against(small)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 28232: "28,232", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	for x, want := range map[float64]string{0: "0", 0.5: "0.5", 1.256: "1.26", 10.4: "10", 12345.6: "12,346"} {
		if got := amount(x); got != want {
			t.Errorf("amount(%g) = %q, want %q", x, got, want)
		}
	}
	for b, want := range map[float64]string{0: "0 B", 1023: "1,023 B", 1536: "1.5 KiB", 1 << 30: "1 GiB", 1 << 60: "1,048,576 TiB"} {
		if got := size(b); got != want {
			t.Errorf("size(%g) = %q, want %q", b, got, want)
		}
	}
}
