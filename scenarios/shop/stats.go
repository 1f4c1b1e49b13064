package shop

import (
	"maps"
	"math"
	"time"
)

// Stats is a consistent picture of what the shop did since the Epoch began: since New, or since the last reset. Requests
// to /stats and /healthz are in none of it but the bytes on the wire. It belongs to whoever asked for it.
type Stats struct {
	Target           TargetStats           `json:"target"`
	Seconds          float64               `json:"seconds"`             // since the first request
	Requests         int                   `json:"requests"`            // that came
	InHand           int                   `json:"in_hand"`             // of those, not answered yet
	Refused          int                   `json:"refused"`             // 503: the queue was full
	Injected         int                   `json:"injected"`            // 500: drawn by the share of errors
	Gone             int                   `json:"gone"`                // the client went away before its answer
	Sessions         int                   `json:"sessions"`            // logins
	SessionsEvicted  int                   `json:"sessions_evicted"`    // forgotten because there were too many
	ArrivalsPerSec   []int                 `json:"arrivals_per_s"`      // by second since the first request, at most a day
	Routes           map[string]RouteStats `json:"routes"`              // by route, ended requests only; "other" is 404 and 405
	Station          StationStats          `json:"station"`             //
	Connections      ConnectionStats       `json:"connections"`         //
	BodyBytesIn      int64                 `json:"body_bytes_in"`       // of counted requests
	BodyBytesOut     int64                 `json:"body_bytes_out"`      // of their answers
	WireBytesIn      int64                 `json:"wire_bytes_in"`       // of all connections, headers included
	WireBytesOut     int64                 `json:"wire_bytes_out"`      //
	ReleaseLateMeanS float64               `json:"release_late_mean_s"` // answer let go minus computed departure
	ReleaseLateMaxS  float64               `json:"release_late_max_s"`  //
}

// TargetStats is the Config in force.
type TargetStats struct {
	Service     string   `json:"service"`
	Servers     int      `json:"servers"`
	Queue       int      `json:"queue"`
	Errors      float64  `json:"errors"`
	Seed        uint64   `json:"seed"`
	Stalls      []string `json:"stalls"`
	CapacityRPS *float64 `json:"capacity_rps"` // requests a second; null without service time
}

// RouteStats counts the ended requests of a route: Requests is the sum of Status and Gone.
type RouteStats struct {
	Requests int         `json:"requests"`
	Gone     int         `json:"gone"`
	Status   map[int]int `json:"status"`
}

// StationStats is what the queue computed; seconds.
type StationStats struct {
	Admitted       int     `json:"admitted"`
	Serving        int     `json:"serving"` // now
	Queue          int     `json:"queue"`   // waiting now
	QueueMax       int     `json:"queue_max"`
	WaitMeanS      float64 `json:"wait_mean_s"`
	WaitMaxS       float64 `json:"wait_max_s"`
	ServiceMeanS   float64 `json:"service_mean_s"`
	LastDepartureS float64 `json:"last_departure_s"` // since the first request; may lie ahead
}

// ConnectionStats is about the connections of Serve; 0 where the Server is used as a Handler alone.
type ConnectionStats struct {
	Accepted int `json:"accepted"` // also those that brought no request
	Open     int `json:"open"`     // now
	Used     int `json:"used"`     // that brought at least one counted request
	Reused   int `json:"reused"`   // requests that were not the first of their connection
}

func (e *epoch) stats(wire wireCount) Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.config
	s := Stats{
		Target:          TargetStats{Service: c.Service.String(), Servers: c.servers(), Queue: c.Queue, Errors: c.Errors, Seed: c.Seed, Stalls: []string{}},
		Requests:        e.arrivals,
		InHand:          e.inHand,
		Refused:         e.refused,
		Injected:        e.injected,
		Gone:            e.gone,
		Sessions:        e.sessions,
		SessionsEvicted: e.evicted,
		ArrivalsPerSec:  append([]int{}, e.second...),
		Routes:          make(map[string]RouteStats, len(e.routes)),
		Station: StationStats{
			Admitted: int(e.number), QueueMax: e.queueMax,
			WaitMeanS: e.wait.mean(), WaitMaxS: e.wait.max.Seconds(),
			ServiceMeanS: e.service.mean(), LastDepartureS: e.departure.Seconds(),
		},
		Connections: ConnectionStats{
			Accepted: int(wire.accepted - e.wire0.accepted), Open: int(wire.open), Used: e.conns, Reused: e.reused,
		},
		BodyBytesIn: e.bodyIn, BodyBytesOut: e.bodyOut,
		WireBytesIn: wire.in - e.wire0.in, WireBytesOut: wire.out - e.wire0.out,
		ReleaseLateMeanS: e.late.mean(), ReleaseLateMaxS: e.late.max.Seconds(),
	}
	for _, stall := range e.station.stalls {
		s.Target.Stalls = append(s.Target.Stalls, stall.String())
	}
	if capacity := c.Capacity(); !math.IsInf(capacity, 1) {
		s.Target.CapacityRPS = &capacity
	}
	for name, r := range e.routes {
		s.Routes[name] = RouteStats{Requests: r.Requests, Gone: r.Gone, Status: maps.Clone(r.Status)}
	}
	if e.begun {
		now := time.Since(e.origin)
		s.Seconds = now.Seconds()
		s.Station.Serving, s.Station.Queue = e.station.census(now)
	}
	return s
}

// mean is in seconds; 0 without any.
func (s *spread) mean() float64 {
	if s.count == 0 {
		return 0
	}
	return s.sum.Seconds() / float64(s.count)
}
