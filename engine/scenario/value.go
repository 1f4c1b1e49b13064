package scenario

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"lt/engine/load"
)

// ParseDuration reads a length of time such as 500ms, 10s, 1m30s or 2h: not negative and at most 1000 h. A bare number is
// refused, because nobody can see its unit.
func ParseDuration(s string) (time.Duration, error) {
	t := strings.TrimSpace(s)
	if t == "" {
		return 0, errors.New("a duration is missing; write for example 30s")
	}
	if f, err := parseNumber(t); err == nil {
		if f == 0 {
			return 0, nil
		}
		return 0, fmt.Errorf("%s has no unit; write %ss for seconds or %sms for milliseconds", t, t, t)
	}
	d, err := time.ParseDuration(t)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is not a duration; write for example 500ms, 10s, 1m30s or 2h", quoted(t))
	case d < 0:
		return 0, fmt.Errorf("%s is negative; a duration is at least 0s", t)
	case d > load.MaxDuration:
		return 0, fmt.Errorf("%s is longer than the longest duration; write at most 1000h", t)
	}
	return d, nil
}

// ParseRate reads arrivals a second: 500, 500/s, 30/m, 10/h.
func ParseRate(s string) (float64, error) {
	t := strings.TrimSpace(s)
	number, unit, has := strings.Cut(t, "/")
	per := 1.0
	if has {
		switch strings.TrimSpace(unit) {
		case "s", "sec", "second":
		case "m", "min", "minute":
			per = 60
		case "h", "hour":
			per = 3600
		default:
			return 0, fmt.Errorf("%s is not a unit of rates; write 500/s, 30/m or 10/h", quoted(unit))
		}
	}
	f, err := parseNumber(strings.TrimSpace(number))
	if err != nil {
		return 0, fmt.Errorf("%s is not a rate; write for example 500 (a second), 500/s, 30/m or 10/h", quoted(t))
	}
	if f /= per; f < 0 || f > load.MaxLevel {
		return 0, fmt.Errorf("%s is not within 0 and %d a second; write for example 500", t, load.MaxLevel)
	}
	return f, nil
}

// parseNumber reads a finite decimal number.
func parseNumber(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%s is not a number", quoted(s))
	}
	return f, nil
}

// ParseCount reads a whole number from low to high.
func ParseCount(s string, low, high int64) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not a whole number", quoted(s))
	}
	if n < low || n > high {
		return 0, fmt.Errorf("%d is not within %d and %d", n, low, high)
	}
	return n, nil
}

var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},
}

// ParseSize reads a number of bytes: 512, 10kB (10,000), 64KiB (65,536), 1MiB, 2GiB.
func ParseSize(s string) (int64, error) {
	t := strings.TrimSpace(s)
	number, unit := t, 1.0
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(t, u.suffix); ok {
			number, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	f, err := parseNumber(number)
	if err != nil {
		return 0, fmt.Errorf("%s is not a size; write bytes, or for example 10kB, 64KiB or 1MiB", quoted(t))
	}
	if f *= unit; f < 0 || f > 1<<50 {
		return 0, fmt.Errorf("%s is not within 0 and 1024 TiB; write for example 64MiB", t)
	}
	return int64(f), nil
}

// formatSize writes bytes so that ParseSize reads the same number.
func formatSize(n int64) string {
	for _, u := range []struct {
		suffix string
		bytes  int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// formatDuration writes a duration without the zero parts that Duration.String has: 2m, not 2m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// formatNumber writes a number shortly and exactly.
func formatNumber(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
