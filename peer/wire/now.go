package wire

import "time"

var processStart = time.Now()

func sinceStart() time.Duration { return time.Since(processStart) }
