package loop

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWheelAgainstModel compares the wheel with a table of due times, over
// steps of time that cross slots, levels and all of the range.
func TestWheelAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		w.init()
		due := map[uint32]time.Duration{}
		ticks := map[uint32]uint64{}
		now := time.Duration(0)
		delay := rapid.OneOf(
			rapid.Int64Range(-int64(time.Second), int64(3*time.Millisecond)),
			rapid.Int64Range(0, int64(300*time.Millisecond)),
			rapid.Int64Range(0, int64(100*time.Second)),
			rapid.Int64Range(0, int64(500*24*time.Hour)),
		)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				id := rapid.Uint32Range(0, 40).Draw(t, "id")
				at := now + time.Duration(delay.Draw(t, "delay"))
				w.set(id, at)
				if n, ok := tickAfter(at); ok {
					due[id] = at
					ticks[id] = max(n, uint64(now/tick))
				} else {
					delete(due, id)
				}
			},
			"cancel": func(t *rapid.T) {
				id := rapid.Uint32Range(0, 40).Draw(t, "id")
				w.cancel(id)
				delete(due, id)
			},
			"advance": func(t *rapid.T) {
				now += time.Duration(max(delay.Draw(t, "step"), 0))
				if now/tick > lastTick {
					t.Skip("beyond the range")
				}
				w.advance(now)
				last := uint64(0)
				for {
					id, ok := w.pop()
					if !ok {
						break
					}
					at, pending := due[id]
					if !pending {
						t.Fatalf("timer %d fired at %v without being set", id, now)
					}
					if at > now {
						t.Fatalf("timer %d fired at %v, before %v", id, now, at)
					}
					// What was overdue when it was set counts as due then.
					n := max(ticks[id], last)
					if n != ticks[id] {
						t.Fatalf("timer %d of tick %d fired after one of tick %d", id, ticks[id], last)
					}
					last = n
					delete(due, id)
				}
				for id, at := range due {
					if at+tick <= now {
						t.Fatalf("timer %d due at %v has not fired at %v", id, at, now)
					}
				}
			},
			"": func(t *rapid.T) {
				next, first := w.next(), Never
				for _, at := range due {
					first = min(first, max(at, 0)+tick)
				}
				if len(due) > 0 && next >= max(first, now+tick) {
					t.Fatalf("next is %v, but a timer must fire before %v", next, first)
				}
				followNext(t, w, due, now)
			},
		})
	})
}

// followNext advances a copy of the wheel to where it asks to be advanced, until
// a timer fires: what was cancelled or put off must not keep it awake, so that
// each timer may ask once for where it was, and once a level for where it is.
func followNext(t *rapid.T, w wheel, due map[uint32]time.Duration, now time.Duration) {
	w.nodes = slices.Clone(w.nodes)
	places := 0
	for i := firstTimer; i < len(w.nodes); i++ {
		if w.nodes[i].next != 0 {
			places++
		}
	}
	for steps := 0; ; steps++ {
		if steps > (1+levels)*places {
			t.Fatalf("the wheel of %d timers has asked %d times and none has fired", places, steps)
		}
		next := w.next()
		if next == Never {
			if len(due) > 0 {
				t.Fatalf("next is Never with %d timers pending", len(due))
			}
			return
		}
		w.advance(max(next, now))
		if id, ok := w.pop(); ok {
			for other, at := range due {
				if max(at, now)+tick <= max(due[id], now) {
					t.Fatalf("timer %d of %v fired before %d of %v", id, due[id], other, at)
				}
			}
			return
		}
	}
}

// TestWheelOrder fires timers set in a scattered order in that of their ticks.
func TestWheelOrder(t *testing.T) {
	var w wheel
	w.init()
	const n = 5000
	for i := range uint32(n) {
		id := i * 1871 % n // every id once
		w.set(id, time.Duration(id)*37*time.Millisecond)
	}
	w.advance(n * 37 * time.Millisecond)
	for want := range uint32(n) {
		if id, ok := w.pop(); !ok || id != want {
			t.Fatalf("fired %d (%v), want %d", id, ok, want)
		}
	}
}

// TestWheelWhileFiring sets and cancels timers that are already taken out.
func TestWheelWhileFiring(t *testing.T) {
	var w wheel
	w.init()
	for id := range uint32(4) {
		w.set(id, 5*time.Millisecond)
	}
	w.advance(5 * time.Millisecond)
	if id, _ := w.pop(); id != 0 {
		t.Fatalf("fired %d first, want 0", id)
	}
	w.cancel(1)
	w.set(2, 9*time.Millisecond)
	w.set(0, 5*time.Millisecond) // due at once, but only in the next turn
	if id, _ := w.pop(); id != 3 {
		t.Fatalf("fired %d, want 3", id)
	}
	if id, ok := w.pop(); ok {
		t.Fatalf("fired %d again in the same turn", id)
	}
	if next := w.next(); next > 5*time.Millisecond {
		t.Fatalf("next is %v, want at most 5ms", next)
	}
	w.advance(5 * time.Millisecond)
	if id, ok := w.pop(); !ok || id != 0 {
		t.Fatalf("fired %d (%v), want 0", id, ok)
	}
	w.advance(9 * time.Millisecond)
	if id, ok := w.pop(); !ok || id != 2 {
		t.Fatalf("fired %d (%v), want 2", id, ok)
	}
	if next := w.next(); next != Never {
		t.Fatalf("next is %v on an empty wheel", next)
	}
}

func TestWheelBeyondRange(t *testing.T) {
	var w wheel
	w.init()
	w.set(3, time.Second)
	w.set(3, 800*24*time.Hour)
	w.advance(2 * time.Second)
	if id, ok := w.pop(); ok {
		t.Fatalf("timer %d, set beyond the range, fired", id)
	}
	if next := w.next(); next != Never {
		t.Fatalf("a timer beyond the range makes next %v", next)
	}
}

// TestWheelPutOff fires a timer that was put off and brought forward in turn
// when it was set last, and only then.
func TestWheelPutOff(t *testing.T) {
	var w wheel
	w.init()
	for ms := range time.Duration(3000) {
		w.set(7, (ms+1000)*time.Millisecond) // a request's timeout, put off by the next
		w.advance(ms * time.Millisecond)
		if _, ok := w.pop(); ok {
			t.Fatalf("fired at %d ms, but it is due at %d", ms, ms+1000)
		}
	}
	w.set(7, 3010*time.Millisecond)
	for ms := range time.Duration(1010) {
		w.advance((ms + 3000) * time.Millisecond)
		if _, ok := w.pop(); ok != (ms == 10) {
			t.Fatalf("fired at %d ms: %v; it is due at 3010 and was due at 3999", ms+3000, ok)
		}
	}
	if next := w.next(); next != Never {
		t.Fatalf("next is %v on an empty wheel", next)
	}
}

// BenchmarkWheelSetCancel is a request's timeout: set, then cancelled.
func BenchmarkWheelSetCancel(b *testing.B) {
	b.ReportAllocs()
	var w wheel
	w.init()
	w.set(1<<16-1, time.Second)
	for i := range b.N {
		id := uint32(i) & (1<<16 - 1)
		w.set(id, 30*time.Second+time.Duration(i)*time.Microsecond)
		w.cancel(id)
	}
}

// BenchmarkWheelFire is a think time: set by the timer before, of 64 k users.
func BenchmarkWheelFire(b *testing.B) {
	b.ReportAllocs()
	var w wheel
	w.init()
	const users = 1 << 16
	for id := range uint32(users) {
		w.set(id, time.Duration(id)*time.Second/users)
	}
	now := time.Duration(0)
	for n := 0; n < b.N; {
		now += tick
		w.advance(now)
		for id, ok := w.pop(); ok; id, ok = w.pop() {
			w.set(id, now+time.Second)
			n++
		}
	}
}
