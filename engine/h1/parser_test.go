package h1

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// answer is everything a parser says about one exchange, in a form that does not depend on how bytes were cut.
type answer struct {
	Interim    []int // statuses of the informational heads
	Head       headFacts
	UntilClose bool // the body ends where the connection does
	Body       string
	Ended      bool
	Kind       Kind // of the error of Feed or EOF, 0 if none
	Remaining  int  // bytes not consumed
}

type headFacts struct {
	Status, Minor                                            int
	ContentLength                                            int64
	Raw                                                      string
	KeepAlive, Chunked, SetCookie, Location, ContentEncoding bool
}

func factsOf(h *Head) headFacts {
	return headFacts{
		h.Status, h.Minor, h.ContentLength, string(h.Raw),
		h.KeepAlive, h.Chunked, h.SetCookie, h.Location, h.ContentEncoding,
	}
}

// readAnswer feeds the pieces and then, unless the answer has ended, the end of the connection.
func readAnswer(t testing.TB, sc *Scratch, p *Parser, noBody bool, pieces ...[]byte) answer {
	t.Helper()
	var a answer
	fail := func(err error) {
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("error is %T, want *Error: %v", err, err)
		}
		for _, c := range e.Error() {
			if c < ' ' || c > '~' {
				t.Fatalf("error text is not printable ASCII: %q", e.Error())
			}
		}
		if len(e.Detail) > 300 {
			t.Fatalf("error text has %d bytes", len(e.Detail))
		}
		a.Kind = e.Kind
	}
	p.Begin(sc, noBody)
	empties := 0 // events that consumed nothing
	for i, piece := range pieces {
		for !a.Ended {
			n, ev, chunk, err := p.Feed(sc, piece)
			if n < 0 || n > len(piece) {
				t.Fatalf("consumed %d of %d bytes", n, len(piece))
			}
			if err != nil {
				fail(err)
				if _, _, _, again := p.Feed(sc, nil); again == nil {
					t.Fatal("no error after an error")
				}
				return a
			}
			if n == 0 && ev != NeedMore {
				if empties++; empties > 1 {
					t.Fatalf("a second event without bytes: %v", ev)
				}
			}
			piece = piece[n:]
			switch ev {
			case Informational:
				a.Interim = append(a.Interim, sc.Head.Status)
			case HeadEnd:
				a.Head, a.UntilClose = factsOf(&sc.Head), p.state == untilClose
			case Body:
				if len(chunk) == 0 {
					t.Fatal("an empty piece of body")
				}
				a.Body += string(chunk)
			case End:
				a.Ended = true
			}
			if ev == NeedMore {
				if len(piece) != 0 {
					t.Fatalf("more wanted with %d bytes left", len(piece))
				}
				break
			}
		}
		if a.Ended {
			a.Remaining = len(piece)
			for _, rest := range pieces[i+1:] {
				a.Remaining += len(rest)
			}
			if p.part != 0 {
				t.Fatal("a part is held after the end")
			}
			return a
		}
	}
	if err := p.EOF(sc); err != nil {
		fail(err)
	} else {
		a.Ended = true
	}
	return a
}

// readEveryWay checks that whole, byte by byte and cut in two anywhere give the same answer.
func readEveryWay(t testing.TB, limits Limits, noBody bool, raw string) answer {
	t.Helper()
	sc := &Scratch{Limits: limits}
	var p Parser
	want := readAnswer(t, sc, &p, noBody, []byte(raw))
	single := make([][]byte, len(raw))
	for i := range raw {
		single[i] = []byte{raw[i]}
	}
	if diff := cmp.Diff(want, readAnswer(t, sc, &p, noBody, single...)); diff != "" {
		t.Fatalf("byte by byte, %q (-whole +bytes):\n%s", raw, diff)
	}
	for i := range raw {
		if diff := cmp.Diff(want, readAnswer(t, sc, &p, noBody, []byte(raw[:i]), []byte(raw[i:]))); diff != "" {
			t.Fatalf("cut at %d, %q (-whole +cut):\n%s", i, raw, diff)
		}
	}
	if len(sc.free) != len(sc.parts) {
		t.Fatalf("%d of %d parts came back", len(sc.free), len(sc.parts))
	}
	return want
}

func TestAnswersThatAreFine(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := map[string]struct {
		raw       string
		noBody    bool
		body      string
		remaining int
		keepAlive bool
		status    int
		interim   int
	}{
		"counted":                       {raw: ok + "Content-Length: 5\r\n\r\nhello", body: "hello", keepAlive: true, status: 200},
		"counted, pipelined rest":       {raw: ok + "Content-Length: 5\r\n\r\nhelloHTTP/1.1", body: "hello", remaining: 8, keepAlive: true, status: 200},
		"length zero":                   {raw: ok + "Content-Length: 0\r\n\r\nx", remaining: 1, keepAlive: true, status: 200},
		"same length twice":             {raw: ok + "Content-Length: 2\r\ncontent-length:2\r\n\r\nhi", body: "hi", keepAlive: true, status: 200},
		"same length in a list":         {raw: ok + "Content-Length: 2 , 02\r\n\r\nhi", body: "hi", keepAlive: true, status: 200},
		"until close":                   {raw: ok + "\r\nall of it", body: "all of it", status: 200},
		"until close, nothing":          {raw: ok + "\r\n", status: 200},
		"head request":                  {raw: ok + "Content-Length: 5\r\n\r\nHTTP", noBody: true, remaining: 4, keepAlive: true, status: 200},
		"head request, chunked":         {raw: ok + "Transfer-Encoding: chunked\r\n\r\n", noBody: true, keepAlive: true, status: 200},
		"204":                           {raw: "HTTP/1.1 204 No Content\r\n\r\n", keepAlive: true, status: 204},
		"304 with length":               {raw: "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", keepAlive: true, status: 304},
		"100 then 200":                  {raw: "HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 1\r\n\r\nx", body: "x", keepAlive: true, status: 200, interim: 1},
		"103 with a length":             {raw: "HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n", keepAlive: true, status: 200, interim: 1},
		"connection close":              {raw: ok + "Connection: foo, CLOSE\r\nContent-Length: 0\r\n\r\n", status: 200},
		"close wins over keep-alive":    {raw: ok + "Connection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status: 200},
		"closed is not close":           {raw: ok + "Connection: closed\r\nContent-Length: 0\r\n\r\n", status: 200, keepAlive: true},
		"HTTP/1.0":                      {raw: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", body: "x", status: 200},
		"HTTP/1.0 keep-alive":           {raw: "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", body: "x", keepAlive: true, status: 200},
		"chunked":                       {raw: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\nrest", body: "hello0123456789", remaining: 4, keepAlive: true, status: 200},
		"chunked in capitals":           {raw: ok + "TRANSFER-ENCODING:\tChunked \r\n\r\n0\r\n\r\n", keepAlive: true, status: 200},
		"chunk extensions":              {raw: ok + "Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0002 ; q=\"v\" \r\nyz\r\n000;end\r\n\r\n", body: "xyz", keepAlive: true, status: 200},
		"padded chunk size":             {raw: ok + "Transfer-Encoding: chunked\r\n\r\n1   \r\nx\r\n0\r\n\r\n", body: "x", keepAlive: true, status: 200},
		"trailers":                      {raw: ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\n", body: "x", keepAlive: true, status: 200},
		"bare LF in the head":           {raw: "HTTP/1.1 200 OK\nContent-Length: 1\n\nx", body: "x", keepAlive: true, status: 200},
		"no reason":                     {raw: "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", keepAlive: true, status: 200},
		"no reason and no space":        {raw: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", keepAlive: true, status: 200},
		"status out of classes":         {raw: "HTTP/1.1 999 Go away\r\nContent-Length: 0\r\n\r\n", keepAlive: true, status: 999},
		"later minor version":           {raw: "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", keepAlive: true, status: 200},
		"high bytes and controls":       {raw: ok + "X: \x01\xff\x7f\r\nContent-Length: 0\r\n\r\n", keepAlive: true, status: 200},
		"empty value":                   {raw: ok + "X:\r\nContent-Length: 0\r\n\r\n", keepAlive: true, status: 200},
		"folded field":                  {raw: ok + "X: a\r\n\tb\r\n  c\r\nContent-Length: 1\r\n\r\nx", body: "x", keepAlive: true, status: 200},
		"folded length":                 {raw: ok + "Content-Length:\r\n 1\r\n\r\nx", body: "x", keepAlive: true, status: 200},
		"folded with bare LF":           {raw: ok + "Content-Length:\n 1\n\nx", body: "x", keepAlive: true, status: 200},
		"field that hides in a fold":    {raw: ok + "X: a\r\n Content-Length: 9\r\nContent-Length: 1\r\n\r\nx", body: "x", keepAlive: true, status: 200},
		"205 has a body by its framing": {raw: "HTTP/1.1 205 Reset\r\nContent-Length: 1\r\n\r\nx", body: "x", keepAlive: true, status: 205},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := readEveryWay(t, Limits{}, test.noBody, test.raw)
			if a.Kind != 0 || !a.Ended {
				t.Fatalf("kind %v, ended %v", a.Kind, a.Ended)
			}
			if a.Body != test.body || a.Remaining != test.remaining || a.Head.KeepAlive != test.keepAlive ||
				a.Head.Status != test.status || len(a.Interim) != test.interim {
				t.Errorf("read as %+v", a)
			}
		})
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	const (
		ok      = "HTTP/1.1 200 OK\r\n"
		chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
	)
	tests := map[string]struct {
		raw  string
		want Kind
	}{
		"nothing":                       {"", CutShort},
		"half a status line":            {"HTTP/1.1 20", CutShort},
		"half a head":                   {ok + "A: b\r\n", CutShort},
		"another protocol, no LF":       {"SSH-2.0", BadStatusLine},
		"TLS alert":                     {"\x15\x03\x01\x00\x02\x02\x46", BadStatusLine},
		"HTTP/2":                        {"HTTP/2.0 200 OK\r\n\r\n", BadStatusLine},
		"HTTP/0.9":                      {"<html>", BadStatusLine},
		"lower case":                    {"http/1.1 200 OK\r\n\r\n", BadStatusLine},
		"two digit minor":               {"HTTP/1.10 200 OK\r\n\r\n", BadStatusLine},
		"two digit status":              {"HTTP/1.1 20 OK\r\n\r\n", BadStatusLine},
		"four digit status":             {"HTTP/1.1 2000 OK\r\n\r\n", BadStatusLine},
		"signed status":                 {"HTTP/1.1 +20 OK\r\n\r\n", BadStatusLine},
		"status below 100":              {"HTTP/1.1 099 OK\r\n\r\n", BadStatusLine},
		"empty line first":              {"\r\n" + ok + "\r\n", BadStatusLine},
		"no colon":                      {ok + "Content-Length 5\r\n\r\n", BadField},
		"space before the colon":        {ok + "Content-Length : 5\r\n\r\nhello", BadField},
		"empty name":                    {ok + ": 5\r\n\r\n", BadField},
		"name with controls":            {ok + "A\x01B: 5\r\n\r\n", BadField},
		"space before the first field":  {ok + " A: b\r\n\r\n", BadField},
		"NUL in a value":                {ok + "A: b\x00c\r\n\r\n", BadField},
		"NUL in the reason":             {"HTTP/1.1 200 O\x00K\r\n\r\n", BadField},
		"bare CR in a value":            {ok + "A: b\rContent-Length: 5\r\n\r\n", BadField},
		"CR CR LF":                      {ok + "A: b\r\r\n\r\n", BadField},
		"bare CR before the end":        {ok + "A: b\r\n\r\r\n\r\n", BadField},
		"letters as length":             {ok + "Content-Length: five\r\n\r\n", BadLength},
		"negative length":               {ok + "Content-Length: -5\r\n\r\n", BadLength},
		"signed length":                 {ok + "Content-Length: +5\r\n\r\n", BadLength},
		"hexadecimal length":            {ok + "Content-Length: 0x5\r\n\r\n", BadLength},
		"empty length":                  {ok + "Content-Length:\r\n\r\n", BadLength},
		"length with a gap":             {ok + "Content-Length: 1 2\r\n\r\n", BadLength},
		"length that overflows":         {ok + "Content-Length: 9223372036854775808\r\n\r\n", BadLength},
		"length list with a hole":       {ok + "Content-Length: 5,\r\n\r\n", BadLength},
		"two lengths":                   {ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", LengthsDiffer},
		"two lengths in a list":         {ok + "Content-Length: 5, 6\r\n\r\nhello!", LengthsDiffer},
		"length and chunked":            {ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", LengthAndCoding},
		"gzip, chunked":                 {ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", BadCoding},
		"identity":                      {ok + "Transfer-Encoding: identity\r\n\r\n", BadCoding},
		"empty coding":                  {ok + "Transfer-Encoding:\r\n\r\n", BadCoding},
		"chunked twice":                 {ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", BadCoding},
		"chunked in quotes":             {ok + "Transfer-Encoding: \"chunked\"\r\n\r\n", BadCoding},
		"chunked with vertical tab":     {ok + "Transfer-Encoding: \x0bchunked\r\n\r\n", BadCoding},
		"chunked in HTTP/1.0":           {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BadCoding},
		"101":                           {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", Switched},
		"only an interim head":          {"HTTP/1.1 100 Continue\r\n\r\n", CutShort},
		"short body":                    {ok + "Content-Length: 5\r\n\r\nhell", CutShort},
		"short chunked body":            {chunked + "5\r\nhell", CutShort},
		"chunked body without its end":  {chunked + "1\r\nx\r\n0\r\n", CutShort},
		"no chunk size":                 {chunked + "\r\n", BadChunk},
		"chunk size with sign":          {chunked + "+1\r\nx\r\n", BadChunk},
		"chunk size with 0x":            {chunked + "0x1\r\nx\r\n", BadChunk},
		"chunk size with space first":   {chunked + " 1\r\nx\r\n", BadChunk},
		"chunk size with a gap":         {chunked + "1 1\r\nx\r\n", BadChunk},
		"chunk size of 2^63":            {chunked + "8000000000000000\r\n", BadChunk},
		"chunk size of 17 digits":       {chunked + "00000000000000001\r\nx\r\n", BadChunk},
		"chunk size with bare LF":       {chunked + "1\nx\r\n0\r\n\r\n", BadChunk},
		"chunk size with bare CR":       {chunked + "1\rx\r\n0\r\n\r\n", BadChunk},
		"chunk extension with bare LF":  {chunked + "1;a\nx\r\n0\r\n\r\n", BadChunk},
		"chunk extension with NUL":      {chunked + "1;\x00\r\nx\r\n", BadChunk},
		"chunk longer than its size":    {chunked + "1\r\nxy\r\n0\r\n\r\n", BadChunk},
		"chunk that ends in bare LF":    {chunked + "1\r\nx\n0\r\n\r\n", BadChunk},
		"chunk that ends in CR":         {chunked + "1\r\nx\rx", BadChunk},
		"end with a bare CR":            {chunked + "0\r\n\rx", BadChunk},
		"trailer without colon":         {chunked + "0\r\nabc\r\n\r\n", BadField},
		"trailer that begins folded":    {chunked + "0\r\nA: b\r\n c\r\n\r\n", BadField},
		"trailer with NUL":              {chunked + "0\r\nA: \x00\r\n\r\n", BadField},
		"trailer with bare LF":          {chunked + "0\r\nA: b\nC: d\r\n\r\n", BadField},
		"trailer with bare CR":          {chunked + "0\r\nA: b\rC: d\r\n\r\n", BadField},
		"trailer with an empty name":    {chunked + "0\r\n: b\r\n\r\n", BadField},
		"ends in a bare LF":             {chunked + "0\r\n\n", BadField},
		"refused though there's no end": {ok + "Content-Length: x\r\nA", BadLength},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if a := readEveryWay(t, Limits{}, false, test.raw); a.Kind != test.want {
				t.Errorf("kind is %v, want %v", a.Kind, test.want)
			}
		})
	}
}

func TestHeadLimit(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	head := ok + "Content-Length: 0\r\nX: " + strings.Repeat("y", 40) + "\r\n\r\n"
	tests := map[string]struct {
		raw   string
		limit int
		want  Kind
	}{
		"just fits":                 {head, len(head), 0},
		"one too many":              {head, len(head) - 1, HeadTooLarge},
		"malformed beyond it":       {ok + strings.Repeat("X: y\r\n", 20) + "bad\r\n\r\n", 100, HeadTooLarge},
		"one endless line":          {ok + "X: " + strings.Repeat("y", 4000), 1000, HeadTooLarge},
		"endless status line":       {"HTTP/1.1 200 " + strings.Repeat("y", 4000), 1000, HeadTooLarge},
		"interim heads count":       {"HTTP/1.1 100 C\r\n\r\n" + head, len(head) + 17, HeadTooLarge},
		"interim heads that fit":    {"HTTP/1.1 100 C\r\n\r\n" + head, len(head) + 18, 0},
		"endless interim heads":     {strings.Repeat("HTTP/1.1 103 E\r\n\r\n", 100), 900, HeadTooLarge},
		"endless chunk extension":   {ok + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("y", 200), 100, HeadTooLarge},
		"many chunk extensions":     {ok + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;abcdefghi\r\nx\r\n", 20), 100, HeadTooLarge},
		"endless padding":           {ok + "Transfer-Encoding: chunked\r\n\r\n1" + strings.Repeat(" ", 200), 100, HeadTooLarge},
		"endless trailers":          {ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", 200), 100, HeadTooLarge},
		"a body is not bounded":     {ok + "Content-Length: 2000\r\n\r\n" + strings.Repeat("y", 2000), 100, 0},
		"small chunks are no heads": {ok + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 100) + "0\r\n\r\n", 100, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if a := readEveryWay(t, Limits{HeadBytes: test.limit}, false, test.raw); a.Kind != test.want {
				t.Errorf("kind is %v, want %v", a.Kind, test.want)
			}
		})
	}
}

func TestDefaultHeadLimitIs64KiB(t *testing.T) {
	var sc Scratch
	var p Parser
	fill := func(n int) []byte {
		const start, end = "HTTP/1.1 204 N\r\nX: ", "\r\n\r\n"
		return []byte(start + strings.Repeat("y", n-len(start)-len(end)) + end)
	}
	if a := readAnswer(t, &sc, &p, false, fill(64<<10)); a.Kind != 0 {
		t.Errorf("64 KiB: %v", a.Kind)
	}
	if a := readAnswer(t, &sc, &p, false, fill(64<<10+1)); a.Kind != HeadTooLarge {
		t.Errorf("one byte more: %v", a.Kind)
	}
}

func TestUnsolicitedBytes(t *testing.T) {
	var sc Scratch
	var p Parser
	if n, ev, _, err := p.Feed(&sc, nil); n != 0 || ev != NeedMore || err != nil {
		t.Errorf("nothing on an idle connection: %d, %v, %v", n, ev, err)
	}
	if err := p.EOF(&sc); err != nil {
		t.Errorf("end of an idle connection: %v", err)
	}
	_, _, _, err := p.Feed(&sc, []byte("HTTP/1.1 408 Too late\r\n"))
	var e *Error
	if !errors.As(err, &e) || e.Kind != Unsolicited {
		t.Errorf("bytes on an idle connection: %v", err)
	}
	if a := readAnswer(t, &sc, &p, false, []byte("HTTP/1.1 204 N\r\n\r\nx")); !a.Ended || a.Remaining != 1 {
		t.Errorf("after Begin: %+v", a)
	}
	if _, _, _, err := p.Feed(&sc, []byte("x")); !errors.As(err, &e) || e.Kind != Unsolicited {
		t.Errorf("bytes behind an answer: %v", err)
	}
}

// Where the connection dies before the first byte of an answer, the request may never have been read.
func TestCutShortSaysWhere(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for raw, want := range map[string]string{
		"": "before the first byte of the answer", "H": "inside the head", ok: "inside the head",
		ok + "Content-Length: 5\r\n\r\nhi":             "3 bytes before the end of the body",
		ok + "Transfer-Encoding: chunked\r\n\r\n1\r\n": "inside the chunked body",
	} {
		var sc Scratch
		var p Parser
		p.Begin(&sc, false)
		for b := []byte(raw); ; {
			n, ev, _, err := p.Feed(&sc, b)
			if err != nil {
				t.Fatal(err)
			}
			if b = b[n:]; ev == NeedMore {
				break
			}
		}
		if err := p.EOF(&sc); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", raw, err, want)
		}
	}
}

func TestBeginAndResetGiveBack(t *testing.T) {
	var sc Scratch
	var p Parser
	for _, leave := range []func(){func() { p.Begin(&sc, false) }, func() { p.Reset(&sc) }, func() { _ = p.EOF(&sc) }} {
		p.Begin(&sc, false)
		if _, _, _, err := p.Feed(&sc, []byte("HTTP/1.1 200 OK\r\nA:")); err != nil {
			t.Fatal(err)
		}
		if p.part == 0 {
			t.Fatal("half a head is not held")
		}
		leave()
		if p.part != 0 || len(sc.free) != 1 || len(sc.parts) != 1 {
			t.Errorf("held %d, %d of %d parts free", p.part, len(sc.free), len(sc.parts))
		}
	}
}

// Heads of many connections cut at the same time must not mix, and the memory of the burst must go afterwards.
func TestManyCutHeads(t *testing.T) {
	const users = 1000
	var sc Scratch
	parsers := make([]Parser, users)
	head := func(i int) []byte {
		return []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + strings.Repeat("y", i) + "\r\n\r\n")
	}
	for i := range parsers {
		parsers[i].Begin(&sc, false)
		if _, ev, _, err := parsers[i].Feed(&sc, head(i)[:20]); ev != NeedMore || err != nil {
			t.Fatal(ev, err)
		}
	}
	for i := range parsers {
		_, ev, _, err := parsers[i].Feed(&sc, head(i)[20:])
		if ev != HeadEnd || err != nil {
			t.Fatal(ev, err)
		}
		if !bytes.Equal(sc.Head.Raw, head(i)) {
			t.Fatalf("head %d is %q", i, sc.Head.Raw)
		}
	}
	if len(sc.parts) != 0 {
		t.Errorf("%d parts left", len(sc.parts))
	}
}

func TestLargeBuffersAreNotKept(t *testing.T) {
	var sc Scratch
	var p Parser
	raw := []byte("HTTP/1.1 204 N\r\nX: " + strings.Repeat("y", 40_000) + "\r\n\r\n")
	if a := readAnswer(t, &sc, &p, false, raw[:30_000], raw[30_000:]); a.Kind != 0 {
		t.Fatal(a.Kind)
	}
	if c := cap(sc.parts[0].raw); c != 0 {
		t.Errorf("%d bytes kept", c)
	}
}

func TestBytesFedAreNotChanged(t *testing.T) {
	raw := []byte("HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nContent-Length: 0\r\n\r\n")
	fed := bytes.Clone(raw)
	var sc Scratch
	var p Parser
	if a := readAnswer(t, &sc, &p, false, fed); a.Kind != 0 {
		t.Fatal(a.Kind)
	}
	if !bytes.Equal(raw, fed) {
		t.Errorf("now %q", fed)
	}
	if got := string(sc.Head.Get("x")); got != "a  \tb" {
		t.Errorf("folded value is %q", got)
	}
}

func TestParserIsSmallAndFree(t *testing.T) {
	if size := unsafe.Sizeof(Parser{}); size > 24 {
		t.Errorf("a Parser has %d bytes", size)
	}
	var sc Scratch
	var p Parser
	for name, raw := range samples {
		for _, cut := range []int{0, 60} {
			read := func() {
				p.Begin(&sc, false)
				for _, b := range [][]byte{raw[:cut], raw[cut:]} {
					for {
						n, ev, _, err := p.Feed(&sc, b)
						if err != nil {
							t.Fatal(err)
						}
						if b = b[n:]; ev == NeedMore || ev == End {
							break
						}
					}
				}
			}
			if allocs := testing.AllocsPerRun(100, read); allocs != 0 {
				t.Errorf("%s cut at %d: %v allocations", name, cut, allocs)
			}
		}
	}
}
