package limits

import (
	"os"
	"path/filepath"
	"testing"
)

// Who was ended for want of memory is counted where it was: what happens to other groups of the machine is not taken for it as long
// as the own group, or one around it, is still there to be asked.
func TestStarvedIsCountedInTheOwnGroup(t *testing.T) {
	for name, c := range map[string]struct {
		cgroup string
		before map[string]string
		after  map[string]string // "": the group is gone
		want   int
	}{
		"version 2": {"0::/u/s\n", map[string]string{"u/s/memory.events": "oom_kill 1\n", "u/memory.events": "oom_kill 5\n"}, map[string]string{"u/s/memory.events": "oom_kill 2\n", "u/memory.events": "oom_kill 9\n"}, 1},
		"none of ours": {
			"0::/u/s\n",
			map[string]string{"u/s/memory.events": "max 3\noom 1\noom_kill 1\noom_group_kill 7\n", "u/memory.events": "oom_kill 5\n"},
			map[string]string{"u/memory.events": "oom_kill 9\n"},
			0,
		},
		"the own group went with its process": {
			"0::/u/s\n",
			map[string]string{"u/s/memory.events": "oom_kill 1\n", "u/memory.events": "oom_kill 5\n"},
			map[string]string{"u/s/memory.events": "", "u/memory.events": "oom_kill 7\n"},
			2,
		},
		"version 1": {
			"4:memory:/u/s\n",
			map[string]string{"memory/u/s/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "memory/u/memory.oom_control": "oom_kill 5\n"},
			map[string]string{"memory/u/s/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"},
			3,
		},
	} {
		root := tree(t, c.before)
		before := starvedSoFar(parseGroups(root, []byte(c.cgroup)))
		for file, text := range c.after {
			file = filepath.Join(root, file)
			if text == "" {
				if err := os.RemoveAll(filepath.Dir(file)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if n, ok := StarvedSince(before); n != c.want || !ok {
			t.Errorf("%s: %d, %v, want %d of %+v", name, n, ok, c.want, before)
		}
	}
	if n, ok := StarvedSince([]Starved{{filepath.Join(t.TempDir(), "none"), 0}}); ok {
		t.Errorf("%d of a group that is gone", n)
	}
	if n, ok := StarvedSince(nil); ok {
		t.Errorf("%d of nothing", n)
	}
	// In the first version a group around the own one says nothing of it, and a file without the count none.
	before := starvedSoFar(parseGroups(tree(t, map[string]string{"memory/u/memory.oom_control": "oom_kill 5\n", "memory/u/s/memory.oom_control": "oom_kill_disable 0\n"}), []byte("4:memory:/u/s\n")))
	for _, b := range before {
		if b.File != machineStarved {
			t.Errorf("counted by %s", b.File)
		}
	}
}
