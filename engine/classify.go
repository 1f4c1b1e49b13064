package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"lt/engine/h1"
	"lt/engine/journey"
	"lt/engine/loop"
	"lt/engine/metrics"
)

// classify turns the end of a connection into the class of the request that was on it. The phase is where it stood.
// Messages are short and few, so that they group: no addresses, no numbers of the moment.
func classify(err error, p metrics.Phase) (metrics.Class, string) {
	for _, own := range ownErrors {
		if errors.Is(err, own.errno) {
			return metrics.Limit, own.text
		}
	}
	var le *loop.Error
	op := ""
	if errors.As(err, &le) {
		op = le.Op
	}
	if op == "tls" && p == metrics.PhaseReceive {
		return metrics.TLS, "TLS failed within the answer: " + shortError(err)
	}
	if op == "tls" || p == metrics.PhaseTLS {
		return metrics.TLS, tlsMessage(err)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return metrics.Refused, "connection refused"
	case op == "connect" || p == metrics.PhaseConnect:
		return metrics.Connect, "no connection: " + shortError(err)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return metrics.Reset, "connection reset by the target"
	case isEOF(err):
		if p == metrics.PhaseReceive {
			return metrics.EOF, "closed before the answer was whole"
		}
		return metrics.EOF, "closed without an answer"
	case op == "write":
		return metrics.Reset, "the request could not be sent: " + shortError(err)
	}
	return metrics.Reset, shortError(err)
}

// ownErrors are those that say something about this machine and nothing about the target.
var ownErrors = []struct {
	errno error
	text  string
}{
	{syscall.EMFILE, "this process may open no more files"},
	{syscall.ENFILE, "this machine may open no more files"},
	{syscall.EADDRNOTAVAIL, "no local port is free towards the target"},
	{syscall.ENOBUFS, "the kernel has no buffer space"},
	{syscall.ENOMEM, "the kernel has no memory"},
}

// tlsMessage says what was wrong with a handshake.
func tlsMessage(err error) string {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		op      *net.OpError
	)
	switch {
	case errors.As(err, &name):
		return "the certificate is for another name"
	case errors.As(err, &unknown):
		return "the certificate is signed by an unknown authority"
	case errors.As(err, &invalid):
		if invalid.Reason == x509.Expired {
			return "the certificate has expired or is not yet valid"
		}
		return "the certificate is not valid: " + shortError(invalid)
	case errors.As(err, &record):
		return "the target does not speak TLS on this port"
	case errors.As(err, &op) && op.Op == "remote error": // what crypto/tls makes of an alert; its type is exported for QUIC alone
		return "the target refused the handshake: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	case isEOF(err):
		return "closed during the handshake"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset during the handshake"
	}
	return "handshake: " + shortError(err)
}

func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// shortError is the innermost text of an error: what happened, without the addresses that would make each one its own kind.
func shortError(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		switch {
		case dns.IsNotFound:
			return "the name does not resolve"
		case dns.IsTimeout:
			return "the resolver did not answer in time"
		}
		return dns.Err
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	var se *os.SyscallError
	if errors.As(err, &se) {
		return se.Err.Error()
	}
	var le *loop.Error
	if errors.As(err, &le) {
		return le.Err.Error()
	}
	return err.Error()
}

// answerError says what was wrong with an answer that is not HTTP: the kind, and what was met.
func answerError(err error) (kind, detail string) {
	var e *h1.Error
	if errors.As(err, &e) {
		return e.Kind.String(), e.Detail
	}
	return shortError(err), ""
}

// inflateMessage says why a compressed body could not be read, without the sizes that would make each one its own kind.
func inflateMessage(err error) string {
	for _, known := range []error{journey.ErrInflateBomb, journey.ErrInflateTooLong, journey.ErrInflateEncoding, journey.ErrInflateBroken} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return shortError(err)
}
