package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// errEnded is what a conduit's reader gets after it was shut.
var errEnded = errors.New("the session is over")

// conduit stands between yamux and the connection. It gives the multiplexer what it takes for granted and does not get from
// every connection: that Close ends a Read at once, whatever the connection does (yamux waits in Close for its reader, and
// until that is gone every reader of a stream spins: hashicorp/yamux issue 149). And it looks at every header that comes in, so
// that what this protocol does not use never reaches yamux: a ping starts a goroutine there, an unknown stream a line of log.
type conduit struct {
	conn   io.ReadWriteCloser
	chunks chan []byte   // from pump; closed at the end of conn, with readErr set
	taken  chan struct{} // the chunk before was used up
	shut   chan struct{}
	once   sync.Once
	heard  atomic.Int64 // when bytes came last, after born
	born   time.Time

	// Of the reader alone.
	rest  []byte
	owing bool // a chunk is out that pump waits for
	guard guard
	bad   error // of the guard: what was right before it is still read

	mu                sync.Mutex
	readErr, writeErr error
}

func newConduit(conn io.ReadWriteCloser, server bool) *conduit {
	return &conduit{
		conn: conn, chunks: make(chan []byte), taken: make(chan struct{}), shut: make(chan struct{}), born: time.Now(),
		guard: guard{server: server},
	}
}

// pump reads the connection until it ends. If Read cannot be interrupted it outlives the session, asleep.
func (c *conduit) pump() {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.conn.Read(buf)
		if n > 0 {
			c.heard.Store(int64(time.Since(c.born)))
			select {
			case c.chunks <- buf[:n]:
			case <-c.shut:
				return
			}
			select {
			case <-c.taken:
			case <-c.shut:
				return
			}
		}
		if err != nil {
			c.note(&c.readErr, err)
			close(c.chunks)
			return
		}
	}
}

func (c *conduit) note(at *error, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *at == nil {
		*at = err
	}
}

// Read is called by yamux's one reader.
func (c *conduit) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.bad != nil {
			c.note(&c.readErr, c.bad)
			return 0, c.bad
		}
		if c.owing {
			c.owing = false
			select {
			case c.taken <- struct{}{}:
			case <-c.shut:
				return 0, errEnded
			}
		}
		select {
		case chunk, ok := <-c.chunks:
			if !ok {
				return 0, c.end()
			}
			c.owing = true
			good, err := c.guard.check(chunk)
			c.rest, c.bad = chunk[:good], err
			if good == 0 {
				return c.Read(b)
			}
		case <-c.shut:
			return 0, errEnded
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// end is why the connection ended: io.EOF only if no frame was cut.
func (c *conduit) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.readErr, io.EOF) && !c.guard.between() {
		c.readErr = io.ErrUnexpectedEOF
	}
	return c.readErr
}

// Write is called by yamux's one writer.
func (c *conduit) Write(b []byte) (int, error) {
	select {
	case <-c.shut:
		return 0, errEnded
	default:
	}
	n, err := c.conn.Write(b)
	if err != nil {
		c.note(&c.writeErr, err)
		// The other side is gone, and the last that it said may still be on its way: the reader comes to its end first.
		t := time.NewTimer(lastWords)
		defer t.Stop()
		select {
		case <-c.shut:
		case <-t.C:
		}
	}
	return n, err
}

// lastWords is how long the reader may go on after a write did not succeed.
const lastWords = time.Second

// Close ends the reader; the connection itself is closed by the session.
func (c *conduit) Close() error {
	c.once.Do(func() { close(c.shut) })
	return nil
}

// cause is what ended the connection, nil if nothing did.
func (c *conduit) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readErr != nil {
		return c.readErr
	}
	if c.writeErr != nil {
		return fmt.Errorf("write: %w", c.writeErr)
	}
	return nil
}

// guard follows the headers of yamux's frames (version, type, flags, stream, length; 12 bytes, big endian) in what comes in and
// refuses what this protocol never sends.
type guard struct {
	server bool // the other side opens the streams
	head   [12]byte
	have   int
	body   uint32 // bytes of data until the next header
}

const (
	muxData, muxWindow, muxGoAway = 0, 1, 3
	muxSYN, muxFIN, muxRST        = 1, 4, 8
	muxStreams                    = 2*len(streamKinds) - 1 // the highest number of a stream: the client's are odd
)

// between reports whether no frame is cut here.
func (g *guard) between() bool { return g.have == 0 && g.body == 0 }

// check reads on and returns how many bytes of b may pass, all unless there is an error.
func (g *guard) check(b []byte) (int, error) {
	for i := 0; i < len(b); {
		if g.body > 0 {
			n := min(uint32(min(len(b)-i, 1<<30)), g.body)
			g.body -= n
			i += int(n)
			continue
		}
		n := copy(g.head[g.have:], b[i:])
		begin := max(i-g.have, 0)
		g.have += n
		i += n
		if err := g.header(b[i:]); err != nil {
			return begin, err
		}
	}
	return len(b), nil
}

// header judges what is known of a header; after is what follows it, for the dump.
func (g *guard) header(after []byte) error {
	refuse := func(what string) error {
		got := append(append([]byte(nil), g.head[:g.have]...), after[:min(len(after), 32-g.have)]...)
		return frameError(got, "%s (%s)", what, strconv.Quote(said(got)))
	}
	h := g.head[:g.have]
	if h[0] != 0 {
		return refuse("something that is no part of the session stands in it, as if a program had printed there")
	}
	if len(h) < len(g.head) {
		return nil
	}
	g.have = 0
	kind, flags, id, length := h[1], binary.BigEndian.Uint16(h[2:]), binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	switch {
	case kind == muxGoAway:
		return nil
	case kind != muxData && kind != muxWindow:
		return refuse(fmt.Sprintf("a frame of type %d came, which this protocol does not use", kind))
	case id%2 == 0 || id > uint32(muxStreams):
		return refuse(fmt.Sprintf("a frame came for stream %d, and there are %d streams", id, len(streamKinds)))
	case flags&muxSYN != 0 && !g.server:
		return refuse("the peer opened a stream, which only the coordinator does")
	case flags&muxRST != 0:
		return refuse(fmt.Sprintf("stream %d was reset", id))
	case flags&muxFIN != 0:
		return refuse(fmt.Sprintf("stream %d was closed, and streams end with their session", id))
	case kind == muxData && length > window:
		return refuse(fmt.Sprintf("%d bytes came at once for stream %d, which takes %d", length, id, window))
	}
	if kind == muxData {
		g.body = length
	}
	return nil
}
