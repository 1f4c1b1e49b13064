package wire

import (
	"fmt"
	"sync"
	"time"
	"unicode/utf8"
)

// The bounds of a peer's log: what says more is summed up in a line.
const (
	linesPerSecond = 200
	linesWaiting   = 2 * linesPerSecond
	maxText        = 4 << 10 // bytes of a line
)

// LogWriter is the peer's side of the log stream: at most 200 lines a second, and no more than the connection takes; what is
// left out is counted, and the count is said as soon as there is room.
type LogWriter struct {
	st    *Stream
	ready chan struct{}

	mu         sync.Mutex
	queue      []Line
	tokens     float64
	filled     time.Time
	suppressed int
	last       time.Duration // run time of the newest line, suppressed or not
}

func newLogWriter(st *Stream) *LogWriter {
	w := &LogWriter{st: st, ready: make(chan struct{}, 1), tokens: linesPerSecond, filled: time.Now()}
	go func() {
		defer st.s.cfg.recover()
		w.write()
	}()
	return w
}

// Add never waits. Safe for concurrent use.
func (w *LogWriter) Add(l Line) {
	if len(l.Text) > maxText {
		cut := maxText
		for cut > maxText-utf8.UTFMax && !utf8.RuneStart(l.Text[cut]) {
			cut--
		}
		l.Text = l.Text[:cut] + " [cut]"
	}
	w.mu.Lock()
	now := time.Now()
	w.tokens = min(w.tokens+now.Sub(w.filled).Seconds()*linesPerSecond, linesPerSecond)
	w.filled = now
	w.last = l.At
	if w.tokens < 1 || len(w.queue) >= linesWaiting {
		w.suppressed++
	} else {
		w.tokens--
		if w.suppressed > 0 {
			w.queue = append(w.queue, w.summary(l.At))
		}
		w.queue = append(w.queue, l)
	}
	w.mu.Unlock()
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *LogWriter) summary(at time.Duration) Line {
	n := w.suppressed
	w.suppressed = 0
	return Line{At: at, Text: fmt.Sprintf("%d lines suppressed: more than %d a second, or than the connection takes", n, linesPerSecond)}
}

// take is the next line.
func (w *LogWriter) take() (Line, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) > 0 {
		l := w.queue[0]
		w.queue = w.queue[1:]
		return l, true
	}
	return Line{}, false
}

// overdue is the summary of lines that were suppressed and that no line came after.
func (w *LogWriter) overdue() (Line, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.suppressed == 0 || len(w.queue) > 0 {
		return Line{}, false
	}
	return w.summary(w.last), true
}

func (w *LogWriter) write() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		next := w.take
		select {
		case <-w.ready:
		case <-tick.C:
			next = w.overdue
		case <-w.st.s.Done():
			return
		}
		for l, ok := next(); ok; l, ok = next() {
			if w.st.send(&l) != nil {
				return
			}
		}
	}
}
