//go:build !linux

package lab

import "errors"

var errLinux = errors.New("namespaces and control groups are Linux's")

func canIsolate() error { return errLinux }

func canDelay() error { return errLinux }

func canBound() error { return errLinux }

func canSqueeze() error { return errLinux }
