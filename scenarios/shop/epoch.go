package shop

import (
	"sync"
	"time"
)

// epoch is the time between two resets: a station with its stream of requests, and the counts. Its clock begins with the
// first request. A request belongs to the epoch in which it came, also if it ends after a reset; what an older epoch
// still serves takes nothing from the new one's station.
//
// One lock guards all of it. The clock is read under the lock, so that arrivals enter the station in order of time.
type epoch struct {
	config Config

	mu       sync.Mutex
	begun    bool
	origin   time.Time
	station  *station
	number   uint64 // requests let in: the place in the streams of service times and errors
	queueMax int

	arrivals int
	inHand   int
	second   []int // arrivals per second since origin
	routes   map[string]*RouteStats
	refused  int
	injected int
	gone     int
	reused   int
	conns    int
	sessions int
	evicted  int
	bodyIn   int64
	bodyOut  int64

	wait, service, late spread
	departure           time.Duration // the latest one
	wire0               wireCount     // the connections' counts when the epoch began
}

// maxSeconds bounds the list of arrivals per second to a day; what comes later is in the totals alone.
const maxSeconds = 24 * 60 * 60

// spread is count, sum and largest of some durations.
type spread struct {
	count    int
	sum, max time.Duration
}

func (s *spread) add(d time.Duration) {
	s.count++
	s.sum += d
	s.max = max(s.max, d)
}

// visit is what the station has in store for one request. Times count from the epoch's beginning.
type visit struct {
	arrival, start, departure time.Duration
	fail                      bool // to be answered with 500
}

func newEpoch(c Config, wire wireCount) *epoch {
	return &epoch{config: c, station: newStation(c), routes: make(map[string]*RouteStats), wire0: wire}
}

// now is the time since the first request; the first call makes it the present. The lock is held.
func (e *epoch) now() time.Duration {
	if !e.begun {
		e.begun, e.origin = true, time.Now()
	}
	return time.Since(e.origin)
}

// arrive counts a request; first says that it is the first one of its connection in this epoch, and connected that the
// connection is known at all.
func (e *epoch) arrive(connected, first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	second := int(e.now() / time.Second)
	e.arrivals++
	e.inHand++
	if second < maxSeconds {
		for len(e.second) <= second {
			e.second = append(e.second, 0)
		}
		e.second[second]++
	}
	switch {
	case connected && first:
		e.conns++
	case connected:
		e.reused++
	}
}

// admit brings a request to the station: it is let in and dated, or refused.
func (e *epoch) admit() (visit, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.now()
	if !e.station.hasRoom(at) {
		e.refused++
		return visit{}, false
	}
	n := e.number
	e.number++
	service := e.config.Service.Quantile(uniform(e.config.Seed, drawService, n))
	v := visit{arrival: at, fail: uniform(e.config.Seed, drawError, n) < e.config.Errors}
	v.start, v.departure = e.station.enter(at, service)
	e.queueMax = max(e.queueMax, e.station.starts.len())
	e.wait.add(v.start - at)
	e.service.add(service)
	e.departure = max(e.departure, v.departure)
	if v.fail {
		e.injected++
	}
	return v, true
}

// until is how long it is to a time of this epoch, negative if it is over.
func (e *epoch) until(t time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return t - e.now()
}

// release counts how late an answer was let go.
func (e *epoch) release(departure time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.late.add(max(0, e.now()-departure))
}

// opened counts a session.
func (e *epoch) opened(evicted bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions++
	if evicted {
		e.evicted++
	}
}

// end counts an answer; status 0 means that the client went away before it.
func (e *epoch) end(route string, status int, bodyIn, bodyOut int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inHand--
	e.bodyIn += bodyIn
	e.bodyOut += bodyOut
	r := e.routes[route]
	if r == nil {
		r = &RouteStats{Status: make(map[int]int)}
		e.routes[route] = r
	}
	r.Requests++
	if status == 0 {
		r.Gone++
		e.gone++
		return
	}
	r.Status[status]++
}
