package lab

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Fault is a path between a coordinator and a peer that needs no rights to fail: ssh takes it as its ProxyCommand, and what it
// carries passes through this process. Its methods act on every connection of the path, also on those that come later, and may be
// called from any goroutine.
type Fault struct {
	address  string // of the sshd
	socket   string
	listener net.Listener
	wait     sync.WaitGroup

	mu      sync.Mutex
	way     [2]way
	changed chan struct{} // closed at every change
	conns   map[net.Conn]struct{}
	refuse  bool
	closed  bool
}

// Direction of a path, or both.
type Direction int

const (
	Up   Direction = 1 // from the coordinator to the peer
	Down Direction = 2 // from the peer to the coordinator
	Both Direction = Up | Down
)

// way is what a path does to one direction.
type way struct {
	delay, jitter time.Duration
	rate          float64 // bytes a second; 0: unlimited
	stalled       bool
	flip          int // bytes to spoil
}

// chunkSize is what the path moves at once: small, so that a slow one is slow evenly.
const chunkSize = 2 << 10

// pathQueue is how many chunks are under way in one direction before the sender has to wait, as a network's own buffers.
const pathQueue = 64

// NewFault makes a path to an sshd, with its socket in dir. It ends with the test.
func NewFault(t testing.TB, dir, address string) *Fault {
	t.Helper()
	f := &Fault{address: address, changed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	f.socket = filepath.Join(dir, "path.sock")
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	f.listener = l
	f.wait.Go(f.serve)
	t.Cleanup(f.close)
	return f
}

// ProxyCommand is the line for ssh's configuration.
func (f *Fault) ProxyCommand() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	return exe + " " + pipeMode + " " + f.socket, nil
}

func (f *Fault) set(d Direction, change func(w *way)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.way {
		if d&(1<<i) != 0 {
			change(&f.way[i])
		}
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// Delay makes everything take so long, give or take jitter, but never overtake.
func (f *Fault) Delay(d Direction, delay, jitter time.Duration) {
	f.set(d, func(w *way) { w.delay, w.jitter = delay, jitter })
}

// Rate limits the path, in bytes a second; 0 lifts the limit.
func (f *Fault) Rate(d Direction, rate float64) { f.set(d, func(w *way) { w.rate = rate }) }

// Stall keeps everything back, as a network that lost its way does; nobody is told. Go ends it, and what was kept arrives.
func (f *Fault) Stall(d Direction) { f.set(d, func(w *way) { w.stalled = true }) }

// Go ends a Stall.
func (f *Fault) Go(d Direction) { f.set(d, func(w *way) { w.stalled = false }) }

// Flip spoils one bit of the next byte.
func (f *Fault) Flip(d Direction) { f.set(d, func(w *way) { w.flip++ }) }

// Cut ends every connection that is up; new ones are welcome.
func (f *Fault) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.Close()
	}
}

// Refuse ends new connections at once, or no longer.
func (f *Fault) Refuse(on bool) {
	f.mu.Lock()
	f.refuse = on
	f.mu.Unlock()
}

func (f *Fault) close() {
	f.mu.Lock()
	f.closed = true
	for c := range f.conns {
		_ = c.Close()
	}
	close(f.changed)
	f.changed = make(chan struct{})
	f.mu.Unlock()
	_ = f.listener.Close()
	f.wait.Wait()
}

func (f *Fault) serve() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.wait.Go(func() { f.carry(c) })
	}
}

// carry is one connection from end to end.
func (f *Fault) carry(c net.Conn) {
	defer c.Close()
	f.mu.Lock()
	no := f.refuse || f.closed
	f.mu.Unlock()
	if no {
		return
	}
	d, err := net.DialTimeout("tcp", f.address, 10*time.Second)
	if err != nil {
		return
	}
	defer d.Close()
	f.mu.Lock()
	f.conns[c], f.conns[d] = struct{}{}, struct{}{}
	if f.closed {
		_ = c.Close()
		_ = d.Close()
	}
	f.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { f.move(d, c, 0) })
	both.Go(func() { f.move(c, d, 1) })
	both.Wait()
	f.mu.Lock()
	delete(f.conns, c)
	delete(f.conns, d)
	f.mu.Unlock()
}

type chunk struct {
	bytes []byte
	due   time.Time
}

// move carries one direction until its source ends.
func (f *Fault) move(to, from net.Conn, i int) {
	queue := make(chan chunk, pathQueue)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.deliver(to, from, queue, i)
	}()
	for {
		b := make([]byte, chunkSize)
		n, err := from.Read(b)
		if n > 0 {
			f.mu.Lock()
			w := f.way[i]
			f.mu.Unlock()
			late := w.delay
			if w.jitter > 0 {
				late += time.Duration(rand.Int64N(2*int64(w.jitter))) - w.jitter
			}
			queue <- chunk{b[:n], time.Now().Add(late)}
		}
		if err != nil {
			break
		}
	}
	close(queue)
	<-done
	if c, ok := to.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

func (f *Fault) deliver(to, from net.Conn, queue <-chan chunk, i int) {
	broken := false
	for c := range queue {
		if broken {
			continue
		}
		time.Sleep(time.Until(c.due))
		w := f.clear(i)
		if w.rate > 0 {
			time.Sleep(time.Duration(float64(len(c.bytes)) / w.rate * float64(time.Second)))
		}
		if w.flip > 0 {
			c.bytes[len(c.bytes)/2] ^= 1
		}
		if _, err := to.Write(c.bytes); err != nil {
			broken = true
			_ = from.Close() // so that the reader ends, too
		}
	}
}

// clear waits until a direction is not stalled, and says what it does now.
func (f *Fault) clear(i int) way {
	for {
		f.mu.Lock()
		w, changed, closed := f.way[i], f.changed, f.closed
		if (!w.stalled || closed) && w.flip > 0 {
			f.way[i].flip--
		}
		f.mu.Unlock()
		if !w.stalled || closed {
			return w
		}
		<-changed
	}
}
