package sshproc

import (
	"slices"
	"sync"
	"unicode/utf8"

	"lt/engine/redact"
)

const (
	// maxTail bounds what is kept of stderr, in bytes.
	maxTail = 64 << 10
	// maxLine bounds one line, in bytes as they came; a longer one goes on in the next.
	maxLine = 4 << 10
)

// tail keeps the last lines of a stream, each neutralised. The zero value is empty and ready.
type tail struct {
	line  func(string) // told of each line
	part  []byte       // of a line that has not ended; belongs to the writer
	mu    sync.Mutex
	lines []string
	bytes int
}

// write takes in what came. One goroutine writes.
func (t *tail) write(b []byte) {
	for _, c := range b {
		if c == '\n' {
			t.flush()
			continue
		}
		t.part = append(t.part, c)
		if len(t.part) >= maxLine {
			t.cut()
		}
	}
}

// cut ends a line that is too long, not within a character.
func (t *tail) cut() {
	keep := len(t.part)
	for back := 1; back < utf8.UTFMax; back++ {
		if i := len(t.part) - back; utf8.RuneStart(t.part[i]) {
			if !utf8.FullRune(t.part[i:]) {
				keep = i
			}
			break
		}
	}
	rest := slices.Clone(t.part[keep:])
	t.part = t.part[:keep]
	t.flush()
	t.part = append(t.part, rest...)
}

// flush ends the present line, if it has anything.
func (t *tail) flush() {
	b := t.part
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	s := redact.Neutralise(string(b))
	t.part = t.part[:0]
	t.add(s)
}

// add keeps a line that is harmless already. Any goroutine may add.
func (t *tail) add(s string) {
	if s == "" {
		return
	}
	t.mu.Lock()
	t.lines = append(t.lines, s)
	t.bytes += len(s)
	for t.bytes > maxTail {
		t.bytes -= len(t.lines[0])
		t.lines = t.lines[1:]
	}
	t.mu.Unlock()
	if t.line != nil {
		t.line(s)
	}
}

func (t *tail) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lines)
}
