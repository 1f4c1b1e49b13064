package h1

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"pgregory.net/rapid"
)

// headOf parses the head of an answer that has one.
func headOf(t testing.TB, raw string) *Head {
	t.Helper()
	sc := new(Scratch)
	var p Parser
	p.Begin(sc, false)
	if _, ev, _, err := p.Feed(sc, []byte(raw)); ev != HeadEnd || err != nil {
		t.Fatalf("%v, %v", ev, err)
	}
	return &sc.Head
}

func TestHeadFields(t *testing.T) {
	h := headOf(t, "HTTP/1.1 302 Moved  there \r\nSet-Cookie: a=b; Path=/\r\nlocation:/x\r\nset-cookie:\tc=d \t\r\n"+
		"Empty:\r\nContent-Encoding: gzip\r\nURL: http://h:1/\r\nContent-Length: 3\r\n\r\n")
	for name, want := range map[string]string{
		"set-cookie": "a=b; Path=/", "SET-COOKIE": "a=b; Path=/", "Location": "/x", "empty": "", "url": "http://h:1/", "content-length": "3",
	} {
		if got := h.Get(name); got == nil || string(got) != want {
			t.Errorf("Get(%q) = %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"", "absent", "HTTP/1.1 302 Moved", "emptx", "se", "\r\n"} {
		if got := h.Get(name); got != nil {
			t.Errorf("Get(%q) = %q, want none", name, got)
		}
	}
	if !h.SetCookie || !h.Location || !h.ContentEncoding || h.ContentLength != 3 || h.Status != 302 || h.Minor != 1 {
		t.Errorf("%+v", h)
	}
	var all []string
	for name, value := range h.Each {
		all = append(all, string(name)+"="+string(value))
	}
	if len(all) != 7 || all[2] != "set-cookie=c=d" {
		t.Errorf("fields are %q", all)
	}
	n := 0
	for range h.Each {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d fields after a break at 2", n)
	}
}

func TestHeadWithoutFields(t *testing.T) {
	for _, raw := range []string{"HTTP/1.1 204 No\r\n\r\n", "HTTP/1.1 204\n\n", "HTTP/1.1 204 \n\r\n"} {
		h := headOf(t, raw)
		for name := range h.Each {
			t.Errorf("%q has a field %q", raw, name)
		}
		if h.ContentLength != -1 || h.SetCookie || h.Location || h.ContentEncoding {
			t.Errorf("%q: %+v", raw, h)
		}
	}
	var none Head
	if none.Get("x") != nil {
		t.Error("the zero Head has something")
	}
}

func TestReadingFieldsAllocatesNothing(t *testing.T) {
	h := headOf(t, string(samples["small"]))
	n := 0
	allocs := testing.AllocsPerRun(100, func() {
		for name, value := range h.Each {
			n += len(name) + len(value)
		}
		n += len(h.Get("connection"))
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestDecimalIsTheInverseOfPrinting(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "007": 7, "9223372036854775807": 1<<63 - 1} {
		if n, ok := decimal([]byte(text)); !ok || n != want {
			t.Errorf("%s is %d, %v", text, n, ok)
		}
	}
	for _, text := range []string{"", "-1", "1_0", "9223372036854775808", "99999999999999999999999"} {
		if n, ok := decimal([]byte(text)); ok {
			t.Errorf("%q passes as %d", text, n)
		}
	}
}

func TestNamesCompareAsInASCII(t *testing.T) {
	same := func(a, b [3]byte) bool {
		fold := func(x [3]byte) (y [3]byte) {
			for i, c := range x {
				if 'A' <= c && c <= 'Z' {
					c += 'a' - 'A'
				}
				y[i] = c
			}
			return y
		}
		return sameName(a[:], string(b[:])) == (fold(a) == fold(b))
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
	for c := range 256 {
		for _, d := range []byte{byte(c) | 0x20, byte(c) &^ 0x20, byte(c)} {
			if !same([3]byte{byte(c)}, [3]byte{d}) {
				t.Errorf("%q and %q", byte(c), d)
			}
		}
	}
}

// SetCookies finds what Each finds, wherever the fields stand, however they are written, folded and cut by reads.
func TestSetCookies(t *testing.T) {
	for _, fields := range []string{
		"", "Set-Cookie: a=1\r\n", "A: b\r\nSet-Cookie: a=1; Path=/\r\nB: c\r\n", "set-cookie:a=1\r\nX: y\r\nSET-COOKIE: b=2\r\nSet-Cookie:\r\nZ: z\r\n",
		"Set-Cookie: a=1;\r\n Path=/\r\nX: y\r\n", "Set-Cookie2: no\r\nSet-Cooki: no\r\n", "X: 1\nSet-Cookie: a=1\nSet-Cookie: b=2\nContent-Length: 0\n",
	} {
		whole := []byte("HTTP/1.1 204 No\r\n" + fields + "\r\n")
		for cut := range len(whole) {
			var sc Scratch
			var p Parser
			p.Begin(&sc, false)
			for rest, ev := append([]byte(nil), whole...), NeedMore; ev != HeadEnd; {
				b := rest
				if len(rest) == len(whole) && cut > 0 {
					b = rest[:cut]
				}
				n, got, _, err := p.Feed(&sc, b)
				if err != nil {
					t.Fatalf("%q cut at %d: %v", whole, cut, err)
				}
				rest, ev = rest[n:], got
			}
			var want, got []string
			for name, value := range sc.Head.Each {
				if strings.EqualFold(string(name), "set-cookie") {
					want = append(want, string(value))
				}
			}
			for value := range sc.Head.SetCookies {
				got = append(got, string(value))
			}
			if !slices.Equal(got, want) || sc.Head.SetCookie != (len(want) > 0) {
				t.Errorf("%q cut at %d: cookies %q, want %q", whole, cut, got, want)
			}
			for range sc.Head.SetCookies {
				break
			}
		}
	}
}

// TestWhatIsFamiliarChangesNothing: a Scratch that has seen other heads reads a head as a new one does, error for error.
func TestWhatIsFamiliarChangesNothing(t *testing.T) {
	lines := []string{
		"Server: x\r\n", "Server: y\r\n", "Date: Sat, 21 Nov 2026 09:31:30 GMT\r\n", "Server: x\n", "Connection: keep-alive\r\n", "Connection: close\r\n", "Connection: keep-alive, close\r\n",
		"Content-Length: 3\r\n", "Content-Length: 4\r\n", "Set-Cookie: a=b\r\n", " folded\r\n", "\tfolded\r\n", "bad line\r\n", "Nul: \x00\r\n", "Server: x\r\r\n", "Location: /\r\n", "Transfer-Encoding: chunked\r\n", "X: " + strings.Repeat("y", 200) + "\r\n",
	}
	rapid.Check(t, func(t *rapid.T) {
		var used Scratch
		for range rapid.IntRange(1, 6).Draw(t, "heads") {
			raw := "HTTP/1." + rapid.SampledFrom([]string{"0", "1"}).Draw(t, "minor") + " 200 OK\r\n"
			raw += strings.Join(rapid.SliceOfN(rapid.SampledFrom(lines), 0, 10).Draw(t, "lines"), "") + "\r\n"
			cut := rapid.IntRange(1, len(raw)).Draw(t, "cut")
			read := func(sc *Scratch) (h Head, text string) {
				var p Parser
				p.Begin(sc, true)
				for _, b := range []string{raw[:cut], raw[cut:]} {
					_, ev, _, err := p.Feed(sc, []byte(b))
					if err != nil {
						return Head{}, err.Error()
					}
					if ev == HeadEnd {
						return sc.Head, ""
					}
				}
				return Head{}, "not whole"
			}
			want, wantErr := read(new(Scratch))
			got, gotErr := read(&used)
			if gotErr != wantErr || !reflect.DeepEqual(got, want) {
				t.Fatalf("%q cut at %d: %+v %q, a new Scratch reads %+v %q", raw, cut, got, gotErr, want, wantErr)
			}
		}
	})
}
