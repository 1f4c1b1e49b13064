package report

import (
	"math"
	"strconv"
	"strings"
	"time"

	"lt/engine/metrics"
)

// none stands where there is no figure.
const none = "–"

// number is v with three significant digits; from a thousand on every digit, in groups of three.
func number(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return none
	case v < 0:
		return "-" + number(-v)
	case v >= 999.5 && v < 1e15:
		return count(uint64(math.Round(v)))
	}
	return digits(v)
}

// digits is v, 0 <= v < 1000, with three significant digits and at most three decimals.
func digits(v float64) string {
	decimals := 3
	switch {
	case v == 0 || v >= 99.95:
		decimals = 0
	case v >= 9.995:
		decimals = 1
	case v >= 0.9995:
		decimals = 2
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// count is n in groups of three digits.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// millis is a time in milliseconds with three significant digits and its unit.
func millis(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return none
	case v < 0:
		return "-" + millis(-v)
	case v == 0:
		return "0 ms"
	case v < 0.9995:
		return digits(math.Round(v*1e6)/1e3) + " µs"
	case v < 999.5:
		return digits(v) + " ms"
	case v < 600_000:
		return digits(v/1e3) + " s"
	}
	return clock(time.Duration(v * float64(time.Millisecond)))
}

func duration(d time.Duration) string { return millis(float64(d) / 1e6) }

// clock is a length of run time: 0:12, 4:40, 1:02:00.
func clock(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	two := func(n int64) string { return strconv.FormatInt(n/10, 10) + strconv.FormatInt(n%10, 10) }
	if s >= 3600 {
		return strconv.FormatInt(s/3600, 10) + ":" + two(s/60%60) + ":" + two(s%60)
	}
	return strconv.FormatInt(s/60, 10) + ":" + two(s%60)
}

// percent is a share 0..1.
func percent(share float64) string {
	switch v := share * 100; {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return none
	case v == 0:
		return "0 %"
	case v < 0.01:
		return "<0.01 %"
	case v < 0.9995:
		return strconv.FormatFloat(v, 'f', 2, 64) + " %"
	default:
		return digits(v) + " %"
	}
}

// size is a number of bytes in units of 1024.
func size(n float64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for n >= 999.5 && i < len(units)-1 {
		n /= 1024
		i++
	}
	if i == 0 {
		return strconv.FormatFloat(n, 'f', 0, 64) + " B"
	}
	return digits(n) + " " + units[i]
}

// The numbers of requests below which a percentile stands on fewer than ten requests beyond it and is shown with its
// interval.
const (
	enoughP99  = 1000
	enoughP999 = 10_000
)

// atLeast is a percentile, or the maximum, with >= before it where it is only a lower bound of the true one; none of nothing.
func atLeast(q *metrics.Quantiles, d time.Duration) string {
	switch {
	case q.Count == 0:
		return none
	case q.LowerBound(d):
		return ">= " + duration(d)
	}
	return duration(d)
}

// interval99 and interval999 are the 95 % intervals of the percentiles of which too few requests tell; empty where enough do.
func interval99(q *metrics.Quantiles) string {
	return between(q, enoughP99, q.P99Low, q.P99High)
}

func interval999(q *metrics.Quantiles) string {
	return between(q, enoughP999, q.P999Low, q.P999High)
}

func between(q *metrics.Quantiles, enough uint64, low, high time.Duration) string {
	switch {
	case q.Count == 0 || q.Count >= enough:
		return ""
	case unbounded(q, high):
		return "from " + duration(low)
	}
	a, b := duration(low), duration(high)
	if number, unit, ok := strings.Cut(a, " "); ok && strings.HasSuffix(b, " "+unit) {
		a = number
	}
	return a + "–" + b
}

// unbounded reports whether an interval that ends at high has no end: with so few requests none of them is likely to lie above the
// percentile, and the longest is only what stands there.
func unbounded(q *metrics.Quantiles, high time.Duration) bool { return high >= q.Max }

// many is n things, each called by a word whose plural has an s.
func many(n uint64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return count(n) + " " + word + "s"
}
