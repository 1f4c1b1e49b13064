package limits

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGroupsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		text        string
		cpu, memory []string
	}{
		"version 2, a service": {
			"0::/system.slice/lt.service\n",
			[]string{"/m/system.slice/lt.service", "/m/system.slice", "/m"},
			[]string{"/m/system.slice/lt.service", "/m/system.slice", "/m"},
		},
		"version 2, a container": {"0::/\n", []string{"/m"}, []string{"/m"}},
		"outside the namespace":  {"0::/../../user.slice\n", []string{"/m/user.slice", "/m"}, []string{"/m/user.slice", "/m"}},
		"first version": {
			"12:cpu,cpuacct:/docker/ab12\n11:memory:/docker/ab12\n1:name=systemd:/docker/ab12\n",
			[]string{"/m/cpu/docker/ab12", "/m/cpu/docker", "/m/cpu"},
			[]string{"/m/memory/docker/ab12", "/m/memory/docker", "/m/memory"},
		},
		"both": {
			"4:memory:/api/1f\n2:cpuacct:/\n1:cpu:/\n0::/\n",
			[]string{"/m/cpu"},
			[]string{"/m/memory/api/1f", "/m/memory/api", "/m/memory"},
		},
		"both, no memory":       {"1:cpu:/a\n0::/b\n", []string{"/m/cpu/a", "/m/cpu"}, []string{"/m/b", "/m"}},
		"a path with colons":    {"0::/a:b\n", []string{"/m/a:b", "/m"}, []string{"/m/a:b", "/m"}},
		"nothing":               {"", []string{"/m"}, []string{"/m"}},
		"nonsense":              {"x\n:\n::\n", []string{"/m"}, []string{"/m"}},
		"cpu is not cpuacct":    {"2:cpuacct,cpuset:/a\n0::/\n", []string{"/m"}, []string{"/m"}},
		"no line end":           {"0::/x", []string{"/m/x", "/m"}, []string{"/m/x", "/m"}},
		"a path without a root": {"0::x", []string{"/m/x", "/m"}, []string{"/m/x", "/m"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := parseGroups("/m", []byte(c.text))
			if d := cmp.Diff(c.cpu, g.cpu); d != "" {
				t.Errorf("cpu (-want +got):\n%s", d)
			}
			if d := cmp.Diff(c.memory, g.memory); d != "" {
				t.Errorf("memory (-want +got):\n%s", d)
			}
		})
	}
}

// tree writes a folder of control files.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestTheTightestGroupHolds(t *testing.T) {
	const two = "0::/a/b\n"
	for name, c := range map[string]struct {
		cgroup string
		files  map[string]string
		cores  float64
		memory uint64
	}{
		"no limit":           {two, map[string]string{"a/b/cpu.max": "max 100000\n", "a/b/memory.max": "max\n"}, 0, 0},
		"its own":            {two, map[string]string{"a/b/cpu.max": "150000 100000\n", "a/b/memory.max": "536870912\n"}, 1.5, 512 << 20},
		"the one around it":  {two, map[string]string{"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "200000 100000\n", "a/memory.max": "1024\n", "a/b/memory.max": "2048\n"}, 0.5, 1024},
		"the host's path":    {two, map[string]string{"cpu.max": "100000 100000\n", "memory.max": "4096\n"}, 1, 4096},
		"nothing is mounted": {two, nil, 0, 0},
		"first version": {"2:cpu,cpuacct:/d\n1:memory:/d\n", map[string]string{
			"cpu/d/cpu.cfs_quota_us": "250000\n", "cpu/d/cpu.cfs_period_us": "100000\n", "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n",
			"memory/d/memory.limit_in_bytes": "1073741824\n", "memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 2.5, 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			g := parseGroups(tree(t, c.files), []byte(c.cgroup))
			if got := g.quota(); got != c.cores {
				t.Errorf("%g cores, want %g", got, c.cores)
			}
			if got := g.limit(); got != c.memory {
				t.Errorf("%d bytes, want %d", got, c.memory)
			}
		})
	}
}

func TestThrottling(t *testing.T) {
	root := tree(t, map[string]string{
		"a/b/cpu.stat": "usage_usec 1093826\nuser_usec 802163\nsystem_usec 291663\nnr_periods 120\nnr_throttled 7\nthrottled_usec 41000\nnr_bursts 0\nburst_usec 0\n",
		"cpu.stat":     "usage_usec 1\nnr_periods 9\nnr_throttled 9\n",
	})
	if throttled, periods := parseGroups(root, []byte("0::/a/b\n")).throttling(); throttled != 7 || periods != 120 {
		t.Errorf("%d of %d, want 7 of 120", throttled, periods)
	}
	// A group without a quota of its own counts nothing, and the one around it may have one.
	slice := tree(t, map[string]string{"a/b/cpu.stat": "usage_usec 5\nuser_usec 5\nsystem_usec 0\n", "a/cpu.stat": "usage_usec 5\nnr_periods 30\nnr_throttled 20\n"})
	if throttled, periods := parseGroups(slice, []byte("0::/a/b\n")).throttling(); throttled != 20 || periods != 30 {
		t.Errorf("%d of %d, want 20 of 30", throttled, periods)
	}
	if throttled, periods := parseGroups(root, []byte("0::/elsewhere\n")).throttling(); throttled != 9 || periods != 9 {
		t.Errorf("%d of %d, want those of the root", throttled, periods)
	}
	if throttled, periods := parseCPUStat([]byte("nr_periods 3\nnr_throttled 2\nthrottled_time 41000000\n")); throttled != 2 || periods != 3 {
		t.Errorf("first version: %d of %d, want 2 of 3", throttled, periods)
	}
}

// The kernel ends a process by what its group has used in all, so that is what counts, without what would be given back.
func TestMemoryPressure(t *testing.T) {
	for name, c := range map[string]struct {
		cgroup string
		files  map[string]string
		want   float64
	}{
		"its own": {"0::/a\n", map[string]string{
			"a/memory.max": "1000\n", "a/memory.current": "900\n", "a/memory.stat": "anon 400\nfile 500\ninactive_file 300\nactive_file 200\n",
		}, 0.6},
		"the one around it is nearer": {"0::/a/b\n", map[string]string{
			"a/memory.max": "2000\n", "a/memory.current": "1800\n", "a/memory.stat": "inactive_file 0\n",
			"a/b/memory.max": "1000\n", "a/b/memory.current": "500\n", "a/b/memory.stat": "inactive_file 0\n",
		}, 0.9},
		"first version": {"1:memory:/d\n", map[string]string{
			"memory/d/memory.limit_in_bytes": "1000\n", "memory/d/memory.usage_in_bytes": "800\n",
			"memory/d/memory.stat": "inactive_file 1\ntotal_inactive_file 50\n",
		}, 0.75},
		"no limit":          {"0::/a\n", map[string]string{"a/memory.max": "max\n", "a/memory.current": "900\n"}, 0},
		"files not counted": {"0::/a\n", map[string]string{"a/memory.max": "1000\n", "a/memory.current": "900\n"}, 0.9},
		"more idle than used": {"0::/a\n", map[string]string{
			"a/memory.max": "1000\n", "a/memory.current": "900\n", "a/memory.stat": "inactive_file 901\n",
		}, 0},
		"nothing told": {"0::/a\n", nil, 0},
	} {
		var p systemPressure
		p.watch(parseGroups(tree(t, c.files), []byte(c.cgroup)))
		if got := p.groups(); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %g, want %g", name, got, c.want)
		}
		p.close()
	}
}

// What the kernel would give back costs much to ask for, so it is asked for where it matters: above half of the limit.
func TestPressureFollowsTheGroup(t *testing.T) {
	root := tree(t, map[string]string{"a/memory.max": "1000\n", "a/memory.current": "400\n", "a/memory.stat": "inactive_file 100\n"})
	var p systemPressure
	p.watch(parseGroups(root, []byte("0::/a\n")))
	defer p.close()
	for _, c := range []struct {
		file, text string
		want       float64
	}{{"stat", "inactive_file 200\n", 0.3}, {"current", "600\n", 0.4}, {"current", "300\n", 0.1}, {"max", "600\n", 0.1 / 0.6}, {"max", "max\n", 0}, {"max", "500\n", 0.2}} {
		if err := os.WriteFile(filepath.Join(root, "a", "memory."+c.file), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := p.groups(); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s is %q: %g, want %g", c.file, c.text, got, c.want)
		}
	}
}

func TestParseQuota(t *testing.T) {
	for text, want := range map[string]float64{
		"max 100000\n": 0, "50000 100000\n": 0.5, "200000 100000": 2, "-1 100000": 0, "-1\n 100000\n": 0, "": 0, "5": 0, "5 0": 0,
		"x y": 0, "1 2 3": 0, "NaN 1": 0, "Inf 1": 0, "1e9 1": 0,
	} {
		if got := parseQuota([]byte(text)); got != want {
			t.Errorf("parseQuota(%q) = %g, want %g", text, got, want)
		}
	}
}

// A path from the kernel never leads out of the mount, and no number is out of its range.
func FuzzGroupFiles(f *testing.F) {
	for _, s := range []string{
		"12:cpu,cpuacct:/docker/ab12\n11:memory:/docker/ab12\n", "0::/../../x\n", "0::\n", "1:cpu:..\n",
		"150000 100000\n", "max 100000\n", "9223372036854771712\n", "nr_periods 3\nnr_throttled 2\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		g := parseGroups("/m", text)
		for _, dirs := range [][]string{g.cpu, g.memory} {
			if len(dirs) == 0 {
				t.Fatal("no folder at all")
			}
			for _, d := range dirs {
				if d != "/m" && !strings.HasPrefix(d, "/m/") || d != filepath.Clean(d) {
					t.Fatalf("%q leaves the mount", d)
				}
			}
		}
		if q := parseQuota(text); !(q >= 0) || q > 1<<63 {
			t.Fatalf("quota %g", q)
		}
		if l := parseLimit(text); l >= 1<<60 {
			t.Fatalf("limit %d", l)
		}
		parseCPUStat(text)
	})
}
