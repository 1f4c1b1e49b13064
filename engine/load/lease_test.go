package load

import (
	"slices"
	"sync"
	"testing"
	"time"
)

func TestLease(t *testing.T) {
	var l Lease
	if !l.Over(0) {
		t.Error("a lease that nobody granted is over")
	}
	l.Extend(15 * sec)
	l.Extend(10 * sec) // overtaken on its way
	if l.Over(15*sec-1) || !l.Over(15*sec) || l.Until() != 15*sec {
		t.Errorf("the lease ends at %v, want 15s", l.Until())
	}
	l.Forever()
	if l.Over(MaxDuration) {
		t.Error("for ever is over")
	}
}

func TestARevokedLeaseIsOverForGood(t *testing.T) {
	var l Lease
	l.Extend(time.Hour)
	l.Revoke()
	l.Extend(2 * time.Hour)
	l.Forever()
	if !l.Over(0) || !l.Over(-time.Minute) || !l.Revoked() {
		t.Errorf("a revoked lease lasts until %v", l.Until())
	}
}

func TestALeaseNeverShrinksUnderConcurrentExtensions(t *testing.T) {
	var l Lease
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				until := time.Duration(i*4 + w)
				l.Extend(until)
				if l.Until() < until {
					t.Errorf("extended to %v and it ends at %v", until, l.Until())
				}
			}
		})
	}
	wg.Wait()
	if l.Until() != 3999 {
		t.Errorf("ends at %d, want 3999", l.Until())
	}
}

// TestTheWatcherOfALease hears of each move of the end, with the end before, when the new one can be seen.
func TestTheWatcherOfALease(t *testing.T) {
	var l Lease
	var got []time.Duration
	l.Extend(sec)
	l.Watch(func(was time.Duration) { got = append(got, was, l.Until()) })
	l.Extend(3 * sec)
	l.Extend(2 * sec) // overtaken: nothing moves
	l.Revoke()
	l.Extend(4 * sec)
	if want := []time.Duration{sec, 3 * sec, 3 * sec, revoked}; !slices.Equal(got, want) {
		t.Errorf("the watcher heard %v, want %v", got, want)
	}
	l = Lease{}
	l.Watch(func(time.Duration) { t.Error("it watches no more") })
	l.Watch(nil)
	l.Extend(sec)
}
