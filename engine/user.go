package engine

import (
	"time"

	"lt/engine/journey"
	"lt/engine/loop"
)

// part says which list of steps a user is in.
type part uint8

const (
	inSteps part = iota
	inSetup
	inTeardown
)

// waiting says what a user's timer means.
type waiting uint8

const (
	idle       waiting = iota // a free slot, or one in an exchange that has no timer yet
	thinking                  // the next step of this iteration starts
	between                   // closed model: the next iteration starts
	resting                   // setup failed: the slot is free again after a second
	inFlight                  // the timer is the exchange's deadline
	parkedStep                // the lease is over: the next step waits for it
	parkedNext                // closed model, likewise: the next iteration
)

// user is one virtual user: a slot in a shard's slab. A thinking user holds nothing but this struct, its session and the
// connections it keeps. Its state is the first of three cache lines, since every event of a user touches it.
type user struct {
	ex       *exchange     // while a step is in hand
	conn     *loop.Conn    // to origin number via; nil: none
	index    int64         // arrival index in the open model, number of the iteration in the closed
	due      time.Duration // intended start of the iteration
	intended time.Duration // of the present or next step
	via      int32
	number   uint32 // closed: the user's number over all sources
	scenario uint16
	step     uint16
	part     part
	wait     waiting
	ready    bool // setup is done
	failed   bool // this iteration had an error
	running  bool // an iteration is in hand
	leaving  bool // closed: not wanted any more; pauses are cut short
	gone     bool // retired
	counted  bool // the step about to start was already counted as due
	began    bool // closed: it has begun an iteration in this slot

	session journey.Session
	more    []extraConn // to further origins
	_       [16]byte    // so that the next user begins with a cache line too
}

// extraConn is a kept connection to a further origin.
type extraConn struct {
	via  int32
	conn *loop.Conn
}

// chunkBits sets how many users a chunk of the slab has; chunks never move, so a pointer to a user stays good.
const chunkBits = 8

// slab holds a shard's users by number.
type slab struct {
	chunks []*[1 << chunkBits]user
	n      uint32
}

func (s *slab) at(i uint32) *user { return &s.chunks[i>>chunkBits][i&(1<<chunkBits-1)] }

func (s *slab) grow() (uint32, *user) {
	if s.n>>chunkBits == uint32(len(s.chunks)) {
		s.chunks = append(s.chunks, new([1 << chunkBits]user))
	}
	i := s.n
	s.n++
	return i, s.at(i)
}

// connTo is the kept connection to an origin, if there is one.
func (u *user) connTo(via int32) *loop.Conn {
	if u.conn != nil && u.via == via {
		return u.conn
	}
	for _, x := range u.more {
		if x.via == via {
			return x.conn
		}
	}
	return nil
}

func (u *user) keep(via int32, c *loop.Conn) {
	if u.conn == nil || u.via == via {
		u.conn, u.via = c, via
		return
	}
	for i := range u.more {
		if u.more[i].via == via {
			u.more[i].conn = c
			return
		}
	}
	u.more = append(u.more, extraConn{via, c})
}

// forget drops a connection from the kept ones and says whether it was one.
func (u *user) forget(c *loop.Conn) bool {
	if u.conn == c {
		u.conn = nil
		return true
	}
	for i := range u.more {
		if u.more[i].conn == c {
			u.more[i] = u.more[len(u.more)-1]
			u.more = u.more[:len(u.more)-1]
			if len(u.more) == 0 {
				u.more = nil
			}
			return true
		}
	}
	return false
}
