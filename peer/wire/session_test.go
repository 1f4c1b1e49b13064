package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if run := helpers[os.Getenv("LT_WIRE_HELPER")]; run != nil {
		os.Exit(run())
	}
	goleak.VerifyTestMain(m)
}

// helpers are what this test binary does instead of tests when it is started as a process of its own.
var helpers = map[string]func() int{}

// pipe is a path in memory with some room, as sockets have; net.Pipe has none, and both ends writing at once would wait for ever.
func pipe(t testing.TB) (io.ReadWriteCloser, io.ReadWriteCloser) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// sessions makes both ends of a session with their streams.
func sessions(t *testing.T, near, far io.ReadWriteCloser, event func(Kind, []byte), request func(*Request)) (*Session, *Coordinator, *Session, *Peer) {
	t.Helper()
	log := func(line string) { t.Log(line) }
	client, server := Client(near, SessionConfig{Log: log}), Server(far, SessionConfig{Log: log})
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	type accepted struct {
		p   *Peer
		err error
	}
	got := make(chan accepted, 1)
	go func() {
		p, err := AcceptStreams(server, request)
		got <- accepted{p, err}
	}()
	c, err := OpenStreams(client, event)
	if err != nil {
		t.Fatal(err)
	}
	a := <-got
	if a.err != nil {
		t.Fatal(a.err)
	}
	return client, c, server, a.p
}

func ignoreEvent(Kind, []byte) {}

func ctxSoon(t *testing.T) context.Context {
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(stop)
	return ctx
}

// Requests are answered by number, whatever the order of the answers; events come in order beside them.
func TestControl(t *testing.T) {
	near, far := pipe(t)
	var slow *Request
	asked := make(chan struct{})
	events := make(chan string, 10)
	_, c, _, p := sessions(t, near, far,
		func(k Kind, b []byte) {
			var w Warn
			if err := Decode(b, &w); err != nil || k != KindWarn {
				t.Errorf("%v %v", k, err)
			}
			events <- w.Text
		},
		func(r *Request) {
			switch r.Kind {
			case KindPlan:
				slow = r // answered later, by the next
				close(asked)
			case KindArm:
				var a Arm
				if r.Decode(&a) == nil && a.Name == "ada" {
					r.OK(nil)
					r.Refuse("internal", "a second reply, which must not be sent")
				}
				slow.OK(Ready{Steps: 7})
			case KindChanges:
				r.Refuse("refused", "not\x1bnow")
			}
		})
	planned := make(chan error, 1)
	var ready Ready
	go func() { planned <- c.Control.Do(ctxSoon(t), KindPlan, Plan{Size: 1}, &ready) }()
	<-asked
	if err := c.Control.Do(ctxSoon(t), KindArm, Arm{Name: "ada"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-planned; err != nil || ready.Steps != 7 {
		t.Fatal(err, ready)
	}
	var refused *RefusedError
	if err := c.Control.Do(ctxSoon(t), KindChanges, Changes{}, nil); !errors.As(err, &refused) || refused.Code != "refused" || refused.Text != `not\x1bnow` {
		t.Fatal(err)
	}
	for _, s := range []string{"a", "b", "c"} {
		if err := p.Control.Event(KindWarn, Warn{Text: s}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []string{"a", "b", "c"} {
		if got := <-events; got != s {
			t.Fatalf("%s instead of %s", got, s)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := c.Control.Do(ctx, KindStop, Stop{}, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// Of heartbeats the newest arrives; a file arrives whole; lines arrive.
func TestStreams(t *testing.T) {
	near, far := pipe(t)
	client, c, server, p := sessions(t, near, far, ignoreEvent, func(*Request) {})
	for i := range 1000 {
		p.Beats.Send(Beat{Seq: uint64(i + 1), Sent: time.Second})
	}
	var last uint64
	for last < 1000 {
		b, err := c.Beats.Receive()
		if err != nil || b.Seq <= last {
			t.Fatal(b, err)
		}
		last = b.Seq
	}
	c.Beats.Send(Answer{Seq: last, Grant: time.Second})
	if a, err := p.Beats.Receive(); err != nil || a.Seq != last || a.Grant != time.Second {
		t.Fatal(a, err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	var taken atomic.Int64
	sent := make(chan error, 1)
	go func() {
		sent <- c.Files.Send(ctxSoon(t), data, false, func(n int) { taken.Store(int64(n)) })
	}()
	got, err := p.Files.Receive(Plan{Size: int64(len(data)), SHA256: sha256.Sum256(data)})
	if err != nil || !bytes.Equal(got, data) {
		t.Fatal(err)
	}
	if err := <-sent; err != nil || taken.Load() != int64(len(data)) {
		t.Fatal(err, taken.Load())
	}
	p.Log.Add(Line{Text: "hello"})
	if l, err := c.Log.Receive(); err != nil || l.Text != "hello" {
		t.Fatal(l, err)
	}
	if time.Since(client.Heard()) > 10*time.Second {
		t.Error(client.Heard())
	}
	// The end of one side is the clean end of the other.
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Log.Receive(); err != io.EOF {
		t.Fatal(err)
	}
	<-client.Done()
	if client.Err() != io.EOF || server.Err() != ErrClosed {
		t.Fatal(client.Err(), server.Err())
	}
	if err := c.Control.Do(t.Context(), KindStop, nil, nil); err != io.EOF {
		t.Fatal(err)
	}
}
