package journey

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"lt/engine/load"
)

// function is one that templates may call.
type function struct {
	usage    string
	min, max int
	words    bool // bare words that are no variables are text, such as the name of a format
	final    bool // what it yields is already fit for a URL and is not encoded again
	op       op
	check    func(n *node) error // of the arguments, at compile time
}

// op says which function a call is. The hot path switches on it: a call through a function value would make the
// renderer's state escape to the heap.
type op uint8

const (
	opUUID op = iota
	opRandomInt
	opRandomString
	opNow
	opIteration
	opVU
	opAdd
	opBase64
	opURLEncode
	opJSON
	opHMAC
	opTraceParent // a trace header, never written by hand
	opRequestID
	opBasic // the value of Basic authorisation of a user:password template
)

var functions = map[string]*function{
	"uuid":         {usage: "uuid", op: opUUID},
	"randomInt":    {usage: "randomInt FROM TO", min: 2, max: 2, op: opRandomInt, check: checkRandomInt},
	"randomString": {usage: "randomString LENGTH", min: 1, max: 1, op: opRandomString, check: checkRandomString},
	"now":          {usage: "now FORMAT ±DURATION", max: 2, words: true, op: opNow, check: checkNow},
	"iteration":    {usage: "iteration", op: opIteration},
	"vu":           {usage: "vu", op: opVU},
	"add":          {usage: "add A B", min: 2, max: 16, op: opAdd},
	"base64":       {usage: "base64 VALUE", min: 1, max: 1, op: opBase64},
	"urlencode":    {usage: "urlencode VALUE", min: 1, max: 1, final: true, op: opURLEncode},
	"json":         {usage: "json VALUE", min: 1, max: 1, op: opJSON},
	"hmac":         {usage: "hmac sha256 KEY TEXT", min: 3, max: 3, words: true, op: opHMAC, check: checkHMAC},
}

var functionNames = strings.Join(slices.Sorted(maps.Keys(functions)), ", ")

// call appends what a function yields.
func (r *render) call(dst []byte, n *node) ([]byte, error) {
	switch n.fn.op {
	case opUUID:
		return renderUUID(r, dst, n), nil
	case opRandomInt:
		return renderRandomInt(r, dst, n)
	case opRandomString:
		return renderRandomString(r, dst, n)
	case opNow:
		return renderNow(r, dst, n), nil
	case opIteration:
		return strconv.AppendInt(dst, r.in.Iteration, 10), nil
	case opVU:
		return strconv.AppendUint(dst, uint64(r.in.User), 10), nil
	case opAdd:
		return renderAdd(r, dst, n)
	case opBase64:
		return renderBase64(r, dst, n)
	case opURLEncode:
		return renderURLEncode(r, dst, n)
	case opJSON:
		return renderJSON(r, dst, n)
	case opHMAC:
		return renderHMAC(r, dst, n)
	case opTraceParent:
		return renderTraceParent(r, dst), nil
	case opRequestID:
		return renderRequestID(r, dst), nil
	default:
		return renderBasic(r, dst, n)
	}
}

// renderUUID writes a random UUID, RFC 9562 version 4.
func renderUUID(r *render, dst []byte, n *node) []byte {
	s := r.draws(n.pos)
	hi, lo := s.Uint64(), s.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 2<<62
	dst = appendHex(dst, hi>>32, 8)
	dst = append(dst, '-')
	dst = appendHex(dst, hi>>16, 4)
	dst = append(dst, '-')
	dst = appendHex(dst, hi, 4)
	dst = append(dst, '-')
	dst = appendHex(dst, lo>>48, 4)
	dst = append(dst, '-')
	return appendHex(dst, lo, 12)
}

// appendHex writes the lowest digits of v in lower case.
func appendHex(dst []byte, v uint64, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, "0123456789abcdef"[v>>(4*i)&15])
	}
	return dst
}

func checkRandomInt(n *node) error {
	a, b := n.args[0], n.args[1]
	for _, x := range n.args {
		if x.literal() && !x.isN {
			return fmt.Errorf("%q is not a whole number", clip(x.text))
		}
	}
	if a.isN && b.isN && a.num > b.num {
		return fmt.Errorf("%d is above %d", a.num, b.num)
	}
	return nil
}

// renderRandomInt writes a whole number between the two, both included.
func renderRandomInt(r *render, dst []byte, n *node) ([]byte, error) {
	a, err := r.integer(dst, n.args[0])
	if err != nil {
		return dst, err
	}
	b, err := r.integer(dst, n.args[1])
	if err != nil {
		return dst, err
	}
	if a > b {
		return dst, fmt.Errorf("%d is above %d", a, b)
	}
	s := r.draws(n.pos)
	v := uint64(a)
	if span := uint64(b) - uint64(a); span == math.MaxUint64 {
		v = s.Uint64()
	} else {
		v += below(&s, span+1)
	}
	return strconv.AppendInt(dst, int64(v), 10), nil
}

// below maps 64 random bits to 0..n-1 without bias: what falls into the incomplete last run is drawn again.
func below(s *load.Stream, n uint64) uint64 {
	limit := math.MaxUint64 - (math.MaxUint64%n+1)%n
	for {
		if v := s.Uint64(); v <= limit {
			return v % n
		}
	}
}

const longestString = 64 << 10 // as long as an extracted value may be

func checkRandomString(n *node) error {
	x := n.args[0]
	if x.literal() && (!x.isN || x.num < 0 || x.num > longestString) {
		return fmt.Errorf("the length is a whole number from 0 to %d", longestString)
	}
	return nil
}

// renderRandomString writes letters and digits.
func renderRandomString(r *render, dst []byte, n *node) ([]byte, error) {
	length, err := r.integer(dst, n.args[0])
	if err != nil {
		return dst, err
	}
	if length < 0 || length > longestString {
		return dst, fmt.Errorf("length %d: it is a whole number from 0 to %d", length, longestString)
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	s := r.draws(n.pos)
	// Six bits give 64 values for 62 letters; the two left over are drawn again, so that no letter is more frequent.
	bits, have := uint64(0), 0
	for length > 0 {
		if have == 0 {
			bits, have = s.Uint64(), 10
		}
		if i := bits & 63; i < uint64(len(letters)) {
			dst = append(dst, letters[i])
			length--
		}
		bits >>= 6
		have--
	}
	return dst, nil
}

// timeFormats are the formats that have a name; any other is a layout of Go or, with a percent sign, of strftime.
var timeFormats = map[string]string{
	"rfc3339": time.RFC3339, "iso8601": "2006-01-02T15:04:05.000Z07:00", "http": "Mon, 02 Jan 2006 15:04:05 GMT", "date": "2006-01-02", "time": "15:04:05",
	"unix": "", "unixms": "",
}

// strftime has the conversions of strftime(3) that have a layout in Go.
var strftime = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'Z': "MST", 'z': "-0700",
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", '%': "%",
}

// checkNow works out the layout and the distance once and leaves them in the call: args become [layout, distance].
func checkNow(n *node) error {
	format, shift := "rfc3339", time.Duration(0)
	given := n.args
	if len(given) > 0 {
		last := given[len(given)-1]
		if !last.literal() {
			return errors.New("the format and the distance are literal")
		}
		if d, err := parseShift(last.text); err == nil && !last.isN {
			shift, given = d, given[:len(given)-1]
		} else if len(given) == 2 {
			return fmt.Errorf("%q is not a distance such as +24h or -30m", clip(last.text))
		}
	}
	if len(given) > 0 {
		if !given[0].literal() {
			return errors.New("the format and the distance are literal")
		}
		format = given[0].text
		if _, err := parseShift(format); err == nil {
			return fmt.Errorf("%q is a distance, and there is a second one", clip(format))
		}
	}
	layout, named := timeFormats[format]
	switch {
	case named && layout == "":
		layout = format
	case named:
	case strings.Contains(format, "%"):
		var b strings.Builder
		for i := 0; i < len(format); i++ {
			if format[i] != '%' {
				b.WriteByte(format[i])
				continue
			}
			i++
			if i == len(format) || strftime[format[i]] == "" {
				return fmt.Errorf("format %q: only the usual conversions such as %%Y-%%m-%%d %%H:%%M:%%S are known", clip(format))
			}
			b.WriteString(strftime[format[i]])
		}
		layout = b.String()
	default:
		if ref := time.Date(2001, 11, 22, 13, 14, 15, 0, time.UTC); ref.Format(format) == format {
			return fmt.Errorf("format %q: use unix, unixms, rfc3339, iso8601, http, date, time, a layout such as 2006-01-02, or %%Y-%%m-%%d", clip(format))
		}
		layout = format
	}
	n.args = []*node{textNode(layout), {slot: -1, num: int64(shift), isN: true}}
	return nil
}

func parseShift(s string) (time.Duration, error) {
	s = strings.TrimPrefix(s, "±")
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

func renderNow(r *render, dst []byte, n *node) []byte {
	t := r.in.Now.UTC().Add(time.Duration(n.args[1].num))
	switch layout := n.args[0].text; layout {
	case "unix":
		return strconv.AppendInt(dst, t.Unix(), 10)
	case "unixms":
		return strconv.AppendInt(dst, t.UnixMilli(), 10)
	default:
		return t.AppendFormat(dst, layout)
	}
}

// renderAdd adds whole numbers; if one has a fraction, decimals.
func renderAdd(r *render, dst []byte, n *node) ([]byte, error) {
	whole, sum, fsum := true, int64(0), 0.0
	for _, a := range n.args {
		if a.isN {
			sum += a.num
			fsum += float64(a.num)
			continue
		}
		from := len(dst)
		out, err := r.value(dst, a)
		if err != nil {
			return dst, err
		}
		if v, err := strconv.ParseInt(string(out[from:]), 10, 64); err == nil {
			sum += v
			fsum += float64(v)
			continue
		}
		f, err := strconv.ParseFloat(string(out[from:]), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, fmt.Errorf("%q is not a number", clip(string(out[from:])))
		}
		whole = false
		fsum += f
	}
	if whole {
		return strconv.AppendInt(dst, sum, 10), nil
	}
	return strconv.AppendFloat(dst, fsum, 'f', -1, 64), nil
}

func renderBase64(r *render, dst []byte, n *node) ([]byte, error) {
	from := len(dst)
	dst, err := r.value(dst, n.args[0])
	if err != nil {
		return dst, err
	}
	return encodeTail(dst, from), nil
}

func renderURLEncode(r *render, dst []byte, n *node) ([]byte, error) {
	from := len(dst)
	dst, err := r.value(dst, n.args[0])
	if err != nil {
		return dst, err
	}
	return percentTail(dst, from, plainQuery, false), nil
}

// renderJSON writes a value as a JSON string with its quotes.
func renderJSON(r *render, dst []byte, n *node) ([]byte, error) {
	dst = append(dst, '"')
	from := len(dst)
	dst, err := r.value(dst, n.args[0])
	if err != nil {
		return dst, err
	}
	return append(jsonTail(dst, from), '"'), nil
}

var hashes = map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New}

func checkHMAC(n *node) error {
	if a := n.args[0]; !a.literal() || hashes[a.text] == nil {
		return errors.New("the hash is md5, sha1, sha256, sha384 or sha512")
	}
	return nil
}

// renderHMAC writes the code in lower case hex. It allocates, as crypto/hmac does.
func renderHMAC(r *render, dst []byte, n *node) ([]byte, error) {
	from := len(dst)
	dst, err := r.value(dst, n.args[1])
	if err != nil {
		return dst, err
	}
	mac := hmac.New(hashes[n.args[0].text], dst[from:])
	dst = dst[:from]
	if dst, err = r.value(dst, n.args[2]); err != nil {
		return dst, err
	}
	mac.Write(dst[from:])
	return hex.AppendEncode(dst[:from], mac.Sum(nil)), nil
}

// renderRequestID writes who sends which request: lt-SEED-sSOURCE-iINDEX-pSTEP-nATTEMPT, and in the closed model
// lt-SEED-sSOURCE-uUSER-iITERATION-pSTEP-nATTEMPT. SEED is 16 digits of hex, all else decimal. SOURCE is the source's number in
// the tables of shares, INDEX that of the arrival over all sources, STEP the step's place in Program.Steps, and ATTEMPT counts
// the step's exchanges from 1: redirects and resends are further ones. So what a target sees tells by itself whether an
// index came twice, and from where. It is made of letters, digits and dashes alone, because frameworks take out the rest.
func renderRequestID(r *render, dst []byte) []byte {
	part := func(key string, n int64) { dst = strconv.AppendInt(append(dst, key...), n, 10) }
	dst = appendHex(append(dst, "lt-"...), r.in.Seed, 16)
	part("-s", int64(r.in.Source))
	if r.p.closed {
		part("-u", int64(r.in.User))
	}
	part("-i", r.in.Iteration)
	part("-p", int64(r.st.ID))
	part("-n", int64(r.in.Attempt)+1)
	return dst
}

// renderTraceParent writes a W3C trace context (version 00, sampled) whose ids follow from the request.
func renderTraceParent(r *render, dst []byte) []byte {
	s := r.draws(tracePos)
	dst = append(dst, "00-"...)
	dst = appendHex(dst, s.Uint64(), 16)
	dst = appendHex(dst, s.Uint64()|1, 16)
	for range r.in.Attempt {
		s.Uint64() // an attempt is a span of its own in the same trace
	}
	dst = append(dst, '-')
	dst = appendHex(dst, s.Uint64()|1, 16)
	return append(dst, "-01"...)
}

// tracePos is the number of the trace header's draws; the calls in a step's templates count from 1.
const tracePos = 0xffff

// renderBasic writes the credentials of RFC 7617; its one argument holds the parts of user:password.
func renderBasic(r *render, dst []byte, n *node) ([]byte, error) {
	dst = append(dst, "Basic "...)
	from := len(dst)
	for _, a := range n.args {
		var err error
		if dst, err = r.value(dst, a); err != nil {
			return dst, err
		}
	}
	return encodeTail(dst, from), nil
}

// encodeTail replaces dst[from:] by its base64 form.
func encodeTail(dst []byte, from int) []byte {
	end := len(dst)
	dst = base64.StdEncoding.AppendEncode(dst, dst[from:])
	return append(dst[:from], dst[end:]...)
}
