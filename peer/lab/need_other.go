//go:build !linux

package lab

import "errors"

var errLinux = errors.New("network namespaces are Linux's")

func canIsolate() error { return errLinux }

func canDelay() error { return errLinux }
