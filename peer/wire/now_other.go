//go:build !linux && !darwin

package wire

import "time"

// Now is the clock of a peer: monotonic. On this system it stands still while the machine is suspended.
func Now() time.Duration { return sinceStart() }
