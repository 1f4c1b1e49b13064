//go:build !windows

package loop

// commonErrno has nothing to do where errors have their common names.
func commonErrno(err error) error { return err }
