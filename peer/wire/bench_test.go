package wire

import (
	"bytes"
	"testing"
	"time"
)

// BenchmarkBatch is what a second of measurements costs on its way: ten steps, 10,000 requests. bytes/s is what is on the wire,
// frame included.
func BenchmarkBatch(b *testing.B) {
	for name, c := range map[string]struct{ requests, steps int }{"10000x10": {10_000, 10}, "1000x1": {1000, 1}, "100000x50": {100_000, 50}} {
		iv := busy(0, c.requests, c.steps)
		b.Run("add/"+name, func(b *testing.B) {
			b.ReportAllocs()
			var size int
			for n := 0; b.Loop(); n++ {
				out := NewOutbox()
				out.Add(iv)
				m, _ := out.take()
				size = len(AppendFrame(nil, Encode(&m)))
			}
			b.ReportMetric(float64(size), "bytes/s")
		})
		data := iv.AppendBinary(nil)
		b.Run("take/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := inboxOf(c.steps).Take(Batch{Seq: 1, Count: 1, Data: data}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHeartbeat is one heartbeat and its answer, encoded and read again, without the network.
func BenchmarkHeartbeat(b *testing.B) {
	beat, answer := Beat{1 << 20, time.Hour, time.Minute, time.Millisecond, time.Millisecond, 100, 1 << 30, 15 * time.Second, time.Millisecond}, Answer{1 << 20, time.Hour, time.Hour, 15 * time.Second}
	b.ReportAllocs()
	var size int
	for b.Loop() {
		up, down := AppendFrame(nil, Encode(&beat)), AppendFrame(nil, Encode(&answer))
		size = len(up) + len(down)
		for _, f := range [][]byte{up, down} {
			if _, err := ReadFrame(bytes.NewReader(f), MaxBeat); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(size), "bytes")
}

// BenchmarkSession is how much a session carries over TCP on this machine.
func BenchmarkSession(b *testing.B) {
	near, far := pipe(b)
	client, server := Client(near, SessionConfig{}), Server(far, SessionConfig{})
	defer client.Close()
	defer server.Close()
	got := make(chan *Peer, 1)
	go func() {
		p, _ := AcceptStreams(server, func(*Request) {})
		got <- p
	}()
	c, err := OpenStreams(client, ignoreEvent)
	if err != nil {
		b.Fatal(err)
	}
	p := <-got
	data := make([]byte, 10<<10)
	b.SetBytes(int64(len(data)))
	go func() {
		for n := uint64(1); p.Metrics.Send(Batch{Seq: n, Data: data, Count: 1}) == nil; n++ {
		}
	}()
	for b.Loop() {
		if _, err := c.Metrics.Receive(); err != nil {
			b.Fatal(err)
		}
	}
}
