package loop

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// identity is a server's configuration with a fresh certificate for
// "target.test", and the client's that trusts it.
func identity(t testing.TB, from, to time.Time) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "target.test"},
		DNSNames:     []string{"target.test"},
		NotBefore:    from,
		NotAfter:     to,
		IsCA:         true,

		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	client = &tls.Config{RootCAs: pool, ServerName: "target.test", ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	return server, client
}

func valid(t testing.TB) (server, client *tls.Config) {
	return identity(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
}

// secured serves TLS on a new loopback listener.
func secured(t testing.TB, cfg *tls.Config, serve func(*tls.Conn)) *Endpoint {
	t.Helper()
	return tcp(t, func(c net.Conn) {
		tc := tls.Server(c, cfg)
		if tc.Handshake() == nil {
			serve(tc)
		}
	})
}

// TestTLSEcho sends more than sockets hold, before and after the handshake, and
// wants it back. Versions differ in how they send tickets and records.
func TestTLSEcho(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			server, client := valid(t)
			server.MaxVersion = version
			ep := secured(t, server, func(c *tls.Conn) {
				b, _ := io.ReadAll(io.LimitReader(c, 4<<20))
				_, _ = c.Write(b)
				_ = c.CloseWrite()
				_, _ = io.Copy(io.Discard, c)
			})
			ep.TLS = client
			want := pattern(4 << 20)
			for range 2 { // the second resumes the session of the first
				var l *Loop
				var got []byte
				h := &calls{
					opened: func(c *Conn, now time.Duration) {
						if s := c.TLSState(); s == nil || s.Version != version {
							t.Errorf("state %+v", s)
						}
						if c.SecuredAt() < c.ConnectedAt() || c.ConnectedAt() == 0 || c.SecuredAt() > now {
							t.Errorf("connected at %v, secured at %v, opened at %v", c.ConnectedAt(), c.SecuredAt(), now)
						}
						c.Write(want[1000 : 1<<20])
						c.Write(want[1<<20:])
					},
					data: func(_ *Conn, b []byte, _ time.Duration) { got = append(got, b...) },
					closed: func(_ *Conn, err error, _ time.Duration) {
						if err != io.EOF {
							t.Errorf("closed: %v", err)
						}
						l.Stop()
					},
				}
				run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0).Write(want[:1000]) })
				if !bytes.Equal(got, want) {
					t.Errorf("got %d bytes, not the %d sent", len(got), len(want))
				}
			}
		}
	})
}

// trickle is a net.Conn that sends what is written a few bytes at a time, each
// in a packet of its own.
type trickle struct {
	net.Conn
	piece int
}

func (c trickle) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = c.Conn.Write(b[n:min(n+c.piece, len(b))])
		n += m
		runtime.Gosched() // lets the reader at it, mostly
	}
	return n, err
}

// TestTLSPartialRecords cuts records, tickets among them, at every few bytes.
func TestTLSPartialRecords(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		server, client := valid(t)
		want := pattern(40_000)
		for _, piece := range []int{1, 3, 700} {
			want := want[:min(len(want), 400*piece)]
			ep := tcp(t, func(c net.Conn) {
				tc := tls.Server(trickle{c, piece}, server)
				_, _ = tc.Write(want)
				_ = tc.CloseWrite()
				_, _ = io.Copy(io.Discard, tc)
			})
			ep.TLS = client
			var l *Loop
			var got []byte
			h := &calls{
				data: func(_ *Conn, b []byte, _ time.Duration) { got = append(got, b...) },
				closed: func(_ *Conn, err error, _ time.Duration) {
					if err != io.EOF {
						t.Errorf("pieces of %d: closed: %v", piece, err)
					}
					l.Stop()
				},
			}
			run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
			if !bytes.Equal(got, want) {
				t.Errorf("pieces of %d: got %d bytes of %d", piece, len(got), len(want))
			}
		}
	})
}

// TestTLSFailure wants the handshake's failures under their own name.
func TestTLSFailure(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		now := time.Now()
		expiredServer, expiredClient := identity(t, now.Add(-2*time.Hour), now.Add(-time.Hour))
		server, client := valid(t)
		stranger := client.Clone()
		stranger.RootCAs = x509.NewCertPool()

		notTLS := tcp(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 16<<10))
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_, _ = io.Copy(io.Discard, c)
		})
		notTLS.TLS = client
		hangsUp := tcp(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 16<<10)) })
		hangsUp.TLS = client
		floods := tcp(t, func(c net.Conn) {
			// One record after another of a handshake message without end.
			b := append([]byte{22, 3, 3, 0x40, 0}, make([]byte, 0x4000)...)
			for {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		})
		floods.TLS = client
		expired := secured(t, expiredServer, func(*tls.Conn) {})
		expired.TLS = expiredClient
		unknown := secured(t, server, func(*tls.Conn) {})
		unknown.TLS = stranger
		nameless := secured(t, server, func(*tls.Conn) {})
		nameless.TLS = &tls.Config{}

		for _, v := range []struct {
			name  string
			ep    *Endpoint
			cause func(error) bool
		}{
			{"not TLS", notTLS, func(err error) bool { return errors.As(err, new(tls.RecordHeaderError)) }},
			{"hangs up", hangsUp, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) }},
			{"floods", floods, func(error) bool { return true }},
			{"expired", expired, func(err error) bool { return errors.As(err, new(x509.CertificateInvalidError)) }},
			{"unknown", unknown, func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) }},
			{"nameless", nameless, func(err error) bool { return strings.Contains(err.Error(), "ServerName") }},
		} {
			var l *Loop
			h := &calls{
				opened: func(*Conn, time.Duration) { t.Errorf("%s: opened", v.name); l.Stop() },
				closed: func(_ *Conn, err error, _ time.Duration) {
					var e *Error
					if !errors.As(err, &e) || e.Op != "tls" || !v.cause(err) {
						t.Errorf("%s: closed: %v", v.name, err)
					}
					l.Stop()
				},
			}
			run(t, o, h, func(lp *Loop) { l = lp; l.Dial(v.ep, 0) })
		}
	})
}

// TestTLSTruncated tells an end without close_notify from a proper one.
func TestTLSTruncated(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		server, client := valid(t)
		ep := tcp(t, func(c net.Conn) {
			tc := tls.Server(c, server)
			_, _ = tc.Write([]byte("half"))
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		})
		ep.TLS = client
		var l *Loop
		got := ""
		h := &calls{
			data: func(_ *Conn, b []byte, _ time.Duration) { got += string(b) },
			closed: func(_ *Conn, err error, _ time.Duration) {
				var e *Error
				if !errors.As(err, &e) || e.Op != "read" || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
					t.Errorf("closed: %v", err)
				}
				l.Stop()
			},
		}
		run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
		if got != "half" {
			t.Errorf("got %q", got)
		}
	})
}

// TestStartTLS goes through a tunnel: plain words first, then TLS.
func TestStartTLS(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		server, client := valid(t)
		said := make(chan error, 1)
		ep := tcp(t, func(c net.Conn) {
			b := make([]byte, len("CONNECT"))
			_, _ = io.ReadFull(c, b)
			_, _ = c.Write([]byte("200"))
			tc := tls.Server(c, server)
			_, err := io.Copy(tc, tc)
			said <- err
		})
		var l *Loop
		opens := 0
		h := &calls{
			opened: func(c *Conn, _ time.Duration) {
				if opens++; opens == 1 {
					c.Write([]byte("CONNECT"))
				} else {
					c.Write([]byte("hello"))
				}
			},
			data: func(c *Conn, b []byte, _ time.Duration) {
				switch string(b) {
				case "200":
					c.StartTLS(client)
					c.StartTLS(client)
				case "early":
					if opens != 2 {
						t.Errorf("data after %d opens", opens)
					}
				case "hello", "earlyhello":
					c.Close()
					l.Stop()
				default:
					t.Errorf("got %q", b)
				}
				if string(b) == "200" {
					c.Write([]byte("early"))
				}
			},
			closed: func(_ *Conn, err error, _ time.Duration) { t.Errorf("closed: %v", err); l.Stop() },
		}
		run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
		if err := <-said; err != nil {
			t.Errorf("the server missed the close_notify: %v", err)
		}
	})
}

// FuzzTake cuts any stream into records and pieces of records, and wants every
// byte once and never those of two records together.
func FuzzTake(f *testing.F) {
	f.Add([]byte{22, 3, 1, 0, 3, 1, 2, 3, 20, 3, 3, 0, 0, 23, 3}, uint8(4), uint8(2))
	f.Add(bytes.Repeat([]byte{23, 3, 3, 0, 1, 9}, 20), uint8(255), uint8(255))
	f.Fuzz(func(t *testing.T, stream []byte, in, out uint8) {
		var s secure
		var got []byte
		begins := map[int]bool{} // where records begin, by another way
		for i := 0; i+recordHeader <= len(stream); i += recordHeader + int(stream[i+3])<<8 + int(stream[i+4]) {
			begins[i] = true
		}
		b := make([]byte, int(out)+1)
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), int(in)+1)
			s.in, rest = rest[:n], rest[n:]
			for len(s.in) > 0 {
				n := s.take(b)
				if n == 0 {
					t.Fatal("took nothing")
				}
				for i := len(got) + 1; i < len(got)+n; i++ {
					if begins[i] {
						t.Fatalf("took bytes %d to %d, over the border at %d", len(got), len(got)+n, i)
					}
				}
				got = append(got, b[:n]...)
			}
		}
		if !bytes.Equal(got, stream) {
			t.Fatalf("took % x of % x", got, stream)
		}
	})
}

// keyLog picks the server's traffic secret out of what crypto/tls logs.
type keyLog struct{ server []byte }

func (k *keyLog) Write(line []byte) (int, error) {
	if f := strings.Fields(string(line)); len(f) == 3 && f[0] == "SERVER_TRAFFIC_SECRET_0" {
		k.server, _ = hex.DecodeString(f[2])
	}
	return len(line), nil
}

// expand is HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
func expand(t testing.TB, secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{0, byte(n), byte(len(label))}, label...)
	b, err := hkdf.Expand(crypto.SHA256.New, secret, string(append(info, 0)), n)
	if err != nil {
		t.Error(err)
	}
	return b
}

// seal is record number seq under a traffic secret, with AES-128-GCM
// (RFC 8446 sections 5.2, 5.3 and 7.3).
func seal(t testing.TB, secret []byte, seq byte, kind byte, plain []byte) []byte {
	block, err := aes.NewCipher(expand(t, secret, "key", 16))
	if err != nil {
		t.Error(err)
		return nil
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Error(err)
		return nil
	}
	nonce := expand(t, secret, "iv", 12)
	nonce[11] ^= seq
	inner := append(bytes.Clone(plain), kind)
	n := len(inner) + aead.Overhead()
	head := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return aead.Seal(bytes.Clone(head), nonce, inner, head)
}

// TestTLSKeyUpdate changes keys in the middle of the stream, which asks for
// an answer from inside a Read. crypto/tls does not start key updates, so the
// test writes the server's records itself; it reads the client's with
// crypto/tls, so that the client's own change of keys is checked too.
func TestTLSKeyUpdate(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		for _, piece := range []int{1, 7, 1 << 20} {
			keys := &keyLog{}
			server, client := valid(t)
			server.MinVersion = tls.VersionTLS13
			server.SessionTicketsDisabled = true // the first record is number 0
			server.KeyLogWriter = keys
			ep := tcp(t, func(c net.Conn) {
				tc := tls.Server(c, server)
				if err := tc.Handshake(); err != nil {
					t.Error(err)
					return
				}
				update := []byte{24, 0, 0, 1, 1} // KeyUpdate, update_requested
				first := keys.server
				second := expand(t, first, "traffic upd", 32)
				third := expand(t, second, "traffic upd", 32)
				var b []byte
				b = append(b, seal(t, first, 0, 23, []byte("one "))...)
				b = append(b, seal(t, first, 1, 22, update[:2])...) // a message in two records
				b = append(b, seal(t, first, 2, 22, update[2:])...)
				b = append(b, seal(t, second, 0, 23, []byte("two "))...)
				b = append(b, seal(t, second, 1, 22, update)...)
				b = append(b, seal(t, third, 0, 23, []byte("three"))...)
				_, _ = trickle{c, piece}.Write(b)
				answer, err := io.ReadAll(tc)
				if string(answer) != "understood" || err != nil {
					t.Errorf("pieces of %d: the server got %q, %v", piece, answer, err)
				}
			})
			ep.TLS = client
			var l *Loop
			got := ""
			h := &calls{
				opened: func(c *Conn, _ time.Duration) {
					if c.TLSState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
						t.Skip("without AES in the processor another cipher is chosen")
					}
				},
				data: func(c *Conn, b []byte, _ time.Duration) {
					if got += string(b); got == "one two three" {
						c.Write([]byte("understood"))
						c.Close()
						l.Stop()
					}
				},
				closed: func(_ *Conn, err error, _ time.Duration) {
					t.Errorf("pieces of %d: closed: %v", piece, err)
					l.Stop()
				},
			}
			run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
			if got != "one two three" {
				t.Errorf("pieces of %d: got %q", piece, got)
			}
		}
	})
}

// TestTLSKeysWithoutEnd asks for new keys all the time and reads no answer.
func TestTLSKeysWithoutEnd(t *testing.T) {
	const most = 50_000
	keys := &keyLog{}
	server, client := valid(t)
	server.MinVersion = tls.VersionTLS13
	server.SessionTicketsDisabled = true // the first record is number 0
	server.KeyLogWriter = keys
	near, far := net.Pipe() // which holds no answer
	updates := make(chan int, 1)
	go func() {
		defer far.Close()
		if err := tls.Server(far, server).Handshake(); err != nil {
			t.Error(err)
		}
		for n, secret := 0, keys.server; ; n++ {
			var b []byte
			seq := byte(0)
			if n%8 == 0 { // crypto/tls lets 16 in a row pass
				b = seal(t, secret, seq, 23, []byte("x"))
				seq++
			}
			b = append(b, seal(t, secret, seq, 22, []byte{24, 0, 0, 1, 1})...)
			if _, err := far.Write(b); err != nil || n == most {
				updates <- n
				return
			}
			secret = expand(t, secret, "traffic upd", 32)
		}
	}()
	var l *Loop
	h := &calls{
		opened: func(c *Conn, _ time.Duration) {
			if c.TLSState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
				t.Skip("without AES in the processor another cipher is chosen")
			}
		},
		closed: func(_ *Conn, err error, _ time.Duration) {
			var e *Error
			if !errors.As(err, &e) || e.Op != "tls" || !strings.Contains(err.Error(), "keys") {
				t.Errorf("closed: %v", err)
			}
			l.Stop()
		},
	}
	dial := func(context.Context, string, string) (net.Conn, error) { return near, nil }
	run(t, Options{Portable: true, Dial: dial}, h, func(lp *Loop) { l = lp; l.Dial(&Endpoint{TLS: client}, 0) })
	if n := <-updates; n == most {
		t.Errorf("%d updates were taken", n)
	}
}

// held is a net.Conn that sends the first thing written and keeps the rest.
type held struct {
	net.Conn
	sent bool
	rest []byte
}

func (c *held) Write(b []byte) (int, error) {
	if c.sent {
		c.rest = append(c.rest, b...)
		return len(b), nil
	}
	c.sent = true
	return c.Conn.Write(b)
}

// TestTLSAnswerBeforeError has an answer that comes together with the end of the
// handshake, and a connection that is reset before anything is asked on it.
func TestTLSAnswerBeforeError(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems drop what a RST overtakes")
	}
	onBoth(t, func(t *testing.T, o Options) {
		server, client := valid(t)
		server.MaxVersion = tls.VersionTLS12 // in which the server has the last word of a handshake
		reset := make(chan struct{})
		ep := tcp(t, func(c net.Conn) {
			defer close(reset)
			rest := &held{Conn: c}
			tc := tls.Server(rest, server)
			_, err := tc.Write([]byte("too many connections"))
			if err == nil {
				_, err = c.Write(rest.rest)
			}
			if err != nil {
				t.Error(err)
			}
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		})
		ep.TLS = client
		var l *Loop
		got := ""
		h := &calls{
			opened: func(c *Conn, _ time.Duration) {
				<-reset
				c.Write([]byte("x"))
			},
			data:   func(_ *Conn, b []byte, _ time.Duration) { got += string(b) },
			closed: func(*Conn, error, time.Duration) { l.Stop() },
		}
		run(t, o, h, func(lp *Loop) { l = lp; l.Dial(ep, 0) })
		if got != "too many connections" {
			t.Errorf("got %q before the end", got)
		}
	})
}

// TestStopWhileSecuring ends a handshake whose server never answers.
func TestStopWhileSecuring(t *testing.T) {
	onBoth(t, func(t *testing.T, o Options) {
		_, client := valid(t)
		loops := make(chan *Loop, 1)
		ep := tcp(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1)) // the handshake has begun
			(<-loops).Stop()
			_, _ = io.Copy(io.Discard, c)
		})
		ep.TLS = client
		run(t, o, &calls{}, func(l *Loop) { loops <- l; l.Dial(ep, 0) })
	})
}

// TestTemporaryReadErrors holds crypto/tls to what secure depends on and its
// documentation does not promise: a Read that failed with a temporary error can
// be repeated, whatever part of whatever record had arrived. The stream has
// tickets after the handshake, application data of several records and a
// close_notify, cut at every byte.
func TestTemporaryReadErrors(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) { temporaryReadErrors(t, version) })
	}
}

func temporaryReadErrors(t *testing.T, version uint16) {
	server, client := valid(t)
	server.MaxVersion = version
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	want := pattern(3 * 16384)

	// All the server sends goes through the drip once the handshake is over.
	d := &drip{Conn: near}
	tc := tls.Client(d, client)
	done := make(chan error, 1)
	go func() {
		s := tls.Server(far, server)
		if err := s.Handshake(); err != nil {
			done <- err
			return
		}
		_, err := s.Write(want)
		if err == nil {
			err = s.CloseWrite()
		}
		done <- err
		_, _ = io.Copy(io.Discard, far)
	}()
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	d.dripping = true
	var got []byte
	b := make([]byte, 1000)
	waits := 0
	for {
		n, err := tc.Read(b)
		got = append(got, b[:n]...)
		if err == error(errAgain) {
			waits++
			continue
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || waits < len(want) {
		t.Errorf("got %d bytes of %d, with %d temporary errors", len(got), len(want), waits)
	}
}

// drip reads one byte, then fails once, and so on.
type drip struct {
	net.Conn
	dripping, dry bool
}

func (d *drip) Read(b []byte) (int, error) {
	if !d.dripping {
		return d.Conn.Read(b)
	}
	if d.dry = !d.dry; d.dry {
		return 0, errAgain
	}
	return d.Conn.Read(b[:1])
}
