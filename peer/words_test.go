package peer

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0:00.0", 1949 * time.Millisecond: "0:01.9", 59960 * time.Millisecond: "1:00.0", 3599990 * time.Millisecond: "60:00.0", 61 * time.Minute: "61:00.0",
	} {
		if got := clock(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
