package shop

import "time"

// station is the arithmetic of a queue with c servers, first come first served, and a bounded waiting room. It has no
// clock and does no I/O: arrivals go in, departures come out, exact to the nanosecond. Callers serialise its methods and
// give arrivals in order of time. All times count from the beginning of the Epoch.
//
// With w the arrival and F the times at which the servers become free (Kiefer and Wolfowitz, 1955, in absolute times):
//
//	start = max(w, min F)      departure = start + service      min F := departure
//
// A stall stops the servers' own clock, and the formula above is reckoned on that clock: with a(t) the part of [0, t) that
// lies in stalls, work time is w = t - a(t). So a service in hand is longer by the stall, requests that come during it
// all find the instant of its beginning, and afterwards the backlog is worked off at the full rate. For one server of
// rate C and an even load R the response time of a request x seconds into a stall of S seconds is S - (1 - R/C) x plus
// its service, until that falls below the service alone.
type station struct {
	free   []time.Duration // work time at which each server is free; a binary heap, smallest first
	starts ring            // work times at which waiting requests start, in order
	room   int             // how many may wait
	stalls []Stall         // in order of time, apart from each other
}

func newStation(c Config) *station {
	return &station{free: make([]time.Duration, c.servers()), room: c.Queue, stalls: c.sortedStalls()}
}

// hasRoom tells whether a request that comes at the given time is let in: a server is free or somebody may still wait.
func (st *station) hasRoom(at time.Duration) bool {
	w := st.work(at)
	st.starts.dropUpTo(w)
	return st.free[0] <= w || st.starts.len() < st.room
}

// enter lets a request in and returns when its service begins and when it departs. Call it after hasRoom said yes for
// the same time.
func (st *station) enter(at, service time.Duration) (start, departure time.Duration) {
	w := st.work(at)
	begin := max(w, st.free[0])
	end := begin + service
	st.replaceFirst(end)
	if begin > w {
		st.starts.push(begin)
	}
	return st.wall(begin), st.wall(end)
}

// census is how many are being served and how many wait at the given time, which may not be before the last arrival.
func (st *station) census(at time.Duration) (serving, waiting int) {
	w := st.work(at)
	st.starts.dropUpTo(w)
	for _, f := range st.free {
		if f > w {
			serving++
		}
	}
	return serving, st.starts.len()
}

// work is the servers' own clock at a time: the stalls before it are left out.
func (st *station) work(at time.Duration) time.Duration {
	w := at
	for _, s := range st.stalls {
		if at <= s.At {
			break
		}
		w -= min(at-s.At, s.For)
	}
	return w
}

// wall is when the servers' clock shows w. Where it stands still the end of the stall is meant: nothing happens inside.
func (st *station) wall(w time.Duration) time.Duration {
	for _, s := range st.stalls {
		if w < s.At {
			break
		}
		w += s.For
	}
	return w
}

// replaceFirst gives the server that was free first a new time and restores the heap.
func (st *station) replaceFirst(end time.Duration) {
	f, i := st.free, 0
	for {
		child := 2*i + 1
		if child >= len(f) {
			break
		}
		if child+1 < len(f) && f[child+1] < f[child] {
			child++
		}
		if f[child] >= end {
			break
		}
		f[i] = f[child]
		i = child
	}
	f[i] = end
}

// ring is a queue of times in order, in a circular buffer that grows to what is needed.
type ring struct {
	buf         []time.Duration // its length is a power of two
	first, next uint            // places modulo len(buf)
}

func (r *ring) len() int { return int(r.next - r.first) }

func (r *ring) push(t time.Duration) {
	if r.len() == len(r.buf) {
		grown := make([]time.Duration, max(16, 2*len(r.buf)))
		for i := range r.len() {
			grown[i] = r.buf[(r.first+uint(i))%uint(len(r.buf))]
		}
		r.buf, r.first, r.next = grown, 0, uint(r.len())
	}
	r.buf[r.next%uint(len(r.buf))] = t
	r.next++
}

// dropUpTo removes the times that are not after t.
func (r *ring) dropUpTo(t time.Duration) {
	for r.len() > 0 && r.buf[r.first%uint(len(r.buf))] <= t {
		r.first++
	}
}
