package peer

import (
	"fmt"
	"testing"
	"time"

	"lt/engine/load"
	"lt/engine/metrics"
)

// What it costs the coordinator to take one second of 64 peers with ten steps each: their intervals decoded, looked at by the
// fleet, and handed on. 20 % of a core are 200 ms; the sum of it all in the ledger is measured beside the ledger.
func BenchmarkSecondOf64Peers(b *testing.B) {
	const peers, steps = 64, 10
	iv := metrics.Interval{Length: time.Second, Scheduled: 1000, Started: 1000, Due: 1000}
	iv.Audit.Cores, iv.Audit.CPU = 4, 1
	for i := range steps {
		r := metrics.Record{Key: metrics.Key{Step: uint16(i)}, Requests: 100, Attempts: 100, Status: []metrics.StatusCount{{Status: 200, Count: 100}}}
		for j := range 100 {
			d := time.Duration(1000+37*i+11*j*j) * time.Microsecond
			r.Response.Record(nil, d)
			r.Service.Record(nil, d)
			iv.Lag.Record(nil, time.Duration(20+j)*time.Microsecond)
		}
		iv.Records = append(iv.Records, r)
	}
	data := iv.AppendBinary(nil)
	f := &Fleet{told: make(chan struct{}, 1), all: make([]*source, peers+1), said: map[string]bool{}}
	for n := range f.all {
		f.all[n] = &source{n: n, name: fmt.Sprint("peer", n), begun: true, tilt: 1, skewed: true}
	}
	b.ReportAllocs()
	b.SetBytes(int64(peers * len(data)))
	for b.Loop() {
		for _, s := range f.all[1:] {
			got, _, err := metrics.DecodeInterval(data)
			if err != nil {
				b.Fatal(err)
			}
			f.interval(s, got)
		}
		f.backlog = f.backlog[:0]
	}
}

// What it costs to count whose arrivals were whose.
func BenchmarkOwned64Peers(b *testing.B) {
	weights := make([]int, 65)
	for n := range weights[1:] {
		weights[n+1] = 1
	}
	sh := shares{owner: repeated(load.Table(weights)), epochs: []epoch{{}}}
	sh.epochs[0].owner = sh.owner
	for b.Loop() {
		sh.owned(0, 1<<30, func(n uint16) bool { return n == 7 })
	}
}
