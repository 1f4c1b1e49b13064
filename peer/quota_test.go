package peer

import (
	"testing"
	"time"

	"lt/engine/load"
)

// The quota of each source is what the schedule itself gives it, also when shares change and when it is asked often.
func TestQuotaIsTheSchedule(t *testing.T) {
	spec := &load.Spec{Arrivals: load.Poisson, Seed: 7, Profile: load.Profile{Stages: []load.Stage{
		{Name: "ramp", For: 10 * time.Second, At: 300, Ramp: true}, {Name: "hold", For: 20 * time.Second, At: 300},
	}}}
	log := load.NewLog(spec)
	share := func(id int, at time.Duration, weights ...int) {
		var from int64
		if id > 1 {
			from = log.Timeline().FirstAfter(at)
		}
		if err := log.Append(load.Change{At: at, Kind: load.Reshare, Epoch: &load.Epoch{ID: id, From: from, Table: load.Table(weights)}}); err != nil {
			t.Fatal(err)
		}
	}
	share(1, 0, 1, 1, 1)
	share(2, 12*time.Second, 1, 0, 3)
	share(3, 20*time.Second, 5, 1, 1)
	var all int64
	for source := range 3 {
		q := quota{log: log, source: source}
		s := load.NewSchedule(spec, log, source, 0, 1)
		var begun int64
		for now := time.Duration(0); now <= 31*time.Second; now += 700 * time.Millisecond {
			for {
				if _, due, ok := s.Peek(); !ok || due > now {
					break
				}
				s.Next()
				begun++
			}
			if got := q.at(now, 0); q.planned != begun || got < begun {
				t.Fatalf("source %d at %v: planned %d, quota %d, due %d", source, now, q.planned, got, begun)
			}
		}
		all += q.planned
	}
	if end := log.Timeline().FirstAfter(time.Hour); all != end {
		t.Errorf("the quotas add up to %d of %d arrivals", all, end)
	}
}

// A share that is lowered for a time that has passed already takes nothing back of what was the source's until then.
func TestQuotaForgetsNothing(t *testing.T) {
	spec := &load.Spec{Arrivals: load.Even, Profile: load.Profile{Stages: []load.Stage{{Name: "hold", For: time.Minute, At: 100}}}}
	log := load.NewLog(spec)
	q := quota{log: log}
	q.at(20*time.Second, 0)
	if err := log.Append(load.Change{At: 10 * time.Second, Kind: load.Reshare, Epoch: &load.Epoch{ID: 1, From: log.Timeline().FirstAfter(10 * time.Second), Table: []uint16{1}}}); err != nil {
		t.Fatal(err)
	}
	if q.at(30*time.Second, 0); q.planned != 2000 {
		t.Errorf("%d planned, want the 2000 of the 20 s in which nobody knew better", q.planned)
	}
}

// A source that hears late of a lower level has begun more than the plan had until then, and has done nothing wrong.
func TestQuotaOfASourceThatIsAhead(t *testing.T) {
	spec := &load.Spec{Arrivals: load.Even, Profile: load.Profile{Stages: []load.Stage{{Name: "hold", For: time.Minute, At: 500}}}}
	r := newReplica(spec, 1)
	if err := r.learn([]load.Change{{Kind: load.Reshare, Epoch: &load.Epoch{ID: 1, Table: []uint16{1}}}}, inTime); err != nil {
		t.Fatal(err)
	}
	q := quota{log: r.log, source: 1}
	for now := time.Duration(0); now <= 10*time.Second; now += time.Second {
		q.at(now, r.reached)
	}
	heard := 10*time.Second + 900*time.Millisecond
	begun := r.log.Timeline().FirstAfter(heard)
	if err := r.learn([]load.Change{{At: 2 * time.Second, Kind: load.Factor, Factor: .5}}, heard); err != nil {
		t.Fatal(err)
	}
	if got := q.at(11*time.Second, r.reached); got < begun {
		t.Errorf("the quota is %d, and %d were begun before it heard of the lower level", got, begun)
	}
}
