//go:build unix

package wire

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// TakeStdio makes standard input and output the process's connection. Both move to private descriptors that no child inherits;
// standard input becomes /dev/null and standard output what standard error is, so that a stray print comes into the log and not
// into the session. Close ends a Read and a Write that wait, for pipes, sockets and terminals.
//
// It is called once, before anything else uses them.
func TakeStdio() (io.ReadWriteCloser, error) {
	in, err := private(0, "standard input")
	if err != nil {
		return nil, err
	}
	out, err := private(1, "standard output")
	if err != nil {
		_ = in.Close()
		return nil, err
	}
	fail := func(err error) (io.ReadWriteCloser, error) {
		_, _ = in.Close(), out.Close()
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fail(fmt.Errorf("take standard input and output: %w", err))
	}
	defer null.Close()
	if err := redirect(int(null.Fd()), 0); err != nil {
		return fail(fmt.Errorf("take standard input: %w", err))
	}
	from := 2
	if _, err := unix.FcntlInt(2, unix.F_GETFD, 0); err != nil {
		from = int(null.Fd()) // started without standard error
	}
	if err := redirect(from, 1); err != nil {
		return fail(fmt.Errorf("take standard output: %w", err))
	}
	return &stdio{in: in, out: out}, nil
}

// private duplicates a descriptor beyond the standard ones and makes it interruptible.
//
// O_NONBLOCK belongs to the open file and not to the descriptor, so whoever shares it sees it too: for a pipe or socket that sshd
// made for this process that is nobody. A terminal is shared with the shell, but a session has none (ssh -T).
func private(fd int, name string) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("take %s: it is not open (%w): this program is started by lt, with a connection there", name, err)
	}
	if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFREG || kind == unix.S_IFDIR || kind == unix.S_IFBLK {
		return nil, fmt.Errorf("take %s: it is a file, and a session needs both directions of a connection: lt starts this program itself", name)
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("take %s: %w", name, err)
	}
	if err := unix.SetNonblock(dup, true); err != nil {
		_ = unix.Close(dup)
		return nil, fmt.Errorf("take %s: it cannot be read without waiting: %w", name, err)
	}
	return os.NewFile(uintptr(dup), name), nil
}

// stdio is both directions of a connection.
type stdio struct{ in, out *os.File }

func (s *stdio) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *stdio) Write(b []byte) (int, error) { return s.out.Write(b) }

// Close closes both. The runtime's poller wakes whoever waits in Read or Write.
func (s *stdio) Close() error { return errors.Join(s.in.Close(), s.out.Close()) }
