//go:build !linux

package lab

// Elsewhere no lab makes hosts, so there is nothing to end and nothing left over.
func lives(int) bool { return true }

func endMarked(string) {}

func sweepNetworks() {}
