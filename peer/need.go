package peer

import (
	"math"

	"lt/engine/limits"
	"lt/engine/load"
	"lt/engine/scenario"
)

// Need is what a file asks of one source that has a share (0..1) of the load.
func Need(f *scenario.File, loopback bool, share float64) limits.Need {
	part := func(n float64) int { return int(math.Ceil(n * share)) }
	peak := f.Load.Profile.Peak()
	n := limits.Need{Shards: 1, Loopback: loopback, SourceIPs: max(1, len(f.HTTP.SourceIPs)), BytesPerUser: 512}
	if f.Load.Model == load.Closed {
		n.Users = part(peak)
		n.Connections = n.Users
	} else {
		n.Users = part(float64(f.Load.MaxInFlight))
		n.Connections = min(n.Users, part(peak*f.HTTP.Timeout.Seconds()))
	}
	if f.Load.Model == load.Open && f.HTTP.UnixSocket == "" && f.HTTP.Connections != scenario.Keep {
		n.NewPerSecond = peak * share
		if f.HTTP.Connections == scenario.PerRequest {
			steps := 1
			for _, sc := range f.Scenarios {
				steps = max(steps, len(sc.Steps))
			}
			n.NewPerSecond *= float64(steps)
		}
	}
	return n
}
