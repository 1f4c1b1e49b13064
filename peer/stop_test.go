package peer

import (
	"fmt"
	"testing"
	"time"

	"lt/engine/load"
)

// What is ordered takes one way to a peer, whatever was ordered before and is not answered yet: changes reach it as they come, a stop
// even if there are more of them than may be under way, and the order to end at once as well.
func TestOrdersTakeOneWay(t *testing.T) {
	const way = 900 * time.Millisecond
	for _, c := range []struct {
		name    string
		changes int  // before it
		cut     bool // it is to end at once; else a stop in the log
	}{{"one before", 1, false}, {"more than may be under way", 3 * mostUnderWay, false}, {"cut", 3 * mostUnderWay, true}} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, newHost(t), steady(50, 5*time.Minute))
				w.begin()
				w.at(5 * time.Second)
				w.host.path(0).delay(way, way)
				w.at(10 * time.Second)
				for i := range c.changes {
					time.Sleep(time.Millisecond)
					w.link.Changes(1+i, []load.Change{{At: 11 * time.Second, Kind: load.Factor, Factor: 1}})
				}
				told := time.Since(w.zero)
				if c.cut {
					w.link.Stop(true)
				} else {
					w.link.Changes(1+c.changes, []load.Change{{At: told + stopAhead, Kind: load.Stop}})
				}
				w.diary.await(t, time.Minute, "fin")
				if last := w.host.target.last(w.zero); last < told || last > told+way+20*time.Millisecond {
					t.Errorf("told at %v; the last request came at %v", told, last)
				}
				if !c.cut {
					w.diary.await(t, time.Minute, fmt.Sprintf("applied %d", c.changes+2))
				}
				w.account()
				w.close()
				w.ended(0)
			})
		})
	}
}
