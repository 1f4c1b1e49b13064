package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"lt/engine/redact"
)

// maxNoise is how much a login shell may print before the peer introduces itself, in bytes.
const maxNoise = 64 << 10

// IntroductionError says that what stood where an introduction should be was none.
type IntroductionError struct {
	Problem string
	Said    string // what was there instead, its end, neutralised; may be empty
	Err     error  // of the connection, if it ended; else nil
}

func (e *IntroductionError) Error() string {
	s := e.Problem
	if e.Said != "" {
		s += "; it said " + strconv.Quote(e.Said)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *IntroductionError) Unwrap() error { return e.Err }

// WriteLine writes an introduction: Magic, v (a Hello, Greeting or Welcome) as JSON, a line feed; in one write.
func WriteLine(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %T: %w", v, err)
	}
	line := append(append([]byte(Magic), body...), '\n')
	if len(line) > MaxLine {
		return fmt.Errorf("the introduction has %d bytes, and a line of at most %d is read: shorten the policy's lists", len(line), MaxLine)
	}
	_, err = w.Write(line)
	return err
}

// ReadHello reads a peer's introduction and not one byte more. What a login shell prints before it is passed over, up to 64 KiB.
// It waits as long as r does: whoever limits the time closes what is beneath r.
func ReadHello(r io.Reader) (Hello, error) {
	var h Hello
	if err := readLine(r, "the peer", maxNoise, &h); err != nil {
		return Hello{}, err
	}
	if h.Proto[0] < 1 || h.Proto[1] < h.Proto[0] {
		return Hello{}, &IntroductionError{Problem: fmt.Sprintf("the peer says that it speaks the versions %d to %d of the protocol, which cannot be", h.Proto[0], h.Proto[1])}
	}
	for _, s := range []*string{&h.Version, &h.Build, &h.OS, &h.Arch, &h.Host, &h.Machine, &h.Processes} {
		*s = redact.Neutralise(*s)
	}
	h.PID, h.CPUs, h.Files, h.Ports = max(h.PID, 0), max(h.CPUs, 0), max(h.Files, 0), max(h.Ports, 0)
	if p := h.Policy; p != nil {
		for _, list := range [][]string{p.Targets, p.Deny} {
			for i := range list {
				list[i] = redact.Neutralise(list[i])
			}
		}
		p.MaxRate, p.MaxUsers, p.MaxDuration = max(p.MaxRate, 0), max(p.MaxUsers, 0), max(p.MaxDuration, 0)
	}
	return h, nil
}

// ReadGreeting reads the coordinator's introduction and not one byte more. Nothing may stand before it.
func ReadGreeting(r io.Reader) (Greeting, error) {
	var g Greeting
	err := readLine(r, "the coordinator", 0, &g)
	g.Version = redact.Neutralise(g.Version)
	return g, err
}

// ReadWelcome reads a peer's answer to a greeting and not one byte more. Nothing may stand before it.
func ReadWelcome(r io.Reader) (Welcome, error) {
	var w Welcome
	err := readLine(r, "the peer", 0, &w)
	w.Code, w.Reason, w.Incarnation = redact.Neutralise(w.Code), redact.Neutralise(w.Reason), redact.Neutralise(w.Incarnation)
	if n := w.Starved; n != nil {
		*n = max(*n, 0)
	}
	return w, err
}

// readLine finds Magic with the brace that opens the JSON, after at most noise other bytes, and reads the line into v. It asks
// for one byte at a time, because those after the line belong to the session.
func readLine(r io.Reader, who string, noise int, v any) error {
	const start = Magic + "{"
	var (
		one    [1]byte
		before []byte // the end of what came before
		line   []byte // from the magic on
		passed int
	)
	fail := func(format string, args ...any) error {
		return &IntroductionError{Problem: who + " " + fmt.Sprintf(format, args...), Said: said(append(before, line...))}
	}
	for {
		if n, err := r.Read(one[:]); n == 0 {
			if err == nil {
				continue
			}
			if errors.Is(err, io.EOF) {
				return fail("ended before it had introduced itself")
			}
			lost := fail("was lost before it had introduced itself").(*IntroductionError)
			lost.Err = err
			return lost
		}
		c := one[0]
		if len(line) >= len(start) {
			if c == '\n' {
				break
			}
			line = append(line, c)
			if len(line) >= MaxLine {
				return fail("introduced itself with a line of more than %d bytes", MaxLine)
			}
			continue
		}
		line = append(line, c)
		if c == start[len(line)-1] {
			continue
		}
		// No part of the magic but its first byte can begin another one.
		keep := 0
		if c == start[0] {
			keep = 1
		}
		passed += len(line) - keep
		before = append(before, line[:len(line)-keep]...)
		line = append(line[:0], start[:keep]...)
		if passed > noise {
			if noise == 0 {
				return fail("did not introduce itself")
			}
			return fail("printed more than %d KiB and did not introduce itself: something in its login shell does not stop printing", noise>>10)
		}
		if len(before) > 2*maxSaid {
			before = append(before[:0], before[len(before)-maxSaid:]...)
		}
	}
	if err := json.Unmarshal(line[len(Magic):], v); err != nil {
		return fail("introduced itself with a line that cannot be read (%v)", err)
	}
	return nil
}

// maxSaid is how much of what somebody else said is quoted, in bytes.
const maxSaid = 256

func said(b []byte) string { return redact.NeutraliseLines(string(b[max(0, len(b)-maxSaid):])) }

// VersionError says that two programs have no version of the protocol in common.
type VersionError struct{ Text string }

func (e *VersionError) Error() string { return e.Text }

// Negotiate chooses the version of the protocol to be spoken with a peer: the highest that both know. own is the version of
// this program, for the sentence if there is none.
func Negotiate(h Hello, own string) (int, error) {
	proto := min(h.Proto[1], Proto)
	if proto >= max(h.Proto[0], MinProto) {
		return proto, nil
	}
	older := "that of the peer"
	if h.Proto[0] > Proto {
		older = "this one"
	}
	return 0, &VersionError{fmt.Sprintf("this is lt %s, which speaks version %s of the protocol, and the peer is lt %s, which speaks %s: update %s",
		own, versions(MinProto, Proto), h.Version, versions(h.Proto[0], h.Proto[1]), older)}
}

func versions(low, high int) string {
	if low == high {
		return strconv.Itoa(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}
