package engine

import (
	"sync/atomic"
	"time"

	"lt/engine/load"
)

// bound is the closed model's limit on iterations: this source's part of it, shared by the shards.
//
// The parts are dealt by the table with which the run begins, and no later table changes them. A source that is lost cannot
// say how many iterations it began last; were its part dealt again, the whole could exceed the bound. So what it left
// undone stays undone, which the run shows as less than was asked for, and a source that joins later has no part.
//
// What its counters share a cache line with would be as slow to read for the other shards as they are.
type bound struct {
	limited bool
	quota   int64
	line    func() *load.Timeline
	source  int
	_       [64]byte
	begun   atomic.Int64
	joined  atomic.Int64 // users that have begun their first iteration
	_       [64]byte
}

func (b *bound) init(e *Engine) {
	if e.spec.Model != load.Closed || e.spec.Iterations <= 0 {
		return
	}
	b.limited = true
	if e.cfg.From == 0 {
		b.quota = load.Share(e.spec.Iterations, e.cfg.Log.Timeline().First(), e.cfg.Source, 0, 1)
	}
	b.line, b.source = e.cfg.Log.Timeline, e.cfg.Source
}

// used reports whether no iteration may begin any more.
func (b *bound) used() bool { return b.limited && b.begun.Load() >= b.quota }

// take asks for one iteration. The first of a user goes before the later ones of others: what is left for users that are
// wanted at now and have not begun yet is kept for them, so that a bound as high as the number of users has each run once.
func (b *bound) take(first bool, now time.Duration) bool {
	if !b.limited {
		return true
	}
	if first {
		b.joined.Add(1)
	} else if !b.room(now) {
		return false
	}
	return b.begun.Add(1) <= b.quota
}

// room says whether something is left beyond what is kept for users to come.
func (b *bound) room(now time.Duration) bool {
	line, begun := b.line(), b.begun.Load()
	if begun+int64(line.Rate(now))+1 < b.quota {
		return true // even if all users of all sources were to come here; whose they are is worked out near the end only
	}
	return begun+max(0, line.Users(now, b.source)-b.joined.Load()) < b.quota
}
