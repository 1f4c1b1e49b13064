//go:build !linux

package loop

import "time"

// threadClock knows nothing where the loop has no thread of its own.
type threadClock struct{}

func (*threadClock) used() (time.Duration, bool) { return 0, false }
