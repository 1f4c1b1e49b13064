package shop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	headerTimeout = 10 * time.Second // for the head of a request to arrive
	bodyTimeout   = 10 * time.Second // and for its body
	idleTimeout   = 5 * time.Minute  // users that think keep their connection: the longest pause of the shipped profiles is 1 min
	maxHead       = 64 << 10         // bytes
	maxBody       = 64 << 10         // bytes
)

// Server is the shop. Its methods may be called concurrently.
type Server struct {
	config   Config
	http     http.Server
	shop     *http.ServeMux // what customers ask for
	control  *http.ServeMux // /stats and /healthz
	sessions *sessions
	epoch    atomic.Pointer[epoch]
	wire     wire

	closing   chan struct{} // closed by Close
	closeOnce sync.Once

	mu   sync.Mutex
	none chan struct{} // closed when no connection is open any more; nil if nobody waits for that
}

// New makes a shop. It starts nothing. A Config that Validate refuses is a mistake of the program: New panics.
func New(c Config) *Server {
	if err := c.Validate(); err != nil {
		panic(fmt.Sprintf("shop: %v", err))
	}
	s := &Server{config: c, sessions: newSessions(c.Seed, maxSessions), closing: make(chan struct{})}
	s.shop, s.control = s.routes()
	s.epoch.Store(newEpoch(c, wireCount{}))
	s.http = http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHead,
		ConnState:         s.onConnState,
		ConnContext:       withConn,
		// What clients do wrong is in the counts; a log would run across the screen that shares this terminal.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	return s
}

// Serve answers on a listener, which it closes, until Shutdown or Close; then it returns nil. After Shutdown wait for
// that one to return as well. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(listener{l, &s.wire}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("shop: serve on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown stops listening, lets what is in hand be answered, and returns when all connections are over. If the context
// ends before, it does what Close does and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("shop: shut down: %w", err), s.Close())
	}
	return s.Close()
}

// Close ends everything at once: listeners, connections and requests that wait. It returns when all their goroutines
// have ended. A Server that was closed cannot be used again.
func (s *Server) Close() error {
	s.closeOnce.Do(func() { close(s.closing) })
	err := s.http.Close()
	s.mu.Lock()
	if s.wire.open.Load() > 0 && s.none == nil {
		s.none = make(chan struct{})
	}
	none := s.none
	s.mu.Unlock()
	if none != nil {
		<-none
	}
	if err != nil {
		return fmt.Errorf("shop: close: %w", err)
	}
	return nil
}

// Stats returns the counts of the present epoch.
func (s *Server) Stats() Stats { return s.epoch.Load().stats(s.wire.count()) }

// Reset begins a new epoch and returns the counts of the one before. The station is idle again, the numbering of
// requests, the seed's streams and the planned stalls begin anew with the next request; sessions stay. Requests in hand
// are answered when they would have been, and count in their own epoch, no longer in what is returned here.
func (s *Server) Reset() Stats {
	count := s.wire.count()
	return s.epoch.Swap(newEpoch(s.config, count)).stats(count)
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// onConnState follows the connections. net/http reports StateNew before it starts a connection's goroutine and
// StateClosed as the last thing in it.
func (s *Server) onConnState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.wire.accepted.Add(1)
		s.wire.open.Add(1)
		select {
		case <-s.closing:
			// Accepted while Close went through the connections that it knew: nobody else would end this one.
			_ = c.Close()
		default:
		}
	case http.StateClosed:
		if s.wire.open.Add(-1) > 0 {
			return
		}
		s.mu.Lock()
		if s.none != nil && s.wire.open.Load() == 0 { // looked at again: another may have come before the lock
			close(s.none)
			s.none = nil
		}
		s.mu.Unlock()
	}
}

// ServeHTTP answers a request: control at once, everything else counted and, if the shop has such a page, through the
// station.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/stats" || r.URL.Path == "/healthz" {
		s.control.ServeHTTP(w, r)
		return
	}
	x := &exchange{ResponseWriter: w, epoch: s.epoch.Load(), route: "other", head: r.Method == http.MethodHead}
	c, connected := r.Context().Value(connKey{}).(*conn)
	first := false
	if connected {
		first = c.epoch != x.epoch
		c.epoch = x.epoch
	}
	x.epoch.arrive(connected, first)
	defer func() { x.epoch.end(x.route, x.status, x.bodyIn, x.bodyOut) }()
	s.shop.ServeHTTP(x, r)
	if x.status == 0 {
		x.status = http.StatusOK // what net/http sends for a handler that wrote nothing
	}
}

// exchange is one counted request and its answer.
type exchange struct {
	http.ResponseWriter
	epoch           *epoch
	route           string
	head            bool // the answer's body is not sent
	status          int  // 0 until the answer began
	bodyIn, bodyOut int64
}

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= 200 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	n, err := x.ResponseWriter.Write(p)
	if !x.head {
		x.bodyOut += int64(n)
	}
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// pageFunc is a handler behind the station. The body has been read whole.
type pageFunc func(w http.ResponseWriter, r *http.Request, body []byte)

// behind puts a page behind the station.
func (s *Server) behind(route string, page pageFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := w.(*exchange)
		x.route = route
		body, ok := s.body(x, r)
		if !ok {
			return
		}
		v, ok := x.epoch.admit()
		if !ok {
			w.Header().Set("Retry-After", "1")
			fail(w, http.StatusServiceUnavailable, "the queue is full")
			return
		}
		s.hold(x, r, v)
		w.Header().Set("Server-Timing", fmt.Sprintf("queue;dur=%.3f, service;dur=%.3f",
			milliseconds(v.start-v.arrival), milliseconds(v.departure-v.start)))
		if v.fail {
			fail(w, http.StatusInternalServerError, "this error was asked for by the share of errors")
			return
		}
		page(w, r, body)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// body reads a request's body. It is read before the request comes to the station, as a slow sender would otherwise hold
// a server that it does not use, and because net/http notices that a client went away only once the body is over.
func (s *Server) body(x *exchange, r *http.Request) ([]byte, bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, true
	}
	control := http.NewResponseController(x.ResponseWriter)
	timed := control.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil
	body, err := io.ReadAll(http.MaxBytesReader(x.ResponseWriter, r.Body, maxBody))
	x.bodyIn = int64(len(body))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		fail(x, http.StatusRequestEntityTooLarge, fmt.Sprintf("at most %d bytes", maxBody))
		return nil, false
	}
	if err != nil {
		panic(http.ErrAbortHandler) // cut short, or not within bodyTimeout: there is nobody to answer
	}
	if timed {
		// Left in place it would later look as if the client had gone.
		if err := control.SetReadDeadline(time.Time{}); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	return body, true
}

// hold keeps a request until its departure. If its client goes away or the shop closes, it does not return; the
// request's place in the station remains what it was, as a server works on for a client that has gone.
func (s *Server) hold(x *exchange, r *http.Request, v visit) {
	if wait := x.epoch.until(v.departure); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		case <-s.closing:
			panic(http.ErrAbortHandler)
		}
	}
	if r.Context().Err() != nil {
		// Aborting instead of returning: a client that only closed its sending side must not get an empty 200.
		panic(http.ErrAbortHandler)
	}
	x.epoch.release(v.departure)
}
