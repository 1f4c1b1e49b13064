package journey

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Limits of what a compressed body may become: more than inflateRatio times its length is a bomb, once it is large enough
// for that to matter.
const (
	inflateRatio = 100
	inflateFree  = 64 << 10 // bytes
)

// The causes for which Inflate gives up.
var (
	ErrInflateBomb     = errors.New("the body grows to more than a hundred times its compressed length")
	ErrInflateTooLong  = errors.New("the decoded body is longer than the limit")
	ErrInflateEncoding = errors.New("only gzip and deflate can be decoded")
	ErrInflateBroken   = errors.New("the compressed body is damaged")
)

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

// Inflate appends to dst the body decoded from what a Content-Encoding field names: gzip, deflate (with or without zlib's
// frame, both are met), identity, or a list of them in the order in which they were applied. limit is how much may be
// appended, bytes. On an error, which wraps one of the causes above, what could be decoded has been appended.
func Inflate(dst []byte, encoding []byte, body []byte, limit int) ([]byte, error) {
	most := min(limit, max(len(body)*inflateRatio, inflateFree))
	codings := bytes.Split(encoding, []byte(","))
	for i := len(codings) - 1; i >= 0; i-- {
		name := trimSpace(codings[i])
		if len(name) == 0 || equalFold(name, "identity") {
			continue
		}
		out, err := inflateOne(name, body, most)
		if errors.Is(err, ErrInflateTooLong) && most < limit {
			err = fmt.Errorf("%s: more than %d bytes: %w", name, most, ErrInflateBomb)
		}
		if err != nil {
			return append(dst, out...), err
		}
		body = out
	}
	if len(body) > limit {
		return append(dst, body[:limit]...), fmt.Errorf("more than %d bytes: %w", limit, ErrInflateTooLong)
	}
	return append(dst, body...), nil
}

// inflateOne undoes one coding. What is behind the end of a deflate stream is ignored.
func inflateOne(name, body []byte, limit int) ([]byte, error) {
	var r io.Reader
	var err error
	switch {
	case equalFold(name, "gzip"), equalFold(name, "x-gzip"):
		z := gzipReaders.Get().(*gzip.Reader)
		defer gzipReaders.Put(z)
		err = z.Reset(bytes.NewReader(body))
		r = z
	case equalFold(name, "deflate"):
		// zlib's first byte names method 8, and the first two are a multiple of 31 (RFC 1950 section 2.2).
		if len(body) >= 2 && body[0]&15 == 8 && (int(body[0])<<8|int(body[1]))%31 == 0 {
			r, err = zlib.NewReader(bytes.NewReader(body))
		} else {
			r = flate.NewReader(bytes.NewReader(body))
		}
	default:
		return nil, fmt.Errorf("content encoding %s: %w", shown(string(name)), ErrInflateEncoding)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, err, ErrInflateBroken)
	}
	var w bytes.Buffer
	n, err := io.Copy(&w, io.LimitReader(r, int64(limit)+1))
	if n > int64(limit) {
		return w.Bytes()[:limit], fmt.Errorf("%s: more than %d bytes: %w", name, limit, ErrInflateTooLong)
	}
	if err != nil {
		return w.Bytes(), fmt.Errorf("%s: %w: %w", name, err, ErrInflateBroken)
	}
	return w.Bytes(), nil
}
