package loop

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// winsock names the errors that owners look for as other systems do.
var winsock = map[syscall.Errno]syscall.Errno{
	windows.WSAECONNREFUSED:  syscall.ECONNREFUSED,
	windows.WSAECONNRESET:    syscall.ECONNRESET,
	windows.WSAECONNABORTED:  syscall.ECONNABORTED,
	windows.WSAETIMEDOUT:     syscall.ETIMEDOUT,
	windows.WSAEHOSTUNREACH:  syscall.EHOSTUNREACH,
	windows.WSAENETUNREACH:   syscall.ENETUNREACH,
	windows.WSAEADDRNOTAVAIL: syscall.EADDRNOTAVAIL,
	windows.WSAEADDRINUSE:    syscall.EADDRINUSE,
	windows.WSAEMFILE:        syscall.EMFILE,
	windows.WSAENOBUFS:       syscall.ENOBUFS,
}

// commonErrno replaces a Windows socket error by its common name.
func commonErrno(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		if common, ok := winsock[e]; ok {
			return common
		}
	}
	return err
}
