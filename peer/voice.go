package peer

import (
	"sync"

	"lt/peer/wire"
)

// keptLines bounds what a peer remembers to say while nobody listens.
const keptLines = 100

// voice is how the process of a peer says something unasked, whoever is attached: what finds nobody waits for the next one.
type voice struct {
	mu    sync.Mutex
	at    *attachment // who listens; nil: nobody
	lines []wire.Line
	warns []wire.Warn
	fin   *wire.Fin // said to everybody who comes
}

func (v *voice) tell(l wire.Line) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.at != nil {
		v.at.streams.Log.Add(l)
	} else if len(v.lines) < keptLines {
		v.lines = append(v.lines, l)
	}
}

func (v *voice) warn(w wire.Warn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.at == nil || v.at.streams.Control.Event(wire.KindWarn, w) != nil {
		if len(v.warns) < keptLines {
			v.warns = append(v.warns, w)
		}
	}
}

// finish gives the account, now and to whoever comes later: nobody says that it arrived.
func (v *voice) finish(f wire.Fin) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fin = &f
	if v.at != nil {
		_ = v.at.streams.Control.Event(wire.KindFin, f) // the next session hears it too
	}
}

// to speaks to a session from here on.
func (v *voice) to(at *attachment) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = at
	for _, l := range v.lines {
		at.streams.Log.Add(l)
	}
	for _, w := range v.warns {
		_ = at.streams.Control.Event(wire.KindWarn, w)
	}
	v.lines, v.warns = nil, nil
	if v.fin != nil {
		_ = at.streams.Control.Event(wire.KindFin, *v.fin)
	}
}

// leave ends speaking to a session, if it is that one.
func (v *voice) leave(at *attachment) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.at == at {
		v.at = nil
	}
}
