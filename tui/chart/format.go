package chart

import (
	"math"
	"strconv"
	"time"
)

// None stands where there is no figure: for NaN, the infinities, and what was not measured.
const None = "–"

// Number is v with three significant digits and without an exponent: 0.0812, 8.12, 81.2, 812, 8,120, 81,234. From a
// thousand on every digit is shown; from a million on the figure is shortened with M, G, T, P; from 1e18 on it is None.
func Number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) || math.Abs(v) >= 1e18 {
		return None
	}
	if v < 0 {
		if s := Number(-v); s != "0" {
			return "-" + s
		}
		return "0"
	}
	switch {
	case v < 0.0005:
		return "0"
	case v < 0.9995:
		return significant(v)
	case v >= 999_999.5:
		return prefixed(v)
	case v >= 999.5:
		return thousands(uint64(v + 0.5))
	}
	return significant(v)
}

// Narrow is v as Number writes it where that fits into n cells, else shortened: 98,412 in six cells, 98.4k in five, 0.062 for
// 0.0625. Five are enough for everything below 1e18 that is not negative.
func Narrow(v float64, n int) string {
	switch s := Number(v); {
	case Width(s) <= n || !(v >= 0):
		return s
	case v < 1:
		return strconv.FormatFloat(v, 'f', max(0, n-2), 64)
	}
	return prefixed(v)
}

// NarrowCount is Narrow for a number of things, which has no decimals as long as it is short.
func NarrowCount(count uint64, n int) string {
	if s := Count(count); Width(s) <= n {
		return s
	}
	return prefixed(float64(count))
}

// prefixed is v >= 0 with three significant digits and the letter of its power of a thousand.
func prefixed(v float64) string {
	for _, u := range [...]struct {
		size float64
		name string
	}{{1e18, "E"}, {1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= u.size*0.9995 {
			return significant(v/u.size) + u.name
		}
	}
	return significant(v)
}

// significant formats 0 <= v < 1e6 with three significant digits, at most three decimals.
func significant(v float64) string {
	decimals := 0
	switch {
	case v < 0.09995:
		decimals = 4
	case v < 0.9995:
		decimals = 3
	case v < 9.995:
		decimals = 2
	case v < 99.95:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// Count is n with thousands separators: 98,412.
func Count(n uint64) string { return thousands(n) }

func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Duration is d with three significant digits and its unit: 812 µs, 38.2 ms, 1.24 s, 4.67 min, 1.03 h.
func Duration(d time.Duration) string { return Milliseconds(float64(d) / 1e6) }

// Bound is Duration, and says so if it is only a lower bound.
func Bound(d time.Duration, atLeast bool) string {
	if atLeast {
		return "≥" + Duration(d)
	}
	return Duration(d)
}

// Milliseconds is Duration for a float64 of milliseconds; None for NaN, the infinities and what is beyond a year.
func Milliseconds(ms float64) string {
	if math.IsNaN(ms) || math.IsInf(ms, 0) || math.Abs(ms) > 365*24*3600e3 {
		return None
	}
	if ms < 0 {
		if s := Milliseconds(-ms); s != "0 ms" {
			return "-" + s
		}
		return "0 ms"
	}
	switch {
	case ms < 0.0005:
		return "0 ms"
	case ms < 0.9995:
		return significant(max(ms*1e3, 1)) + " µs"
	case ms < 999.5:
		return significant(ms) + " ms"
	case ms < 119_950:
		return significant(ms/1e3) + " s"
	case ms < 119.95*60e3:
		return significant(ms/60e3) + " min"
	}
	return significant(ms/3600e3) + " h"
}

// Clock is a place in run time as 0:12, 1:00, 1:02:00; with a sign before the run began.
func Clock(d time.Duration) string {
	sign := ""
	if d < 0 {
		if d = -d; d < 0 {
			d = math.MaxInt64
		}
		sign = "-"
	}
	sec := int64(d / time.Second)
	if sec == 0 {
		sign = ""
	}
	if sec >= 3600 {
		return sign + strconv.FormatInt(sec/3600, 10) + ":" + two(sec/60%60) + ":" + two(sec%60)
	}
	return sign + strconv.FormatInt(sec/60, 10) + ":" + two(sec%60)
}

// Span is a length of time in words, in whole units: 10 s, 5 m, 1 h, seconds rounded. It is for windows and ages, not for measurements.
func Span(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < 0:
		return None
	case d < 2*time.Minute && d%time.Minute != 0 || d < time.Minute:
		return strconv.FormatInt(int64(d/time.Second), 10) + " s"
	case d < 2*time.Hour && d%time.Hour != 0 || d < time.Hour:
		return strconv.FormatInt(int64(d/time.Minute), 10) + " m"
	}
	return strconv.FormatInt(int64(d/time.Hour), 10) + " h"
}

func two(n int64) string {
	if n < 10 {
		return "0" + strconv.FormatInt(n, 10)
	}
	return strconv.FormatInt(n, 10)
}

// Percent is a share 0..1 in percent: 0.21 %, 12 %, <0.01 %.
func Percent(share float64) string { return PercentNumber(share) + " %" }

// PercentNumber is Percent without the sign, at most five cells wide up to 100 %.
func PercentNumber(share float64) string {
	v := share * 100
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0) || math.Abs(v) >= 1e9:
		return None
	case v <= 0:
		return "0"
	case v < 0.01:
		return "<0.01"
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// Bytes is a number of bytes in units of 1024: 812 B, 38.2 KiB, 1.24 GiB.
func Bytes(n float64) string {
	if math.IsNaN(n) || math.IsInf(n, 0) || n >= 1e24 {
		return None
	}
	if n < 0 {
		return "-" + Bytes(-n)
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB"}
	i := 0
	for n >= 999.5 && i < len(units)-1 {
		n /= 1024
		i++
	}
	if i == 0 {
		return strconv.FormatFloat(n, 'f', 0, 64) + " B"
	}
	return significant(n) + " " + units[i]
}

// Unit says how the values of an axis are written.
type Unit uint8

// The units: a plain number, milliseconds.
const (
	Plain Unit = iota
	Millis
)

// tick writes v for an axis, where v is 1, 2 or 5 times a power of ten: without digits that are only zeroes.
func (u Unit) tick(v float64) string {
	trim := func(v float64) string {
		if math.Abs(v) >= 1e18 || v != 0 && math.Abs(v) < 1e-6 {
			return strconv.FormatFloat(v, 'e', 0, 64)
		}
		switch a := math.Abs(v); {
		case a >= 1e12:
			return strconv.FormatFloat(v/1e12, 'f', -1, 64) + "T"
		case a >= 1e9:
			return strconv.FormatFloat(v/1e9, 'f', -1, 64) + "G"
		case a >= 1e6:
			return strconv.FormatFloat(v/1e6, 'f', -1, 64) + "M"
		case a >= 1e4:
			return strconv.FormatFloat(v/1e3, 'f', -1, 64) + "k"
		}
		return strconv.FormatFloat(math.Round(v*1e9)/1e9, 'f', -1, 64)
	}
	if u == Plain {
		return trim(v)
	}
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 0.9995:
		return trim(math.Round(v*1e6)/1e3) + " µs"
	case a < 999.5:
		return trim(v) + " ms"
	case a < 1e9:
		return trim(v/1e3) + " s"
	}
	return trim(v/1e3) + "s"
}
