package limits

import (
	"encoding/json"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestCoresAreWithinTheMachine(t *testing.T) {
	if c := Cores(); !(c > 0) || c > float64(runtime.NumCPU()) {
		t.Errorf("Cores() = %g of %d", c, runtime.NumCPU())
	}
}

func TestMemoryHeedsTheRuntimesLimit(t *testing.T) {
	before, old := Memory(), heapLimit
	defer func() { heapLimit = old }()
	heapLimit = 100 << 20
	if got := Memory(); got > 100<<20 || got == 0 || before > 0 && got > before {
		t.Errorf("Memory() = %d with a limit of 100 MiB, %d before", got, before)
	}
}

// The heap is bound below what may be used, which stays what it was; a bound of the user's is not touched.
func TestBoundHeap(t *testing.T) {
	old, asked := debug.SetMemoryLimit(-1), heapLimit
	defer func() { debug.SetMemoryLimit(old); heapLimit = asked }()
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	t.Setenv("GOGC", "")
	debug.SetMemoryLimit(math.MaxInt64)
	heapLimit = math.MaxInt64
	may := Memory()
	if may == 0 {
		t.Skip("this system does not tell how much memory there is")
	}
	BoundHeap()
	if got := debug.SetMemoryLimit(-1); got <= 0 || uint64(got) >= may || Memory() != may {
		t.Errorf("the heap is bound to %d of %d bytes, and %d may be used then", got, may, Memory())
	}
	if got := debug.SetGCPercent(100); got != garbagePercent {
		t.Errorf("garbage is collected at %d %%", got)
	}
	heapLimit = 100 << 20
	debug.SetMemoryLimit(heapLimit)
	t.Setenv("GOGC", "70")
	debug.SetGCPercent(70)
	BoundHeap()
	if got := debug.SetMemoryLimit(-1); got != 100<<20 {
		t.Errorf("GOMEMLIMIT of 100 MiB became %d", got)
	}
	if got := debug.SetGCPercent(100); got != 70 {
		t.Errorf("GOGC of 70 became %d", got)
	}
}

func TestLeast(t *testing.T) {
	for _, c := range []struct{ a, b, want uint64 }{{0, 0, 0}, {5, 0, 5}, {0, 5, 5}, {3, 5, 3}, {5, 3, 3}} {
		if got := least(c.a, c.b); got != c.want {
			t.Errorf("least(%d, %d) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestRaiseFilesReachesTheHardLimit(t *testing.T) {
	raised, err := RaiseFiles()
	if err != nil {
		t.Fatal(err)
	}
	soft, hard, err := Files()
	if err != nil || soft != hard || raised != soft {
		t.Errorf("RaiseFiles() = %d; soft %d, hard %d, %v", raised, soft, hard, err)
	}
	if again, err := RaiseFiles(); err != nil || again != raised {
		t.Errorf("a second time: %d, %v; want %d", again, err, raised)
	}
}

func TestFactsOfThisMachine(t *testing.T) {
	h := Facts()
	if h.OS != runtime.GOOS || h.Arch != runtime.GOARCH || h.Go != runtime.Version() || h.CPUs < 1 || h.Cores <= 0 {
		t.Errorf("facts %+v", h)
	}
	if h.PortHigh < h.PortLow || h.FilesSoft > h.FilesHard {
		t.Errorf("ranges are the wrong way round: %+v", h)
	}
	if h.Kernel == "" || h.Memory == 0 {
		t.Errorf("the kernel or the memory is unknown: %+v", h)
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var back Host
	if err := json.Unmarshal(text, &back); err != nil || back != h {
		t.Errorf("facts do not survive JSON: %s, %v", text, err)
	}
}

func TestCheckUsesThisMachine(t *testing.T) {
	if got := Check(Need{Connections: 1, Users: 1, BytesPerUser: 1}); len(got) > 1 { // a fraction of a core may be told
		t.Errorf("one user is too much: %+v", got)
	}
	if got := Check(Need{Users: math.MaxInt32, BytesPerUser: 1 << 20}); len(got) == 0 || got[0].Severity != Stop {
		t.Errorf("2 PiB of users are fine: %+v", got)
	}
}
