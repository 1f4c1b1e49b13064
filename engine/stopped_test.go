//go:build unix

package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// generatorEnv makes the test binary a generator of load against the URL it holds; rampEnv lets that be a ramp of users.
const (
	generatorEnv = "LT_TEST_GENERATOR"
	rampEnv      = "LT_TEST_RAMP"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(generatorEnv); url != "" {
		os.Exit(generate(url))
	}
	os.Exit(m.Run())
}

const (
	stoppedRate = 200.0
	stoppedFor  = 9 * time.Second
	// rampedRate is how many users a second come, each for one request.
	rampedRate = 50.0
)

// counted is what the generator tells when it has ended.
type counted struct {
	Scheduled, Requests, Dropped, Stalled, Failed uint64
	Seconds                                       []uint64 // arrivals by second
	Notes                                         []string
	LagMax                                        time.Duration
}

// generate makes the load and prints what it counted.
func generate(url string) int {
	f := get(even(stoppedRate, stoppedFor))
	if os.Getenv(rampEnv) != "" {
		f = get(ramp(rampedRate*stoppedFor.Seconds(), stoppedFor))
		f.Scenarios[0].Steps[0].Think = constant(time.Hour)
	}
	f.Target = url
	var o outcome
	e, err := engineFor(f, nil, &o)
	if err != nil {
		return 1
	}
	if err := e.Run(context.Background(), time.Now()); err != nil {
		return 1
	}
	c := counted{Scheduled: o.scheduled, Requests: o.requests, Dropped: o.dropped, Stalled: o.stalled, Failed: o.failed, LagMax: o.lag.Max(), Notes: o.notes}
	for _, iv := range o.intervals {
		c.Seconds = append(c.Seconds, iv.Scheduled)
	}
	if json.NewEncoder(os.Stdout).Encode(c) != nil {
		return 1
	}
	return 0
}

// A process that was stopped for five seconds drops what was due meanwhile, says so, and fires nothing off in a burst.
func TestStoppedProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds of real time")
	}
	t.Parallel()
	c, seen, least, most, kept := stop(t, generatorEnv)
	if want := uint64(stoppedRate * stoppedFor.Seconds()); c.Scheduled != want || c.Requests+c.Dropped != want {
		t.Errorf("%d arrivals, %d requests and %d dropped; want %d in all", c.Scheduled, c.Requests, c.Dropped, want)
	}
	if uint64(len(seen)) != c.Requests || c.Failed > 0 {
		t.Errorf("the target saw %d requests, %d were counted, %d failed", len(seen), c.Requests, c.Failed)
	}
	if n := float64(c.Dropped); n < stoppedRate*least.Seconds()*0.95 || n > stoppedRate*most.Seconds()*1.05 || c.Stalled != c.Dropped {
		t.Errorf("%d dropped, %d of them by the stall; want what was due in %v to %v, all of them by the stall", c.Dropped, c.Stalled, least, most)
	}
	for i, n := range c.Seconds[:int(stoppedFor/time.Second)] {
		if n != uint64(stoppedRate) {
			t.Errorf("second %d has %d arrivals", i, n)
		}
	}
	// No burst: no tenth of a second saw more than twice its part, beside what came together because this machine let the generator or
	// its target wait. What the generator may make good is less than a second's.
	if n := densest(seen); n > int(stoppedRate/10*2+stoppedRate*(min(c.LagMax, time.Second)+kept).Seconds()) {
		t.Errorf("%d requests came within 100 ms, at a rate of %g a second, with a lag of up to %v at a target that was kept waiting for up to %v", n, stoppedRate, c.LagMax, kept)
	}
}

// A process that was stopped for five seconds within a ramp of users lets those who were due meanwhile begin one after the other
// beside those of the ramp, and says so.
func TestStoppedRamp(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds of real time")
	}
	t.Parallel()
	c, seen, least, most, kept := stop(t, rampEnv)
	if uint64(len(seen)) != c.Requests || c.Failed > 0 {
		t.Errorf("the target saw %d requests, %d were counted, %d failed", len(seen), c.Requests, c.Failed)
	}
	missed := rampedRate * most.Seconds()
	if users := 0; len(c.Notes) == 0 {
		t.Error("nothing was said of it")
	} else if _, text, _ := strings.Cut(c.Notes[0], "s: "); true {
		if _, err := fmt.Sscanf(text, "%d users that were due meanwhile", &users); err != nil || float64(users) < rampedRate*least.Seconds()*0.95 || float64(users) > missed*1.05 {
			t.Errorf("said %q, want the users who were due in %v to %v", c.Notes, least, most)
		}
	}
	rate := rampedRate + missed/10 // a second, while they come
	if n := densest(seen); n > int(rate/10*3+rate*(min(c.LagMax, time.Second)+kept).Seconds()) {
		t.Errorf("%d users came within 100 ms, at %g a second, with a lag of up to %v at a target that was kept waiting for up to %v", n, rate, c.LagMax, kept)
	}
}

// stop runs a generator that is stopped from its second to its seventh second. seen is when requests came, least for how long it
// surely stood, by when the signals were sent, and most for how long at the most, by its target's account: on a busy machine both timers
// and processes are late. kept is the longest time for which this process, whose clock tells when a request came, did not run.
func stop(t *testing.T, kind string) (c counted, seen []time.Time, least, most, kept time.Duration) {
	t.Helper()
	var mu sync.Mutex
	w := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, time.Now())
		mu.Unlock()
		ok(w, r)
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), kind+"=1", generatorEnv+"="+w.URL)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var stopped, again time.Time // after the one signal was sent, before the other
	defer time.AfterFunc(2*time.Second, func() {
		_ = cmd.Process.Signal(syscall.SIGSTOP)
		mu.Lock()
		defer mu.Unlock()
		stopped = time.Now()
	}).Stop()
	defer time.AfterFunc(7*time.Second, func() {
		mu.Lock()
		again = time.Now()
		mu.Unlock()
		_ = cmd.Process.Signal(syscall.SIGCONT)
	}).Stop()
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		const nap = 5 * time.Millisecond
		for ended := false; !ended; {
			began := time.Now()
			select {
			case <-over:
				ended = true
			case <-time.After(nap):
				kept = max(kept, time.Since(began)-nap)
			}
		}
	})
	err = cmd.Wait()
	close(over)
	watch.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out.String()), &c); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	mu.Lock()
	defer mu.Unlock()
	least = again.Sub(stopped)
	most = least
	for i, at := range seen[1:] {
		most = max(most, at.Sub(seen[i]))
	}
	return c, seen, least, most, kept
}

// densest is the most requests within 100 ms.
func densest(seen []time.Time) int {
	most, from := 0, 0
	for to := range seen {
		for seen[to].Sub(seen[from]) > 100*time.Millisecond {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}
