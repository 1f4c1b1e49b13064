package wire

import "golang.org/x/sys/unix"

// redirect makes descriptor to another name of descriptor from. (dup2 does not exist on all of Linux's architectures.)
func redirect(from, to int) error { return unix.Dup3(from, to, 0) }
