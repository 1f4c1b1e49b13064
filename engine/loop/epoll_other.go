//go:build !linux

package loop

// newPoller is the portable one where there is no epoll.
func newPoller(l *Loop) (poller, error) { return newPortable(l), nil }
