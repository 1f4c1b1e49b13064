package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"lt/engine/redact"
)

// streamKinds are all streams of a session, each opened once, by the coordinator.
var streamKinds = [...]byte{StreamControl, StreamBeat, StreamMetrics, StreamLog, StreamFile}

// window is how much a stream takes before its reader does: the least that yamux allows. What may be under way is bounded far
// below it where it would keep heartbeats waiting: by acknowledgements.
const window = 256 << 10

// closing is how long Close waits for the connection.
const closing = 3 * time.Second

// ErrClosed is the end of a session by its own Close.
var ErrClosed = errors.New("the session was closed here")

// SessionConfig is what surrounds a session; the zero value will do.
type SessionConfig struct {
	Log     func(line string) // what the multiplexer has to say, neutralised; nil: nobody hears it
	Recover func()            // deferred in every goroutine; nil: none
}

func (c *SessionConfig) recover() {
	if c.Recover != nil {
		c.Recover()
	}
}

// Session is one connection that carries the five streams. It is as good as its connection: any error other than its clean end,
// on any stream, ends all of it, because a stream after an error is out of step (hashicorp/yamux issue 142); what was lost with it
// is sent again over the next one.
//
// All methods are safe for concurrent use. Whatever was received before the end is still read from the streams after it.
type Session struct {
	cfg    SessionConfig
	server bool
	mux    *yamux.Session
	line   *conduit

	mu     sync.Mutex
	err    error
	opened map[byte]bool

	done  chan struct{} // the session is over, err says why
	ended chan struct{} // and all its goroutines have ended, the connection is closed
}

// Client is the coordinator's end of a session over conn, which is the session's from here on. The introductions are over.
func Client(conn io.ReadWriteCloser, c SessionConfig) *Session { return newSession(conn, c, false) }

// Server is the peer's end.
func Server(conn io.ReadWriteCloser, c SessionConfig) *Session { return newSession(conn, c, true) }

func newSession(conn io.ReadWriteCloser, c SessionConfig, server bool) *Session {
	s := &Session{
		cfg: c, server: server, line: newConduit(conn, server), opened: make(map[byte]bool),
		done: make(chan struct{}), ended: make(chan struct{}),
	}
	config := &yamux.Config{
		AcceptBacklog:          16,
		EnableKeepAlive:        false, // heartbeats are ours; its own are slow and start a goroutine each
		KeepAliveInterval:      time.Second,
		ConnectionWriteTimeout: 8 * time.Second,
		MaxStreamWindowSize:    window,
		StreamOpenTimeout:      10 * time.Second,
		// Streams live as long as their session, so none has to be given up alone; a timer for it would only outlive the session.
		StreamCloseTimeout: 0,
		Logger:             muxLog{s},
	}
	begin := yamux.Client
	if server {
		begin = yamux.Server
	}
	mux, err := begin(s.line, config)
	if err != nil {
		panic("wire: the configuration of yamux: " + err.Error())
	}
	s.mux = mux
	pumped := make(chan struct{})
	go func() {
		defer c.recover()
		defer close(pumped)
		s.line.pump()
	}()
	go s.attend(pumped)
	return s
}

// attend waits for the end, whoever brings it about, and clears up after it.
func (s *Session) attend(pumped <-chan struct{}) {
	defer s.cfg.recover()
	select {
	case <-s.done:
	case <-s.mux.CloseChan():
		cause := s.line.cause()
		if cause == nil {
			cause = errors.New("the session broke: the multiplexer gave it up")
		}
		s.Fail(cause)
	}
	// First the reader of yamux, which never waits; so no stream's reader spins. Then the connection, which ends the writer.
	_ = s.line.Close()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = s.mux.Close()
	}()
	_ = s.line.conn.Close()
	<-closed
	<-pumped
	close(s.ended)
}

// Fail ends the session for a reason. Only the first counts.
func (s *Session) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	close(s.done)
}

// Done is closed when the session is over.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err is why the session is over: io.EOF if the other side ended it in good order, ErrClosed after Close; nil as long as it lives.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Heard is when bytes came from the other side last: any of them is a sign of life. Before the first it is when the session began.
func (s *Session) Heard() time.Time { return s.line.born.Add(time.Duration(s.line.heard.Load())) }

// Close ends the session and its connection. It waits for both, for at most 3 s: a connection that cannot be closed is
// left behind, asleep, and said through Log. All that waits on a stream returns at once.
func (s *Session) Close() error {
	s.Fail(ErrClosed)
	watchdog := time.NewTimer(closing)
	defer watchdog.Stop()
	select {
	case <-s.ended:
		return nil
	case <-watchdog.C:
		s.log("the connection of the session does not close; it is left behind")
		return fmt.Errorf("close the session's connection: it did not end within %v", closing)
	}
}

func (s *Session) log(line string) {
	if s.cfg.Log != nil {
		s.cfg.Log(redact.Neutralise(line))
	}
}

// muxLog is where yamux writes to; by itself it would write to stderr, over the screen.
type muxLog struct{ s *Session }

func (l muxLog) Print(v ...any)                 { l.say(fmt.Sprint(v...)) }
func (l muxLog) Println(v ...any)               { l.say(fmt.Sprintln(v...)) }
func (l muxLog) Printf(format string, v ...any) { l.say(fmt.Sprintf(format, v...)) }

func (l muxLog) say(line string) {
	// What it says once the connection is over is about the ruins.
	select {
	case <-l.s.done:
	case <-l.s.line.shut:
	default:
		if l.s.line.cause() == nil {
			l.s.log(strings.TrimSpace(line))
		}
	}
}

// Stream is one of a session's streams. Read and Write may be called at the same time, each by one goroutine at a time.
type Stream struct {
	kind byte
	s    *Session
	mux  *yamux.Stream
}

// Kind is one of StreamControl and the others.
func (st *Stream) Kind() byte { return st.kind }

// Open opens the stream of a kind: the coordinator, each once.
func (s *Session) Open(kind byte) (*Stream, error) {
	if s.server {
		return nil, fmt.Errorf("open stream %q: only the coordinator opens streams", kind)
	}
	if err := s.admit(kind); err != nil {
		return nil, err
	}
	m, err := s.mux.OpenStream()
	if err != nil {
		return nil, s.broken(err)
	}
	st := &Stream{kind, s, m}
	if _, err := st.Write([]byte{kind}); err != nil {
		return nil, err
	}
	return st, nil
}

// Accept waits for the next stream that the coordinator opens. It is called five times.
func (s *Session) Accept() (*Stream, error) {
	m, err := s.mux.AcceptStream()
	if err != nil {
		return nil, s.broken(err)
	}
	st := &Stream{s: s, mux: m}
	var kind [1]byte
	if _, err := io.ReadFull(st, kind[:]); err != nil {
		return nil, err
	}
	st.kind = kind[0]
	if err := s.admit(st.kind); err != nil {
		s.Fail(err)
		return nil, err
	}
	return st, nil
}

// admit takes every kind once.
func (s *Session) admit(kind byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range streamKinds {
		if k != kind {
			continue
		}
		if s.opened[kind] {
			return fmt.Errorf("open stream %q: it is open already", kind)
		}
		s.opened[kind] = true
		return nil
	}
	return fmt.Errorf("open stream %q: there is no such stream", kind)
}

// broken ends the session because of an error of the multiplexer, and returns why it really ended.
func (s *Session) broken(err error) error {
	// yamux closes its streams, which then say EOF, before it says why; the cause is known to attend.
	if s.mux.IsClosed() || errors.Is(err, errEnded) {
		<-s.done
		return s.Err()
	}
	s.Fail(err)
	return s.Err()
}

// Read reads what came. The error is that of the session, which any error ends.
func (st *Stream) Read(b []byte) (int, error) {
	n, err := st.mux.Read(b)
	if err != nil {
		err = st.s.broken(err)
	}
	return n, err
}

// Write sends b in pieces of at most 16 KiB, so that other streams come in between, and returns when all of it was written to
// the connection.
func (st *Stream) Write(b []byte) (int, error) {
	sent := 0
	for sent < len(b) {
		n, err := st.mux.Write(b[sent:min(len(b), sent+piece)])
		sent += n
		if err != nil {
			return sent, st.s.broken(err)
		}
	}
	return sent, nil
}
