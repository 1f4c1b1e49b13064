package h1

import (
	"bytes"
	"testing"
)

const nginxFields = "Server: nginx/1.26.3\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\n"

// samples are answers as common servers give them.
var samples = map[string][]byte{
	"small": []byte("HTTP/1.1 200 OK\r\n" + nginxFields + "Content-Length: 24\r\nConnection: keep-alive\r\n\r\n" + "hello from the target!!\n"),
	"10KB":  append([]byte("HTTP/1.1 200 OK\r\n"+nginxFields+"Content-Length: 10240\r\nConnection: keep-alive\r\n\r\n"), bytes.Repeat([]byte("0123456789abcdef"), 640)...),
	"chunked": []byte("HTTP/1.1 200 OK\r\n" + nginxFields + "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n" +
		"18\r\nhello from the target!!\n\r\n" + "0\r\n\r\n"),
}

func BenchmarkParser(b *testing.B) {
	for _, name := range []string{"small", "10KB", "chunked"} {
		raw := samples[name]
		for _, cut := range []struct {
			name string
			at   int
		}{{"whole", 0}, {"cut", 60}} {
			b.Run(name+"/"+cut.name, func(b *testing.B) {
				var sc Scratch
				var p Parser
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				for b.Loop() {
					p.Begin(&sc, false)
					if cut.at > 0 {
						if _, ev, _, err := p.Feed(&sc, raw[:cut.at]); ev != NeedMore || err != nil {
							b.Fatal(ev, err)
						}
					}
					rest := raw[cut.at:]
					for {
						n, ev, _, err := p.Feed(&sc, rest)
						if err != nil {
							b.Fatal(err)
						}
						rest = rest[n:]
						if ev == End {
							break
						}
					}
				}
			})
		}
	}
}

func BenchmarkHeadGet(b *testing.B) {
	h := headOf(b, string(samples["small"]))
	b.ReportAllocs()
	for b.Loop() {
		if h.Get("content-type") == nil {
			b.Fatal("no such field")
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendRequestLine(dst[:0], "GET", "/list?page=1")
		dst = AppendField(dst, "Host", "127.0.0.1:8080")
		dst = AppendField(dst, "User-Agent", "lt/1")
	}
}
