package h1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// exchange is an answer made by the generator, with what must be read from it.
type exchange struct {
	method string
	raw    string // what the server sends for it, interim heads included
	body   string
	interim,
	status int
	closes bool // the answer ends with the connection
}

// exchanges generates well-formed answers of every framing.
func exchanges(t *rapid.T) exchange {
	x := exchange{method: rapid.SampledFrom([]string{"GET", "GET", "POST", "HEAD"}).Draw(t, "method")}
	eol := rapid.SampledFrom([]string{"\r\n", "\r\n", "\n"}).Draw(t, "eol")
	var b strings.Builder
	x.interim = rapid.IntRange(0, 2).Draw(t, "interim")
	for range x.interim {
		b.WriteString("HTTP/1.1 103 Early Hints" + eol + "Link: </x>" + eol + eol)
	}
	minor := rapid.SampledFrom([]int{1, 1, 1, 0}).Draw(t, "minor")
	x.status = rapid.SampledFrom([]int{200, 200, 201, 204, 302, 304, 404, 500, 503}).Draw(t, "status")
	fmt.Fprintf(&b, "HTTP/1.%d %d %s%s", minor, x.status, rapid.StringMatching(`[ -~]{0,12}`).Draw(t, "reason"), eol)

	field := rapid.Custom(func(t *rapid.T) string {
		name := rapid.OneOf(rapid.StringMatching(`X-[A-Za-z0-9!#$%&'*+.^_|~-]{1,20}`),
			rapid.SampledFrom([]string{"Set-Cookie", "location", "Content-Encoding", "Date", "etag"})).Draw(t, "name")
		value := rapid.StringMatching(`[ \t]{0,2}([!-~][ -~]{0,40})?[ \t]{0,2}`).Draw(t, "value")
		return name + ":" + value + eol
	})
	fields := rapid.SliceOfN(field, 0, 5).Draw(t, "fields")
	if option := rapid.SampledFrom([]string{"", "", "close", "Close, x", "keep-alive", "x , Keep-Alive"}).Draw(t, "connection"); option != "" {
		fields = append(fields, "Connection: "+option+eol)
	}
	body := rapid.StringN(0, 60, 200).Draw(t, "body")
	framing := rapid.SampledFrom([]string{"length", "chunked", "close"}).Draw(t, "framing")
	if minor == 0 && framing == "chunked" {
		framing = "length"
	}
	content := body
	switch framing {
	case "length":
		fields = append(fields, fmt.Sprintf("Content-Length: %d%s", len(body), eol))
	case "chunked":
		fields = append(fields, "Transfer-Encoding: chunked"+eol)
		content = chunked(t, body)
	}
	fields = rapid.Permutation(fields).Draw(t, "order")
	b.WriteString(strings.Join(fields, "") + eol)
	if x.method != "HEAD" && x.status != 204 && x.status != 304 {
		b.WriteString(content)
		x.body, x.closes = body, framing == "close"
	}
	x.raw = b.String()
	return x
}

// chunked cuts body into chunks with extensions and trailers.
func chunked(t *rapid.T, body string) string {
	var b strings.Builder
	for body != "" {
		n := rapid.IntRange(1, len(body)).Draw(t, "chunk")
		fmt.Fprintf(&b, rapid.SampledFrom([]string{"%x", "%X", "%06x"}).Draw(t, "format"), n)
		b.WriteString(rapid.SampledFrom([]string{"", "", ";a", "; a=\"b c\"", "  "}).Draw(t, "extension"))
		b.WriteString("\r\n" + body[:n] + "\r\n")
		body = body[n:]
	}
	b.WriteString("0\r\n" + rapid.SampledFrom([]string{"", "", "A: b\r\n", "A:\r\nServer-Timing: x;dur=1\r\n"}).Draw(t, "trailers") + "\r\n")
	return b.String()
}

// Whatever a server says properly, we read as net/http does, cut as it may be, and stop at the same byte.
func TestReadsAsNetHTTPDoes(t *testing.T) {
	var sc Scratch
	var p Parser
	rapid.Check(t, func(rt *rapid.T) {
		x := exchanges(rt)
		raw := x.raw
		if !x.closes {
			raw += rapid.SampledFrom([]string{"", "HTTP/1.1 200 OK\r\n\r\n", "\x00"}).Draw(rt, "behind")
		}
		a := readAnswer(t, &sc, &p, x.method == "HEAD", pieces(raw, rapid.SliceOfN(rapid.IntRange(1, 40), 1, 8).Draw(rt, "cuts"))...)
		if a.Kind != 0 || !a.Ended {
			rt.Fatalf("kind %v, ended %v: %q", a.Kind, a.Ended, raw)
		}
		if a.Body != x.body || a.Head.Status != x.status || len(a.Interim) != x.interim || a.Remaining != len(raw)-len(x.raw) {
			rt.Fatalf("%q is read as %+v", raw, a)
		}

		in := bufio.NewReader(strings.NewReader(raw))
		var resp *http.Response
		for range x.interim + 1 {
			var err error
			if resp, err = http.ReadResponse(in, &http.Request{Method: x.method}); err != nil {
				rt.Fatalf("net/http on %q: %v", raw, err)
			}
		}
		compare(rt, raw, a, resp)
	})
}

// compare holds an answer against what net/http made of the same bytes.
func compare(t interface{ Fatalf(string, ...any) }, raw string, a answer, resp *http.Response) {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("net/http on the body of %q: %v", raw, err)
	}
	if a.Body != string(body) || a.Head.Status != resp.StatusCode || a.Head.Minor != resp.ProtoMinor || a.Head.KeepAlive == resp.Close {
		t.Fatalf("%q\nours %+v\nnet/http %d keep-alive %v body %q", raw, a, resp.StatusCode, !resp.Close, body)
	}
	ours := http.Header{}
	for name, value := range (&Head{Raw: []byte(a.Head.Raw)}).Each {
		ours.Add(string(name), string(value))
	}
	for _, h := range []http.Header{ours, resp.Header} {
		// net/http takes these out, or writes them anew.
		for _, name := range []string{"Transfer-Encoding", "Content-Length", "Connection", "Trailer"} {
			h.Del(name)
		}
	}
	if diff := cmp.Diff(resp.Header, ours); diff != "" {
		t.Fatalf("fields of %q (-net/http +ours):\n%s", raw, diff)
	}
	for name, flag := range map[string]bool{
		"Set-Cookie": a.Head.SetCookie, "Location": a.Head.Location, "Content-Encoding": a.Head.ContentEncoding,
	} {
		if _, there := ours[name]; there != flag {
			t.Fatalf("%s is %v in the head, flag says %v: %q", name, there, flag, raw)
		}
	}
}

// pieces cuts raw into pieces of the given lengths, again and again.
func pieces(raw string, lengths []int) [][]byte {
	var out [][]byte
	for i := 0; raw != ""; i++ {
		n := min(len(raw), max(1, lengths[i%len(lengths)]))
		out = append(out, []byte(raw[:n]))
		raw = raw[n:]
	}
	return out
}

// An answer cut off anywhere before its end is CutShort, unless the connection's end is its end.
func TestCutOffAnywhere(t *testing.T) {
	var sc Scratch
	var p Parser
	rapid.Check(t, func(rt *rapid.T) {
		x := exchanges(rt)
		cut := rapid.IntRange(0, len(x.raw)-1).Draw(rt, "cut")
		a := readAnswer(t, &sc, &p, x.method == "HEAD", []byte(x.raw[:cut]))
		if a.UntilClose != a.Ended || (a.Kind == CutShort) == a.Ended {
			rt.Fatalf("cut at %d of %q: %+v", cut, x.raw, a)
		}
		if !strings.HasPrefix(x.body, a.Body) {
			rt.Fatalf("body %q is no beginning of %q", a.Body, x.body)
		}
	})
}

func seeds(f *testing.F) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, s := range []string{
		string(samples["small"]), string(samples["chunked"]),
		ok + "\r\nbody", ok + "A: b\r\n c\r\n\r\n", "HTTP/1.1 100 C\r\n\r\nHTTP/1.0 204 N\nConnection: keep-alive\n\n",
		ok + "Content-Length: 1,1\r\nContent-Length: 2\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n1 ;a=b\r\nx\r\n00\r\nA:b\r\n\r\nHTTP/1.1",
		ok + "Set-Cookie: a\x00\r\n\r\n", "HTTP/1.1 304\r\nContent-Length: 5\r\n\r\n", ok + "A: b\rc\r\n\r\n",
	} {
		f.Add([]byte(s), uint16(3), uint16(17), false)
		f.Add([]byte(s), uint16(1), uint16(1), true)
	}
}

// FuzzParser: whatever comes, however cut, nothing panics, loops or is kept, and the cuts do not show in the result.
func FuzzParser(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte, first, second uint16, noBody bool) {
		before := bytes.Clone(raw)
		sc := &Scratch{Limits: Limits{HeadBytes: 256}}
		var p Parser
		whole := readAnswer(t, sc, &p, noBody, raw)
		cut := readAnswer(t, sc, &p, noBody, pieces(string(raw), []int{int(first), int(second)})...)
		if diff := cmp.Diff(whole, cut); diff != "" {
			t.Fatalf("%q (-whole +cut):\n%s", raw, diff)
		}
		if !bytes.Equal(raw, before) {
			t.Fatal("the bytes fed were changed")
		}
		if len(whole.Body)+whole.Remaining+len(whole.Head.Raw) > len(raw) {
			t.Fatalf("more came out than went in: %+v", whole)
		}
		if len(whole.Head.Raw) > 256 {
			t.Fatalf("a head of %d bytes", len(whole.Head.Raw))
		}
		p.Reset(sc)
		if p != (Parser{}) || len(sc.free) != len(sc.parts) {
			t.Fatalf("left behind: %+v, %d of %d parts free", p, len(sc.free), len(sc.parts))
		}
	})
}

// FuzzAgainstNetHTTP: what we and net/http both accept, we read alike.
func FuzzAgainstNetHTTP(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte, first, second uint16, noBody bool) {
		var sc Scratch
		var p Parser
		a := readAnswer(t, &sc, &p, noBody, pieces(string(raw), []int{int(first), int(second)})...)
		if a.Kind != 0 {
			return
		}
		method := "GET"
		if noBody {
			method = "HEAD"
		}
		in := bufio.NewReader(bytes.NewReader(raw))
		var resp *http.Response
		for range len(a.Interim) + 1 {
			var err error
			if resp, err = http.ReadResponse(in, &http.Request{Method: method}); err != nil {
				return // net/http is the stricter one
			}
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return
		}
		if a.Body != string(body) || a.Head.Status != resp.StatusCode {
			t.Fatalf("%q\nours %+v\nnet/http %d %q", raw, a, resp.StatusCode, body)
		}
	})
}
