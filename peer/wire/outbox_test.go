package wire

import (
	"bytes"
	"context"
	"errors"
	"math/rand"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"lt/engine/metrics"
)

// busy is second n of a source with so many requests over so many steps.
func busy(n, requests, steps int) *metrics.Interval {
	r := metrics.NewRecorder(steps, new(metrics.Pages))
	rng := rand.New(rand.NewSource(int64(n)))
	for i := range requests {
		took := 3*time.Millisecond + time.Duration(rng.ExpFloat64()*float64(2*time.Millisecond))
		s := metrics.Sample{
			Status: 200, Step: uint16(i % steps), Reused: true, BytesIn: 1234, BytesOut: 321,
			Intended: 0, Start: time.Duration(rng.ExpFloat64() * float64(40*time.Microsecond)),
			Phases: [metrics.Phases]time.Duration{-1, -1, -1, 5000, took - time.Millisecond, 9000},
		}
		s.End = s.Start + took
		if i%97 == 0 {
			s.Class, s.Phase, s.Message = metrics.Status, metrics.PhaseReceive, "status 500"
			s.Example = func() string { return "GET / HTTP/1.1\r\n\r\n" }
		}
		r.Sample(&s)
		r.Lag(s.Start, 0)
		r.Scheduled++
		r.Started++
		r.Due++
		r.Iterations++
	}
	iv := r.Cut(uint64(n), time.Duration(n)*time.Second, time.Second)
	iv.Audit = metrics.Audit{CPU: 0.7, Cores: 4, Memory: 100 << 20, Files: 100, FileLimit: 1 << 20}
	iv.Users, iv.InFlight, iv.Connections = 50, 40, 50
	return iv
}

// second makes n the number of a second that went as iv did.
func second(n int, iv *metrics.Interval) *metrics.Interval {
	next := *iv
	next.Seq, next.From = uint64(n), time.Duration(n)*time.Second
	return &next
}

func inboxOf(steps int) *Inbox { return NewInbox(InboxConfig{Source: "ada", Steps: steps, Stages: 1}) }

// Whatever is lost, repeated or joined on the way, each interval is applied once, in order, and the two accounts agree.
func TestBatchesExactlyOnce(t *testing.T) {
	like := busy(0, 20, 3)
	rapid.Check(t, func(t *rapid.T) {
		out, in := NewOutbox(), inboxOf(3)
		var (
			made, end uint64
			edge      time.Duration
			wireUp    []Batch  // sent, on its way to the coordinator
			wireDown  []uint64 // acknowledgements on their way back
			sent      = map[uint64][]byte{}
		)
		deliver := func() {
			b := wireUp[0]
			wireUp = wireUp[1:]
			iv, fresh, err := in.Take(b)
			if err != nil {
				t.Fatal(err)
			}
			if fresh {
				if iv.From != edge || iv.Seq != end || iv.Source != "ada" {
					t.Fatalf("interval %d of %s begins at %v, and %d at %v was awaited", iv.Seq, iv.Source, iv.From, end, edge)
				}
				end, edge = end+1, edge+iv.Length
			}
			_, last := in.Account()
			wireDown = append(wireDown, last)
		}
		take := func() bool {
			b, ok := out.take()
			if !ok {
				return false
			}
			if before, again := sent[b.Seq]; again && !bytes.Equal(before, b.Data) {
				t.Fatalf("batch %d was sent with other content", b.Seq)
			}
			sent[b.Seq] = b.Data
			wireUp = append(wireUp, b)
			return true
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(*rapid.T) {
				out.Add(second(int(made), like))
				made++
			},
			"send": func(*rapid.T) { take() },
			"deliver": func(t *rapid.T) {
				if len(wireUp) == 0 {
					t.Skip()
				}
				deliver()
			},
			"acknowledge": func(t *rapid.T) {
				if len(wireDown) == 0 {
					t.Skip()
				}
				if err := out.acknowledge(wireDown[0]); err != nil {
					t.Fatal(err)
				}
				wireDown = wireDown[1:]
			},
			"break": func(t *rapid.T) {
				wireUp, wireDown = nil, nil
				_, last := in.Account()
				if err := out.Resume(last); err != nil {
					t.Fatal(err)
				}
			},
			"slow": func(t *rapid.T) { out.slow = rapid.IntRange(0, 2).Draw(t, "slow") },
			"": func(t *rapid.T) {
				if out.flying > underway {
					t.Fatalf("%d bytes are under way", out.flying)
				}
				size := 0
				for _, p := range out.pending {
					size += len(p.data)
				}
				for _, b := range out.sent {
					size += len(b.Data)
				}
				if size != out.size {
					t.Fatalf("%d bytes are kept, and %d are counted", size, out.size)
				}
			},
		})
		out.Seal()
		for {
			for take() {
			}
			for len(wireUp) > 0 {
				deliver()
			}
			if len(wireDown) == 0 {
				break
			}
			for _, a := range wireDown {
				if err := out.acknowledge(a); err != nil {
					t.Fatal(err)
				}
			}
			wireDown = nil
		}
		if err := out.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		mine, lastSent := out.Account()
		theirs, lastTaken := in.Account()
		if mine != theirs || lastSent != lastTaken || mine.Intervals != made || mine.Requests != 20*made || edge != time.Duration(made)*time.Second {
			t.Fatalf("%d intervals: the peer did %+v in %d batches, applied were %+v in %d, up to %v", made, mine, lastSent, theirs, lastTaken, edge)
		}
	})
}

// A link that gets slower gets fewer and longer batches, and one that is quick again gets one a second.
func TestOutboxFollowsTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := NewOutbox()
		delay := 3 * time.Second
		var lengths []time.Duration
		var due []time.Time
		var seqs []uint64
		for n := range 60 {
			if n == 30 {
				delay = 10 * time.Millisecond
				lengths = append(lengths, 0)
			}
			out.Add(busy(n, 10, 1))
			for at := time.Now(); time.Since(at) < time.Second; time.Sleep(10 * time.Millisecond) {
				for b, ok := out.take(); ok; b, ok = out.take() {
					iv, _, err := metrics.DecodeInterval(b.Data)
					if err != nil {
						t.Fatal(err)
					}
					lengths = append(lengths, iv.Length)
					due, seqs = append(due, time.Now().Add(delay)), append(seqs, b.Seq)
				}
				for len(due) > 0 && !time.Now().Before(due[0]) {
					if err := out.acknowledge(seqs[0]); err != nil {
						t.Fatal(err)
					}
					due, seqs = due[1:], seqs[1:]
				}
			}
		}
		var s []string
		for _, l := range lengths {
			s = append(s, l.String())
		}
		// While the first acknowledgements are awaited nothing is known of the link.
		want := "1s 1s 1s 5s 5s 5s 5s 5s 0s 1s 2s 2s 1s 1s 1s"
		if got := strings.Join(s, " "); !strings.Contains(got, " 5s 5s 5s ") || !strings.HasSuffix(got, " 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s") {
			t.Errorf("%s, and something like %s was expected", got, want)
		}
	})
}

// Without a link the memory is bounded: neighbours are joined, and no count is lost.
func TestOutboxIsBounded(t *testing.T) {
	out, in := NewOutbox(), inboxOf(10)
	out.ring = 200 << 10
	const n = 60
	like := busy(0, 5000, 10)
	for i := range n {
		out.Add(second(i, like))
	}
	if out.size > out.ring || len(out.pending) == n {
		t.Fatalf("%d bytes in %d parcels", out.size, len(out.pending))
	}
	t.Logf("%d intervals are kept as %d of %d bytes", n, len(out.pending), out.size)
	out.Seal()
	for b, ok := out.take(); ok; b, ok = out.take() {
		if _, fresh, err := in.Take(b); err != nil || !fresh {
			t.Fatal(err)
		}
		if len(Encode(b)) > MaxMetrics {
			t.Fatalf("batch %d does not fit into a frame: %d bytes", b.Seq, len(b.Data))
		}
		if err := out.acknowledge(b.Seq); err != nil {
			t.Fatal(err)
		}
	}
	mine, _ := out.Account()
	if theirs, _ := in.Account(); mine != theirs || mine.Requests != n*5000 {
		t.Fatalf("%+v and %+v", mine, theirs)
	}
}

// A batch larger than what may be under way goes alone.
func TestOutboxLargeBatches(t *testing.T) {
	out := NewOutbox()
	like := busy(0, 20_000, 50)
	for i := range 3 {
		out.Add(second(i, like))
	}
	for seq := uint64(1); seq <= 3; seq++ {
		b, ok := out.take()
		if !ok || b.Seq != seq || len(b.Data) <= underway {
			t.Fatal(ok, b.Seq, len(b.Data))
		}
		if b, ok := out.take(); ok {
			t.Fatalf("batch %d is under way as well", b.Seq)
		}
		if err := out.acknowledge(seq); err != nil {
			t.Fatal(err)
		}
	}
}

// An interval that fits into no frame goes without what is not counted.
func TestOutboxOversize(t *testing.T) {
	out, in := NewOutbox(), inboxOf(100)
	iv := busy(0, 10_000, 100)
	out.largest = len(iv.AppendBinary(nil)) - 1
	out.Add(iv)
	b, ok := out.take()
	if !ok || len(b.Data) > out.largest {
		t.Fatal(ok, len(b.Data))
	}
	got, _, err := in.Take(b)
	if err != nil || len(got.Notes) != 1 || got.Records[0].Requests != iv.Records[0].Requests || got.Records[0].Phases[metrics.PhaseWait].Count() != 0 {
		t.Fatal(err)
	}
	if iv.Records[0].Phases[metrics.PhaseWait].Count() == 0 {
		t.Error("the engine's own interval was changed")
	}
}

func TestOutboxRefusesWhatCannotBe(t *testing.T) {
	out := NewOutbox()
	if err := out.Resume(1); err == nil {
		t.Error("a batch that never was is acknowledged")
	}
	for i := range 3 {
		out.Add(busy(i, 10, 1))
		out.take()
	}
	for _, upto := range []uint64{4, 1 << 60} {
		if err := out.acknowledge(upto); err == nil {
			t.Errorf("batch %d, which never was, is acknowledged", upto)
		}
	}
	if err := out.acknowledge(2); err != nil {
		t.Fatal(err)
	}
	if err := out.acknowledge(1); err != nil {
		t.Fatal("an acknowledgement that was overtaken:", err)
	}
	if err := out.Resume(1); err == nil {
		t.Error("a coordinator forgot what it had acknowledged, and nobody noticed")
	}
	if err := out.Resume(2); err != nil {
		t.Fatal(err)
	}
	if err := out.acknowledge(3); err == nil {
		t.Error("what was not sent in this session is acknowledged")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := out.Wait(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 batches are not acknowledged") {
		t.Error(err)
	}
}

// Two sessions one after the other carry one stream of batches, without a gap and without anything twice.
func TestOutboxOverSessions(t *testing.T) {
	out, in := NewOutbox(), inboxOf(2)
	const n = 200
	go func() {
		for i := range n {
			iv := busy(i, 10, 2)
			iv.Final = i == n-1
			out.Add(iv)
			time.Sleep(time.Millisecond)
		}
	}()
	var requests uint64
	for session := 0; ; session++ {
		near, far := pipe(t)
		client, c, server, p := sessions(t, near, far, ignoreEvent, func(*Request) {})
		_, acked := in.Account()
		served := make(chan error, 1)
		go func() { served <- out.Serve(p.Metrics, acked) }()
		for got := 0; ; got++ {
			b, err := c.Metrics.Receive()
			if err != nil {
				break
			}
			iv, fresh, err := in.Take(b)
			if err != nil {
				t.Fatal(err)
			}
			if fresh {
				for i := range iv.Records {
					requests += iv.Records[i].Requests
				}
			}
			if session == 0 && got == 20 {
				// What is under way is lost: its acknowledgement, at least, never leaves.
				server.Fail(errors.New("cut"))
				break
			}
			c.Metrics.Send(Ack{Upto: b.Seq})
			if iv != nil && iv.Final {
				if err := out.Wait(ctxSoon(t)); err != nil {
					t.Fatal(err)
				}
				client.Close()
			}
		}
		if err := <-served; err == nil {
			t.Fatal("serving ended without a reason")
		}
		if _, last := in.Account(); session > 0 {
			mine, lastSent := out.Account()
			if theirs, _ := in.Account(); mine != theirs || last != lastSent || requests != 10*n {
				t.Fatalf("%+v and %+v, %d requests", mine, theirs, requests)
			}
			return
		}
	}
}
