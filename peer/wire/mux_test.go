package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"lt/engine/load"
)

// A connection whose reads and writes do not end when it is closed, as those of a standard input that nobody made non-blocking.
type stubborn struct {
	net.Conn
	closed  chan struct{}
	once    sync.Once
	release chan struct{}
}

func (c *stubborn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		<-c.release
	}
	return n, err
}

func (c *stubborn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// Whatever the connection does, Close returns within its time, everything that waits on a stream returns at once, and nothing
// spins. (By itself yamux waits for ever, and each reader takes a core: hashicorp/yamux issue 149.)
func TestCloseNeedsNoConnectionThatEnds(t *testing.T) {
	near, far := pipe(t)
	stub := &stubborn{Conn: near.(net.Conn), closed: make(chan struct{}), release: make(chan struct{})}
	client, c, server, _ := sessions(t, stub, far, ignoreEvent, func(*Request) {})
	var readers sync.WaitGroup
	for _, read := range []func() error{
		func() error { _, err := c.Beats.Receive(); return err },
		func() error { _, err := c.Metrics.Receive(); return err },
		func() error { _, err := c.Log.Receive(); return err },
		func() error { return c.Control.Do(t.Context(), KindStop, nil, nil) },
	} {
		readers.Add(1)
		go func() {
			defer readers.Done()
			if err := read(); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}()
	}
	time.Sleep(50 * time.Millisecond)
	before := cpuTime(t)
	began := time.Now()
	closed := make(chan error, 1)
	go func() { closed <- client.Close() }()
	readers.Wait()
	if took := time.Since(began); took > closing*2/3 {
		t.Errorf("the readers returned after %v", took)
	}
	if err := <-closed; err == nil {
		t.Error("the connection cannot have been closed, and nobody said so")
	}
	if took := time.Since(began); took < closing || took > closing+10*time.Second {
		t.Errorf("Close returned after %v", took)
	}
	<-stub.closed
	if used := cpuTime(t) - before; used > 300*time.Millisecond { // of 3 s
		t.Errorf("%v of processor time were used while nothing happened", used)
	}
	// Then the process ends, which frees what was left behind.
	stub.Conn.Close()
	close(stub.release)
	<-client.ended
	server.Close()
}

// raw is one frame of yamux.
func raw(kind byte, flags uint16, id, length uint32, body ...byte) []byte {
	b := []byte{0, kind}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint32(b, length)
	return append(b, body...)
}

// What no session holds ends it, with words that say what it was, and is answered with nothing that grows.
func TestHostileSessions(t *testing.T) {
	for name, c := range map[string]struct {
		server bool
		in     []byte
		want   string
	}{
		"a print":          {false, []byte("panic: runtime error: index out of range\n"), `stands in it, as if a program had printed there ("panic: runtime error: index out ")`},
		"a print in bytes": {true, []byte("b"), "something that is no part of the session stands in it"},
		"a ping":           {false, raw(2, 1, 0, 7), "a frame of type 2 came"},
		"an unknown type":  {true, raw(9, 0, 1, 0), "a frame of type 9 came"},
		"a sixth stream":   {true, raw(1, 1, 11, 0), "a frame came for stream 11, and there are 5 streams"},
		"an even stream":   {true, raw(1, 1, 2, 0), "a frame came for stream 2"},
		"a peer's stream":  {false, raw(1, 1, 1, 0), "the peer opened a stream, which only the coordinator does"},
		"a reset":          {false, raw(1, 8, 1, 0), "stream 1 was reset"},
		"a stream's end":   {true, append(raw(1, 1, 1, 0), raw(1, 4, 1, 0)...), "stream 1 was closed"},
		"too much":         {true, raw(0, 0, 1, 1<<20), "1048576 bytes came at once for stream 1"},
		"half a header":    {true, raw(1, 1, 1, 0)[:5], io.ErrUnexpectedEOF.Error()},
		"half of the data": {true, append(raw(1, 1, 1, 0), raw(0, 0, 1, 10, 'c')...), io.ErrUnexpectedEOF.Error()},
		"unknown kind":     {true, append(raw(1, 1, 1, 0), raw(0, 0, 1, 1, 'x')...), `open stream 'x': there is no such stream`},
		"a kind twice": {
			true, append(append(append(raw(1, 1, 1, 0), raw(0, 0, 1, 1, 'c')...), raw(1, 1, 3, 0)...), raw(0, 0, 3, 1, 'c')...),
			`open stream 'c': it is open already`,
		},
		"an end": {true, nil, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := pipe(t)
			make := Client
			if c.server {
				make = Server
			}
			s := make(near, SessionConfig{Log: func(l string) { t.Log(l) }})
			defer s.Close()
			go io.Copy(io.Discard, far)
			if _, err := far.Write(c.in); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "half") || c.in == nil {
				far.(*net.TCPConn).CloseWrite()
			}
			if c.server {
				_, err := AcceptStreams(s, func(*Request) {})
				if err == nil {
					t.Fatal("it was accepted")
				}
			}
			select {
			case <-s.Done():
			case <-time.After(20 * time.Second):
				t.Fatal("the session lives on")
			}
			if !strings.Contains(s.Err().Error(), c.want) {
				t.Errorf("%v\n  instead of %s", s.Err(), c.want)
			}
			far.Close()
		})
	}
}

// What is wrong on one stream ends the session on both sides.
func TestOneStreamEndsAll(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(p *Peer)
		want string
	}{
		"a frame of nothing":   {func(p *Peer) { p.Metrics.st.Write([]byte{9, 9, 9, 9, 9, 9, 9, 9}) }, "a frame says that it holds"},
		"no message":           {func(p *Peer) { p.Metrics.st.sendRaw([]byte("hello")) }, "read *wire.Batch of 5 bytes"},
		"a stream that closes": {func(p *Peer) { p.Metrics.st.mux.Close() }, "stream 5 was closed"},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := pipe(t)
			client, coord, server, p := sessions(t, near, far, ignoreEvent, func(*Request) {})
			c.do(p)
			if _, err := coord.Metrics.Receive(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
			<-client.Done()
			<-server.Done()
			if err := coord.Control.Do(t.Context(), KindStop, nil, nil); err != client.Err() {
				t.Error(err)
			}
			if err := p.Control.Event(KindWarn, Warn{}); err == nil {
				t.Error("an event was taken after the end")
			}
		})
	}
}

// twoPipes is one end of a connection made of two pipes.
type twoPipes struct{ in, out *os.File }

func (p twoPipes) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p twoPipes) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p twoPipes) Close() error                { return errors.Join(p.in.Close(), p.out.Close()) }

func pipes(t *testing.T) (io.ReadWriteCloser, io.ReadWriteCloser) {
	t.Helper()
	upIn, upOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	downIn, downOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return twoPipes{downIn, upOut}, twoPipes{upIn, downOut}
}

// The reply that was on its way when the session ended still arrives, and so does all else that was sent before.
func TestLastWords(t *testing.T) {
	near, far := pipes(t) // as those of ssh; TCP itself drops what is under way to somebody who writes to a closed socket
	_, c, server, p := sessions(t, near, far, ignoreEvent, func(*Request) {})
	const n = 40
	for i := range n {
		if err := p.Metrics.Send(Batch{Seq: uint64(i + 1), Data: make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		// Writing meets a connection that is closed, while the batches are still to be read.
		c.Metrics.Send(Ack{Upto: uint64(i)})
		c.Beats.Send(Answer{Seq: uint64(i)})
		if b, err := c.Metrics.Receive(); err != nil || b.Seq != uint64(i+1) {
			t.Fatal(i, b.Seq, err)
		}
	}
	if _, err := c.Metrics.Receive(); err == nil {
		t.Fatal("no end")
	}
}

// Whoever does not read control messages is cut off; the memory that waits for him is bounded.
func TestControlIsBounded(t *testing.T) {
	near, far := pipe(t)
	stop := make(chan struct{})
	client, c, _, _ := sessions(t, near, far, ignoreEvent, func(*Request) { <-stop })
	defer close(stop)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // whoever asks does not wait for the answer
	big := Changes{Entries: []load.Change{{Epoch: &load.Epoch{Table: bigTable()}}}}
	for range 10_000 {
		if err := c.Control.Do(ctx, KindChanges, big, nil); err == nil || !errors.Is(err, context.Canceled) {
			break
		}
	}
	select {
	case <-client.Done():
	default:
		t.Fatal("nobody minds")
	}
	if !strings.Contains(client.Err().Error(), "64 control messages wait") {
		t.Error(client.Err())
	}
}

// Whoever asks and asks, and does not wait for answers, is cut off before much has been begun for him.
func TestRequestsAreBounded(t *testing.T) {
	near, far := pipe(t)
	asked := make(chan *Request, 2*openRequests)
	_, c, server, _ := sessions(t, near, far, ignoreEvent, func(r *Request) { asked <- r })
	id := uint64(0)
	ask := func() {
		id++
		_ = c.Control.st.send(&Envelope{ID: id, Kind: KindPreflight})
	}
	for range openRequests {
		ask()
	}
	(<-asked).OK(nil) // makes room for another one
	ask()
	for range openRequests {
		<-asked
	}
	if err := server.Err(); err != nil {
		t.Fatal(err)
	}
	ask()
	<-server.Done()
	if err := server.Err(); !strings.Contains(err.Error(), "64 requests wait for their answers") {
		t.Error(err)
	}
	if len(asked) > 0 {
		t.Error("one too many was begun")
	}
}

func TestStreamsAreOpenedOnce(t *testing.T) {
	near, far := pipe(t)
	client, _, server, _ := sessions(t, near, far, ignoreEvent, func(*Request) {})
	for want, err := range map[string]error{
		"open stream 'c': it is open already":                 errorOf(client.Open(StreamControl)),
		"open stream 'x': there is no such stream":            errorOf(client.Open('x')),
		"open stream 'c': only the coordinator opens streams": errorOf(server.Open(StreamControl)),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("%v instead of %s", err, want)
		}
	}
	select {
	case <-client.Done():
		t.Error(client.Err())
	default:
	}
}

func errorOf(_ *Stream, err error) error { return err }

// Nothing that comes makes a session fall over or hang.
func FuzzSession(f *testing.F) {
	open := append(raw(1, 1, 1, 0), raw(0, 0, 1, 1, 'c')...)
	f.Add(true, open)
	f.Add(true, append(open, raw(0, 0, 1, 20, AppendFrame(nil, Encode(Envelope{ID: 1, Kind: KindStop}))...)...))
	f.Add(false, raw(1, 2, 1, 0))
	f.Fuzz(func(t *testing.T, server bool, in []byte) {
		near, far := net.Pipe()
		make := Client
		if server {
			make = Server
		}
		s := make(near, SessionConfig{})
		go io.Copy(io.Discard, far)
		go func() {
			far.Write(in)
			far.Close()
		}()
		if server {
			_, _ = AcceptStreams(s, func(r *Request) { r.OK(nil) })
		}
		<-s.Done()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
