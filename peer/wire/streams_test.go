package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// bubble runs f in virtual time. yamux keeps timers in a pool, which must not come from one bubble into the next.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	forget := func() {
		runtime.GC()
		runtime.GC()
	}
	forget()
	defer forget()
	synctest.Test(t, f)
}

// narrow is one end of a path that carries so many bytes a second each way and buffers without end, as networks do: nothing but
// its own credit keeps a stream from filling it.
type narrow struct {
	in   *io.PipeReader
	out  chan []byte
	gone chan struct{}
	once sync.Once
}

func narrowPath(perSecond int) (*narrow, *narrow) {
	end := func() (*narrow, *io.PipeWriter) {
		r, w := io.Pipe()
		return &narrow{in: r, out: make(chan []byte, 1<<16), gone: make(chan struct{})}, w
	}
	a, toA := end()
	b, toB := end()
	carry := func(from *narrow, to *io.PipeWriter) {
		defer to.Close()
		for {
			select {
			case c := <-from.out:
				time.Sleep(time.Duration(len(c)) * time.Second / time.Duration(perSecond))
				if _, err := to.Write(c); err != nil {
					return
				}
			case <-from.gone:
				return
			}
		}
	}
	go carry(a, toB)
	go carry(b, toA)
	return a, b
}

func (n *narrow) Read(b []byte) (int, error) { return n.in.Read(b) }

func (n *narrow) Write(b []byte) (int, error) {
	select {
	case <-n.gone:
		return 0, io.ErrClosedPipe
	case n.out <- bytes.Clone(b):
		return len(b), nil
	}
}

func (n *narrow) Close() error {
	n.once.Do(func() { close(n.gone) })
	return n.in.Close()
}

// On a line of 1 Mbit/s an upload takes its time, a paced one about twice that, and heartbeats are answered in time all along.
func TestUploadLeavesRoom(t *testing.T) {
	for _, paced := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			const perSecond = 125_000
			near, far := narrowPath(perSecond)
			client, c, server, p := sessions(t, near, far, ignoreEvent, func(*Request) {})
			go func() {
				for {
					b, err := c.Beats.Receive()
					if err != nil {
						return
					}
					c.Beats.Send(Answer{Seq: b.Seq})
				}
			}()
			var longest time.Duration
			done := make(chan struct{})
			beating := make(chan struct{})
			go func() {
				defer close(beating)
				for seq := uint64(1); ; seq++ {
					at := time.Now()
					p.Beats.Send(Beat{Seq: seq})
					for {
						a, err := p.Beats.Receive()
						if err != nil {
							return
						}
						if a.Seq == seq {
							break
						}
					}
					longest = max(longest, time.Since(at))
					select {
					case <-done:
						return
					case <-time.After(500 * time.Millisecond):
					}
				}
			}()
			data := bytes.Repeat([]byte("lt"), 5*perSecond)
			began := time.Now()
			var steps []int
			sent := make(chan error, 1)
			go func() {
				sent <- c.Files.Send(t.Context(), data, paced, func(n int) { steps = append(steps, n) })
			}()
			if _, err := p.Files.Receive(Plan{Size: int64(len(data)), SHA256: sha256.Sum256(data)}); err != nil {
				t.Fatal(err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			close(done)
			<-beating
			t.Logf("paced %v: %v for %d bytes, the slowest heartbeat took %v", paced, took, len(data), longest)
			if longest > time.Second {
				t.Errorf("a heartbeat took %v", longest)
			}
			if least := 10 * time.Second; took < least || !paced && took > least*5/4 || paced && (took < 2*least || took > 4*least) {
				t.Errorf("paced %v: it took %v", paced, took)
			}
			if len(steps) == 0 || steps[len(steps)-1] != len(data) {
				t.Error(steps)
			}
			client.Close()
			server.Close()
		})
	}
}

// An upload that is given up ends the session, since half a file cannot be taken back; one that is not what was announced is refused.
func TestUploadErrors(t *testing.T) {
	near, far := pipe(t)
	client, c, server, p := sessions(t, near, far, ignoreEvent, func(*Request) {})
	if _, err := p.Files.Receive(Plan{Size: MaxJob + 1}); err == nil || !strings.Contains(err.Error(), "at most 268435456") {
		t.Error(err)
	}
	sent := make(chan error, 1)
	send := func(ctx context.Context, data []byte) {
		go func() { sent <- c.Files.Send(ctx, data, false, nil) }()
	}
	send(t.Context(), []byte("one"))
	if _, err := p.Files.Receive(Plan{Size: 3}); err == nil || !strings.Contains(err.Error(), "with the checksum 7692c3ad") {
		t.Error(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	send(ctx, make([]byte, 1<<20)) // nobody takes it
	cancel()
	if err := <-sent; !errors.Is(err, context.Canceled) || client.Err() != err {
		t.Error(err)
	}
	<-server.Done()

	near, far = pipe(t)
	_, c, server, p = sessions(t, near, far, ignoreEvent, func(*Request) {})
	send(t.Context(), make([]byte, 100))
	if _, err := p.Files.Receive(Plan{Size: 99}); err == nil || server.Err() != err || !strings.Contains(err.Error(), "a chunk of 100 bytes came for a file of which 0 of 99") {
		t.Error(err)
	}
	if err := <-sent; err == nil {
		t.Error("nobody said that it did not arrive")
	}

	near, far = pipe(t)
	_, c, _, p = sessions(t, near, far, ignoreEvent, func(*Request) {})
	send(t.Context(), make([]byte, 100))
	p.Files.st.send(&Ack{Upto: 101})
	if err := <-sent; err == nil || !strings.Contains(err.Error(), "acknowledges 101 bytes of a file of which 100 were sent") {
		t.Error(err)
	}
}

// A peer that says too much is heard 200 times a second, and how often it was not.
func TestLogIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		near, far := narrowPath(1 << 20)
		client, c, server, p := sessions(t, near, far, ignoreEvent, func(*Request) {})
		const n = 5000
		p.Log.Add(Line{Text: "x" + strings.Repeat("é", 50_000)})
		for i := range n - 1 {
			p.Log.Add(Line{At: time.Duration(i), Text: fmt.Sprint("line ", i)})
		}
		heard, missed := 0, 0
		for heard+missed < n {
			l, err := c.Log.Receive()
			if err != nil {
				t.Fatal(err)
			}
			var k int
			if _, err := fmt.Sscanf(l.Text, "%d lines suppressed", &k); err == nil {
				missed += k
				continue
			}
			heard++
			if len(l.Text) > maxText+10 || !utf8.ValidString(l.Text) {
				t.Fatalf("a line of %d bytes ends in %q", len(l.Text), l.Text[max(0, len(l.Text)-10):])
			}
		}
		if heard != linesPerSecond || missed != n-linesPerSecond {
			t.Errorf("%d lines were heard and %d missed", heard, missed)
		}
		time.Sleep(2 * time.Second)
		p.Log.Add(Line{Text: "later"})
		if l, err := c.Log.Receive(); err != nil || l.Text != "later" {
			t.Error(l, err)
		}
		client.Close()
		server.Close()
	})
}

// Measurements, heartbeats and log share a line of 1 Mbit/s; a batch of ten busy steps does not keep a heartbeat.
func TestBatchesLeaveRoomForHeartbeats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		near, far := narrowPath(125_000)
		client, c, server, p := sessions(t, near, far, ignoreEvent, func(*Request) {})
		out, in := NewOutbox(), inboxOf(10)
		go func() { _ = out.Serve(p.Metrics, 0) }()
		go func() {
			for {
				b, err := c.Metrics.Receive()
				if err != nil {
					return
				}
				if _, _, err := in.Take(b); err != nil {
					client.Fail(err)
					return
				}
				c.Metrics.Send(Ack{Upto: b.Seq})
			}
		}()
		go func() {
			for {
				b, err := c.Beats.Receive()
				if err != nil {
					return
				}
				c.Beats.Send(Answer{Seq: b.Seq})
			}
		}()
		like := busy(0, 10_000, 10)
		var longest time.Duration
		for i := range 40 {
			out.Add(second(i, like))
			at := time.Now()
			time.Sleep(5 * time.Millisecond) // the batch is under way
			p.Beats.Send(Beat{Seq: uint64(i)})
			if _, err := p.Beats.Receive(); err != nil {
				t.Fatal(err)
			}
			longest = max(longest, time.Since(at))
			time.Sleep(time.Second - time.Since(at))
		}
		out.Seal()
		if err := out.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		mine, _ := out.Account()
		if theirs, last := in.Account(); mine != theirs || last != 40 {
			t.Errorf("%+v and %+v in %d batches", mine, theirs, last)
		}
		t.Logf("the slowest heartbeat took %v", longest)
		if longest < 50*time.Millisecond || longest > 400*time.Millisecond {
			t.Errorf("a heartbeat took %v", longest)
		}
		client.Close()
		server.Close()
	})
}
