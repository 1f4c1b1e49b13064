package journey

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"strconv"
	"time"

	"lt/engine/load"
	"lt/engine/scenario"
)

// function is one that templates may call. How it is written stands in package scenario.
type function struct {
	final bool // what it yields is already fit for a URL and is not encoded again
	op    op
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
	"uuid": {op: opUUID}, "randomInt": {op: opRandomInt}, "randomString": {op: opRandomString}, "now": {op: opNow}, "iteration": {op: opIteration},
	"vu": {op: opVU}, "add": {op: opAdd}, "base64": {op: opBase64}, "urlencode": {op: opURLEncode, final: true}, "json": {op: opJSON},
	"hmac": {op: opHMAC},
}

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

// renderRandomString writes letters and digits.
func renderRandomString(r *render, dst []byte, n *node) ([]byte, error) {
	length, err := r.integer(dst, n.args[0])
	if err != nil {
		return dst, err
	}
	if length < 0 || length > scenario.LongestString {
		return dst, fmt.Errorf("length %d: it is a whole number from 0 to %d", length, scenario.LongestString)
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
