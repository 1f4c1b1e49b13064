package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func line(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteLine(&b, v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestIntroductions(t *testing.T) {
	h := Hello{
		Proto: [2]int{1, 2}, Version: "1.0", Build: "ab", OS: "linux", Arch: "arm64", Host: "ada", PID: 17, CPUs: 4, Memory: 1 << 40, Files: 1024, Ports: 28000,
		Machine: "m", Processes: "p", Policy: &Policy{Targets: []string{"*.test"}, MaxRate: 10.5, MaxDuration: time.Hour, RequireProof: true},
	}
	for name, banner := range map[string]string{
		"nothing": "", "a banner": "Welcome to Debian\nLast login: LT/1 LLT/1\n", "no line feed": "motd",
		"almost": "LT/1 LT/1 LT/LT/1 L", "64 KiB": strings.Repeat("noise\n", 10_000),
	} {
		r := strings.NewReader(banner + line(t, h) + "\x00\x00the session")
		got, err := ReadHello(iotest.DataErrReader(r))
		if err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		r = strings.NewReader(banner + line(t, h) + "\x00\x00the session")
		if _, err := ReadHello(r); err != nil {
			t.Fatal(err)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "\x00\x00the session" {
			t.Errorf("%s: %q is left", name, rest)
		}
	}
	g := Greeting{Proto: 1, Version: "1.0", Run: "r", Token: "t", Resume: true, Incarnation: "i", PID: 3, Acked: 7}
	if got, err := ReadGreeting(strings.NewReader(line(t, g))); err != nil || got != g {
		t.Error(got, err)
	}
	w := Welcome{OK: true, Incarnation: "i"}
	dead := 2
	if got, err := ReadWelcome(strings.NewReader(line(t, Welcome{Code: "no-such-run", Starved: &dead}))); err != nil || got.Starved == nil || *got.Starved != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ReadWelcome(strings.NewReader(line(t, w))); err != nil || got != w {
		t.Error(got, err)
	}
}

func TestIntroductionErrors(t *testing.T) {
	hello := func(s string) error { _, err := ReadHello(strings.NewReader(s)); return err }
	greeting := func(s string) error { _, err := ReadGreeting(strings.NewReader(s)); return err }
	for _, c := range []struct {
		err  error
		want string
	}{
		{hello(""), "the peer ended before it had introduced itself"},
		{hello("This account is \x1b[1mnot available.\n"), `the peer ended before it had introduced itself; it said "This account is \\x1b[1mnot available.\n"`},
		{hello(strings.Repeat("yes\n", 20_000)), "the peer printed more than 64 KiB and did not introduce itself"},
		{hello("LT/1 {\"proto\":[1,1]"), "the peer ended before it had introduced itself"},
		{hello("LT/1 {" + strings.Repeat(" ", 5000)), "the peer introduced itself with a line of more than 4096 bytes"},
		{hello("LT/1 {]\n"), "the peer introduced itself with a line that cannot be read"},
		{hello("LT/1 {\"proto\":[2,1]}\n"), "the peer says that it speaks the versions 2 to 1"},
		{greeting("GET / HTTP/1.1\r\n"), "the coordinator did not introduce itself"},
	} {
		var e *IntroductionError
		if !errors.As(c.err, &e) || !strings.HasPrefix(c.err.Error(), c.want) {
			t.Errorf("%v\n  instead of %s", c.err, c.want)
		}
	}
	broken := errors.New("broken")
	if _, err := ReadHello(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := WriteLine(io.Discard, Hello{Policy: &Policy{Targets: []string{strings.Repeat("x", 5000)}}}); err == nil {
		t.Error("a line that nobody reads was written")
	}
}

func TestNegotiate(t *testing.T) {
	for _, c := range []struct {
		low, high, want int
		text            string
	}{
		{1, 1, 1, ""},
		{1, 9, Proto, ""},
		{Proto + 1, Proto + 3, 0, "this is lt 1.2, which speaks version 1 of the protocol, and the peer is lt 9.9, which speaks 2 to 4: update this one"},
	} {
		got, err := Negotiate(Hello{Proto: [2]int{c.low, c.high}, Version: "9.9"}, "1.2")
		if got != c.want || (err != nil) != (c.text != "") || err != nil && (err.Error() != c.text || !errors.As(err, new(*VersionError))) {
			t.Errorf("%d to %d: %d, %v", c.low, c.high, got, err)
		}
	}
	if _, err := Negotiate(Hello{Proto: [2]int{MinProto - 1, MinProto - 1}, Version: "0.1"}, "1.2"); err == nil || !strings.HasSuffix(err.Error(), "update that of the peer") {
		t.Error(err)
	}
}

func FuzzIntroduction(f *testing.F) {
	f.Add([]byte("motd\n" + line(f, Hello{Proto: [2]int{1, 1}, Host: "a\x1bb", Policy: &Policy{Deny: []string{"x\x00"}}}) + "rest"))
	f.Add([]byte("LT/LT/1 {}\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		h, err := ReadHello(r)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x1b\x00\n") {
				t.Fatalf("%q is no sentence", err)
			}
			return
		}
		read := in[:len(in)-r.Len()]
		if read[len(read)-1] != '\n' || !bytes.Contains(read, []byte(Magic)) {
			t.Fatalf("%q was read", read)
		}
		if strings.ContainsAny(h.Host+h.Version+h.OS, "\x1b\x00\n") || h.CPUs < 0 || h.Policy != nil && h.Policy.MaxRate < 0 {
			t.Fatalf("%+v", h)
		}
		_, _ = ReadGreeting(bytes.NewReader(in))
		_, _ = ReadWelcome(bytes.NewReader(in))
	})
}
