package wire

import "sync"

// limitOf is the most that a frame of a stream holds.
func limitOf(kind byte) int {
	switch kind {
	case StreamBeat:
		return MaxBeat
	case StreamMetrics:
		return MaxMetrics
	case StreamLog:
		return MaxLog
	case StreamFile:
		return MaxFile
	}
	return MaxControl
}

// send writes a message as one frame and waits until the connection took it. One goroutine at a time.
func (st *Stream) send(v any) error { return st.sendRaw(Encode(v)) }

func (st *Stream) sendRaw(payload []byte) error {
	err := WriteFrame(st, payload, limitOf(st.kind))
	if err != nil {
		st.s.Fail(err)
		err = st.s.Err()
	}
	return err
}

// receive reads the next message into v, a pointer. One goroutine at a time.
func (st *Stream) receive(v any) error {
	b, err := st.receiveRaw()
	if err != nil {
		return err
	}
	if err := Decode(b, v); err != nil {
		st.s.Fail(err)
		return st.s.Err()
	}
	return nil
}

func (st *Stream) receiveRaw() ([]byte, error) {
	b, err := ReadFrame(st, limitOf(st.kind))
	if err != nil {
		// A frame that the end of the session cut is told as that end.
		st.s.Fail(err)
		err = st.s.Err()
	}
	return b, err
}

// Latest is a stream whose messages make the older ones worthless: heartbeats and their answers, acknowledgements.
type Latest[Out, In any] struct {
	st     *Stream
	mu     sync.Mutex
	next   *Out
	filled chan struct{}
}

func newLatest[Out, In any](st *Stream) *Latest[Out, In] {
	l := &Latest[Out, In]{st: st, filled: make(chan struct{}, 1)}
	go func() {
		defer st.s.cfg.recover()
		l.write()
	}()
	return l
}

// Send never waits: what was not yet taken by the writer is replaced. What comes of it is told by the session. Safe for concurrent
// use.
func (l *Latest[Out, In]) Send(m Out) {
	l.mu.Lock()
	l.next = &m
	l.mu.Unlock()
	select {
	case l.filled <- struct{}{}:
	default:
	}
}

func (l *Latest[Out, In]) write() {
	for {
		select {
		case <-l.filled:
		case <-l.st.s.Done():
			return
		}
		l.mu.Lock()
		m := l.next
		l.next = nil
		l.mu.Unlock()
		if m != nil && l.st.send(m) != nil {
			return
		}
	}
}

// Receive waits for the next message. Its error is the end of the session. For one goroutine at a time.
func (l *Latest[Out, In]) Receive() (In, error) {
	var m In
	err := l.st.receive(&m)
	return m, err
}

// Ordered is a stream whose messages all arrive, in order. For one sender and one receiver at a time.
type Ordered[Out, In any] struct{ st *Stream }

// Send waits until the connection took m.
func (o *Ordered[Out, In]) Send(m Out) error { return o.st.send(&m) }

// Receive waits for the next message. Its error is the end of the session.
func (o *Ordered[Out, In]) Receive() (In, error) {
	var m In
	err := o.st.receive(&m)
	return m, err
}

// Coordinator is the coordinator's side of a session's streams. All its Receive methods have to be called until they fail.
type Coordinator struct {
	Control *Control
	Beats   *Latest[Answer, Beat]
	Metrics *Latest[Ack, Batch] // an acknowledgement covers those before it
	Log     *Ordered[struct{}, Line]
	Files   *Upload
}

// OpenStreams opens the five streams of a session. event is told of the peer's events, in order, by one goroutine; it must not wait.
func OpenStreams(s *Session, event func(Kind, []byte)) (*Coordinator, error) {
	streams := make(map[byte]*Stream, len(streamKinds))
	for _, k := range streamKinds {
		st, err := s.Open(k)
		if err != nil {
			return nil, err
		}
		streams[k] = st
	}
	return &Coordinator{
		Control: newControl(streams[StreamControl], func(e Envelope) error {
			event(e.Kind, e.Body)
			return nil
		}),
		Beats:   newLatest[Answer, Beat](streams[StreamBeat]),
		Metrics: newLatest[Ack, Batch](streams[StreamMetrics]),
		Log:     &Ordered[struct{}, Line]{streams[StreamLog]},
		Files:   &Upload{streams[StreamFile]},
	}, nil
}

// Peer is the peer's side of a session's streams.
type Peer struct {
	Control *Control
	Beats   *Latest[Beat, Answer]
	Metrics *Ordered[Batch, Ack] // driven by Outbox.Serve
	Log     *LogWriter
	Files   *Download
}

// AcceptStreams waits for the five streams of a session; closing the session ends the wait. request is told of the coordinator's
// requests, in order, by one goroutine: it must not wait, but start what takes long and have it reply.
func AcceptStreams(s *Session, request func(*Request)) (*Peer, error) {
	streams := make(map[byte]*Stream, len(streamKinds))
	for range streamKinds {
		st, err := s.Accept()
		if err != nil {
			return nil, err
		}
		streams[st.kind] = st
	}
	p := &Peer{
		Beats:   newLatest[Beat, Answer](streams[StreamBeat]),
		Metrics: &Ordered[Batch, Ack]{streams[StreamMetrics]},
		Log:     newLogWriter(streams[StreamLog]),
		Files:   &Download{streams[StreamFile]},
	}
	p.Control = newServing(streams[StreamControl], request)
	return p, nil
}
