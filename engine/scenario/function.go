package scenario

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// function says how a function of templates is written. The journey has the code of each; that both know the same ones is
// tested there.
type function struct {
	usage    string
	min, max int
	words    bool // bare words that are no variables are text, such as the name of a format
	// check judges the arguments that are known before the run, and says where the wrong one stands.
	check func(call *Part) (at int, err error)
}

var functions = map[string]function{
	"uuid":         {usage: "uuid"},
	"randomInt":    {usage: "randomInt FROM TO", min: 2, max: 2, check: checkRandomInt},
	"randomString": {usage: "randomString LENGTH", min: 1, max: 1, check: checkRandomString},
	"now":          {usage: "now FORMAT ±DURATION", max: 2, words: true, check: checkNow},
	"iteration":    {usage: "iteration"},
	"vu":           {usage: "vu"},
	"add":          {usage: "add A B", min: 2, max: 16, check: checkAdd},
	"base64":       {usage: "base64 VALUE", min: 1, max: 1},
	"urlencode":    {usage: "urlencode VALUE", min: 1, max: 1},
	"json":         {usage: "json VALUE", min: 1, max: 1},
	"hmac":         {usage: "hmac sha256 KEY TEXT", min: 3, max: 3, words: true, check: checkHMAC},
}

// FunctionNames are the functions of templates.
var FunctionNames = slices.Sorted(maps.Keys(functions))

// HashNames are the first arguments that hmac may have.
var HashNames = []string{"md5", "sha1", "sha256", "sha384", "sha512"}

// LongestString is the most characters that randomString makes: as many as an extracted value may have.
const LongestString = 64 << 10

// what names an argument in a message. The value of a variable stays out of it: it may be a secret.
func (p *Part) what() string {
	if p.Kind == PartConstant {
		return "the value of " + p.Name
	}
	return quoted(p.Text)
}

// whole reads an argument that is known as a whole number.
func (p *Part) whole() (int64, bool) {
	v, err := strconv.ParseInt(p.Text, 10, 64)
	return v, err == nil && p.literal()
}

func checkRandomInt(call *Part) (int, error) {
	for i := range call.Args {
		if a := &call.Args[i]; a.literal() {
			if _, ok := a.whole(); !ok {
				return a.at, fmt.Errorf("%s is not a whole number; write {{randomInt FROM TO}}, for example {{randomInt 1 500}}", a.what())
			}
		}
	}
	from, known := call.Args[0].whole()
	to, also := call.Args[1].whole()
	if known && also && from > to {
		return call.Args[0].at, fmt.Errorf("%s is above %s; write the smaller number first", call.Args[0].what(), call.Args[1].what())
	}
	return 0, nil
}

func checkRandomString(call *Part) (int, error) {
	a := &call.Args[0]
	if n, ok := a.whole(); a.literal() && (!ok || n < 0 || n > LongestString) {
		return a.at, fmt.Errorf("%s is no length; write a whole number from 0 to %d", a.what(), LongestString)
	}
	return 0, nil
}

func checkAdd(call *Part) (int, error) {
	for i := range call.Args {
		a := &call.Args[i]
		if f, err := strconv.ParseFloat(a.Text, 64); a.literal() && (err != nil || math.IsNaN(f) || math.IsInf(f, 0)) {
			return a.at, fmt.Errorf("%s is not a number; write for example {{add iteration 1}}", a.what())
		}
	}
	return 0, nil
}

func checkHMAC(call *Part) (int, error) {
	if a := &call.Args[0]; !a.literal() || !slices.Contains(HashNames, a.Text) {
		return a.at, fmt.Errorf("the hash is none of %s; write {{hmac sha256 KEY TEXT}}", list(HashNames))
	}
	return 0, nil
}

// timeFormats are the formats that have a name; any other is a layout of Go or, with a percent sign, of strftime.
var timeFormats = map[string]string{
	"rfc3339": time.RFC3339, "iso8601": "2006-01-02T15:04:05.000Z07:00", "http": "Mon, 02 Jan 2006 15:04:05 GMT", "date": "2006-01-02", "time": "15:04:05",
	"unix": "unix", "unixms": "unixms",
}

// strftime has the conversions of strftime(3) that have a layout in Go.
var strftime = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'Z': "MST", 'z': "-0700",
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", '%': "%",
}

// checkNow works out the layout, or unix or unixms, and the distance, and leaves them in the call.
func checkNow(call *Part) (int, error) {
	format, shift := "rfc3339", time.Duration(0)
	for i := range call.Args {
		if a := &call.Args[i]; !a.literal() {
			return a.at, errors.New("the format and the distance do not change while the run goes on; write for example {{now rfc3339 +24h}}")
		}
	}
	given := call.Args
	if n := len(given); n > 0 {
		last := &given[n-1]
		d, err := parseShift(last.Text)
		if _, number := last.whole(); err == nil && !number {
			shift, given = d, given[:n-1]
		} else if n == 2 {
			return last.at, fmt.Errorf("%s is not a distance; write for example +24h, -30m or +7d", last.what())
		}
	}
	at := call.at
	if len(given) > 0 {
		format, at = given[0].Text, given[0].at
		if _, err := parseShift(format); err == nil {
			return at, fmt.Errorf("%s is a distance, and there is a second one; write {{now FORMAT ±DURATION}}", given[0].what())
		}
	}
	layout, err := timeLayout(format)
	call.Args, call.Shift = []Part{{Text: layout, at: at}}, shift
	return at, err
}

// instants have no part in common with each other, nor with the reference time of layouts.
var instants = [2]time.Time{time.Date(2001, 11, 22, 13, 14, 17, 333_222_111, time.UTC), time.Date(2030, 2, 9, 4, 8, 6, 0, time.UTC)}

// timeLayout is Go's layout of a format; unix and unixms stand for themselves.
func timeLayout(format string) (string, error) {
	if layout, named := timeFormats[format]; named {
		return layout, nil
	}
	if !strings.Contains(format, "%") {
		if instants[0].Format(format) == format {
			return "", fmt.Errorf("the format %s is unknown; use unix, unixms, rfc3339, iso8601, http, date, time, a layout such as 2006-01-02, or %%Y-%%m-%%d", quoted(format))
		}
		return format, nil
	}
	var layout string
	var meant [len(instants)]string
	for i := 0; i < len(format); i++ {
		piece, text := format[i:i+1], true
		if format[i] == '%' {
			if i++; i == len(format) || strftime[format[i]] == "" {
				return "", fmt.Errorf("the format %s has an unknown conversion; use the usual ones such as %%Y-%%m-%%d %%H:%%M:%%S", quoted(format))
			}
			piece, text = strftime[format[i]], format[i] == '%'
		}
		layout += piece
		for k, at := range instants {
			if text {
				meant[k] += piece
			} else {
				meant[k] += at.Format(piece)
			}
		}
	}
	for k, at := range instants {
		if at.Format(layout) != meant[k] { // in a layout 01 is the month, whatever stands around it
			return "", fmt.Errorf("the format %s has text beside its conversions that would be taken for a part of the time; write that text outside of {{...}}", quoted(format))
		}
	}
	return layout, nil
}

// parseShift reads a distance in time; days are there as well.
func parseShift(s string) (time.Duration, error) {
	s = strings.TrimPrefix(s, "±")
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}
