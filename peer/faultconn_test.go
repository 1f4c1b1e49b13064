package peer

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fault is a network path between two ends in memory, to which everything can happen that happens to networks. Up is what the near
// end (the coordinator) writes, down what the far end writes. In a synctest bubble its times are exact.
type fault struct{ up, down *faultPipe }

// faultConn is one end of a path.
type faultConn struct{ in, out *faultPipe }

// newFault makes a path without faults and its two ends.
func newFault() (path *fault, near, far *faultConn) {
	f := &fault{up: newFaultPipe(), down: newFaultPipe()}
	return f, &faultConn{in: f.down, out: f.up}, &faultConn{in: f.up, out: f.down}
}

// stall lets nothing through; what is written meanwhile comes when it heals, as far as buffers reach.
func (f *fault) stall() { f.up.stall(true); f.down.stall(true) }

// heal ends a stall.
func (f *fault) heal() { f.up.stall(false); f.down.stall(false) }

// delay sets how long each direction takes.
func (f *fault) delay(up, down time.Duration) { f.up.setDelay(up); f.down.setDelay(down) }

// rate bounds each direction, in bytes a second; 0 is no bound.
func (f *fault) rate(perSecond int) { f.up.setRate(perSecond); f.down.setRate(perSecond) }

// cut ends both directions at once; what was on its way is lost.
func (f *fault) cut() { f.up.cut(); f.down.cut() }

func (c *faultConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *faultConn) Write(b []byte) (int, error) { return c.out.write(b) }

// Close ends this end: its own Read returns, and the other end reads what is on its way and then the end, unless the path
// stalls: then nobody tells it.
func (c *faultConn) Close() error {
	c.in.abandon()
	c.out.finish()
	return nil
}

// pathBuffer is what a direction holds before a writer has to wait, as the buffers of sockets do.
const pathBuffer = 256 << 10

// faultPipe is one direction.
type faultPipe struct {
	mu       sync.Mutex
	change   *sync.Cond
	chunks   []chunk
	held     int // bytes in chunks
	delay    time.Duration
	perByte  time.Duration
	free     time.Time // when the line has sent what was written before
	stalled  bool
	finished bool // no more is written
	gone     bool // nobody reads any more, or it was cut
	flips    int  // a bit of each of the next so many writes is turned
	short    int  // the next write loses all but so many bytes, and the direction ends; -1: no
	twice    int  // the next so many writes arrive twice
}

type chunk struct {
	at time.Time
	b  []byte
}

func newFaultPipe() *faultPipe {
	p := &faultPipe{short: -1}
	p.change = sync.NewCond(&p.mu)
	return p
}

func (p *faultPipe) set(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	p.change.Broadcast()
}

func (p *faultPipe) stall(on bool)            { p.set(func() { p.stalled = on }) }
func (p *faultPipe) setDelay(d time.Duration) { p.set(func() { p.delay = d }) }
func (p *faultPipe) flip(writes int)          { p.set(func() { p.flips = writes }) }
func (p *faultPipe) truncate(after int)       { p.set(func() { p.short = after }) }
func (p *faultPipe) duplicate(writes int)     { p.set(func() { p.twice = writes }) }
func (p *faultPipe) finish()                  { p.set(func() { p.finished = true }) }
func (p *faultPipe) abandon()                 { p.set(func() { p.gone, p.chunks, p.held = true, nil, 0 }) }

func (p *faultPipe) cut() {
	p.set(func() { p.gone, p.finished, p.chunks, p.held = true, true, nil, 0 })
}

func (p *faultPipe) setRate(bytesPerSecond int) {
	p.set(func() {
		p.perByte = 0
		if bytesPerSecond > 0 {
			p.perByte = time.Second / time.Duration(bytesPerSecond)
		}
	})
}

var errPathClosed = errors.New("the path was closed")

func (p *faultPipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.held > pathBuffer && !p.finished && !p.gone {
		p.change.Wait()
	}
	if p.finished || p.gone {
		return 0, errPathClosed
	}
	data := bytes.Clone(b)
	if p.flips > 0 && len(data) > 0 {
		p.flips--
		data[len(data)/2] ^= 0x10
	}
	if p.short >= 0 {
		data = data[:min(p.short, len(data))]
		p.finished = true
	}
	times := 1
	if p.twice > 0 {
		p.twice--
		times = 2
	}
	now := time.Now()
	for range times {
		if p.free.Before(now) {
			p.free = now
		}
		p.free = p.free.Add(p.perByte * time.Duration(len(data)))
		p.chunks = append(p.chunks, chunk{p.free.Add(p.delay), data})
		p.held += len(data)
	}
	p.change.Broadcast()
	return len(b), nil
}

func (p *faultPipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch wait := p.wait(); {
		case p.gone:
			return 0, io.EOF
		case wait == 0:
			c := &p.chunks[0]
			n := copy(b, c.b)
			if c.b = c.b[n:]; len(c.b) == 0 {
				p.chunks = p.chunks[1:]
			}
			p.held -= n
			p.change.Broadcast()
			return n, nil
		case p.finished && len(p.chunks) == 0 && !p.stalled:
			return 0, io.EOF
		case wait > 0:
			t := time.AfterFunc(wait, func() { p.set(func() {}) })
			p.change.Wait()
			t.Stop()
		default:
			p.change.Wait()
		}
	}
}

// wait is how long until the next chunk arrives; below 0: nobody knows.
func (p *faultPipe) wait() time.Duration {
	if p.stalled || len(p.chunks) == 0 {
		return -1
	}
	return max(0, time.Until(p.chunks[0].at))
}

// What a path does to bytes is what a test of a link relies on.
func TestFaultPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, near, far := newFault()
		path.delay(20*time.Millisecond, 80*time.Millisecond)
		took := func(from, to *faultConn) time.Duration {
			began := time.Now()
			if _, err := from.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(to, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		if up, down := took(near, far), took(far, near); up != 20*time.Millisecond || down != 80*time.Millisecond {
			t.Errorf("up took %v, down %v", up, down)
		}
		path.delay(0, 0)
		path.rate(1000)
		if d := took(near, far); d != 5*time.Millisecond {
			t.Errorf("five bytes at 1000/s took %v", d)
		}
		path.rate(0)
		path.up.stall(true)
		time.AfterFunc(3*time.Second, path.heal)
		if d := took(near, far); d != 3*time.Second {
			t.Errorf("through a stall of 3 s it took %v", d)
		}
		got := make([]byte, 5)
		path.down.flip(1)
		_, _ = far.Write([]byte("hello"))
		if _, err := io.ReadFull(near, got); err != nil || slices.Equal(got, []byte("hello")) {
			t.Errorf("a flipped write came as %q, %v", got, err)
		}
		path.down.truncate(2)
		_, _ = far.Write([]byte("hello"))
		if b, err := io.ReadAll(near); string(b) != "he" || err != nil {
			t.Errorf("a truncated write came as %q, %v", b, err)
		}
		time.AfterFunc(time.Second, path.cut)
		if n, err := far.Read(got); n != 0 || err != io.EOF {
			t.Errorf("read %d bytes, %v of a path that was cut", n, err)
		}
		if _, err := near.Write(got); err == nil {
			t.Error("a path that was cut takes bytes")
		}
	})
}
