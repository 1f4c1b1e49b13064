package history

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// patience is how long the end of a run waits for a disk: longer than a busy one takes to bring some seconds of a record to its
	// plates, and short enough for somebody who wants to be gone.
	patience = 5 * time.Second

	// mostWaiting is how many bytes may wait for a disk: an hour of a run on one machine, most of a minute of one on sixty-four.
	mostWaiting = 32 << 20
)

// ErrHung is why a record was not finished: what was handed to the disk, or the question whether all of it is there, found no
// answer. ErrBehind is why one was cut short: the disk took less than the run had to tell, or nothing any more.
var (
	ErrHung   = fmt.Errorf("the disk does not answer, %d s were waited for it", patience/time.Second)
	ErrBehind = fmt.Errorf("the disk does not answer, or is too slow: %d MiB wait for it", mostWaiting>>20)
)

// behind is a file that a goroutine of its own writes to, in the order in which it was told. Only one other goroutine may use it.
// What fails is said at the next call. The goroutine ends when the file is closed: with a disk that hangs, when that answers after all.
type behind struct {
	f    File
	ring chan struct{} // of one slot: there is something to do

	mu      sync.Mutex
	tasks   []task
	waiting int   // bytes of them, and of the one that is being written
	size    int64 // of the writes that are in the file whole
	err     error // the first of a write; nothing is written after it
	hung    bool  // waiting is no use any more
}

// task is what the goroutine does next.
type task struct {
	write []byte // a copy
	do    func() error
	last  bool
	done  chan error // of one slot
}

func newBehind(f File, size int64) *behind {
	b := &behind{f: f, ring: make(chan struct{}, 1), size: size}
	go b.run()
	return b
}

func (b *behind) run() {
	for range b.ring {
		for _, t := range b.take() {
			b.carryOut(t)
			if t.last {
				return
			}
		}
	}
}

// take is what there is to do. The ring may be heard once more for what is taken here; then there is nothing.
func (b *behind) take() []task {
	b.mu.Lock()
	defer b.mu.Unlock()
	tasks := b.tasks
	b.tasks = nil
	return tasks
}

func (b *behind) carryOut(t task) {
	b.mu.Lock()
	err := b.err
	b.mu.Unlock()
	switch {
	case t.do != nil:
		t.done <- errors.Join(err, t.do())
		return
	case err == nil:
		_, err = b.f.Write(t.write)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting -= len(t.write)
	if b.err = err; err == nil {
		b.size += int64(len(t.write))
	}
}

// tell lets the goroutine do something; the channel gets what came of it.
func (b *behind) tell(last bool, do func() error) <-chan error {
	t := task{do: do, last: last, done: make(chan error, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(t)
	return t.done
}

func (b *behind) add(t task) {
	b.tasks = append(b.tasks, t)
	select {
	case b.ring <- struct{}{}:
	default: // it will look for itself
	}
}

// await waits for what came of a task, but not longer than the patience, and once only.
func (b *behind) await(done <-chan error) error {
	b.mu.Lock()
	hung := b.hung
	b.mu.Unlock()
	if hung {
		return ErrHung
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hung = true
	return ErrHung
}

// Write hands over a copy of p; nobody waits for the disk.
func (b *behind) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err != nil:
		return 0, b.err
	case b.waiting > 0 && b.waiting+len(p) > mostWaiting:
		b.hung = true
		return 0, ErrBehind
	}
	b.waiting += len(p)
	b.add(task{write: slices.Clone(p)})
	return len(p), nil
}

// Sync waits until the disk has all that was handed over.
func (b *behind) Sync() error { return b.await(b.tell(false, b.f.Sync)) }

// Truncate cuts off what lies behind the last write that is in the file whole, or behind size if that is less. Nobody waits for it.
func (b *behind) Truncate(size int64) error {
	b.tell(false, func() error {
		b.mu.Lock()
		whole := b.size
		b.mu.Unlock()
		return b.f.Truncate(min(size, whole))
	})
	return nil
}

// Close closes the file behind everything that was handed over.
func (b *behind) Close() error { return b.await(b.tell(true, b.f.Close)) }
