package loop

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// interest is what every socket is registered for, once. Edge-triggered,
	// a writable socket costs no event until it has been full.
	interest = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

	wakePlace = -1  // stands in an event for the eventfd
	batch     = 256 // events fetched at once

	// nap is the longest sleep that goes past the scheduler.
	nap = 5 * time.Millisecond
)

// epoll is the Linux poller. Its reads and writes never block and so go past
// the scheduler by RawSyscall.
//
// So do the first nap of a sleep and shorter ones. The runtime's monitor takes
// the P of a goroutine that has run for 10 ms without a break from it when it
// meets it in an announced system call, and then looks every 20 us for a while;
// to a loop that sleeps for moments all the time that cost some 1500 wake-ups a
// second of its core. Whoever stops the world interrupts a nap by a signal, and
// waits for the nap at the worst. Longer sleeps announce themselves.
type epoll struct {
	l        *Loop
	fd       int
	wakeFD   int
	noPwait2 bool // kernel before 5.11, or a sandbox that does not know it
	idle     bool // a nap was not enough
	events   [batch]unix.EpollEvent
	races    []*race // in the order of their time; the oldest at begin
	begin    int
}

func newPoller(l *Loop) (poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make event loop: epoll_create1: %w", err)
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make event loop: eventfd: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: wakePlace}
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, wakeFD, &ev); err != nil {
		unix.Close(fd)
		unix.Close(wakeFD)
		return nil, fmt.Errorf("make event loop: epoll_ctl: %w", err)
	}
	return &epoll{l: l, fd: fd, wakeFD: wakeFD}, nil
}

// lock ties the loop to its thread and takes away the 50 us by which the
// kernel may delay a sleeping thread's wake-up to join it with others.
func (p *epoll) lock() (unlock func()) {
	runtime.LockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil {
		// Without it wake-ups are later, but the loop works.
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	}
	p.l.cpu.begin()
	return func() {
		p.l.cpu.end()
		if err == nil {
			_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0)
		}
		runtime.UnlockOSThread()
	}
}

// wake adds 1 to the eventfd. That makes an event each time, without anybody
// having to read it back: the counter lasts for 2^64 of them.
func (p *epoll) wake() {
	one := uint64(1)
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(p.wakeFD), uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one))
}

func (p *epoll) close() {
	unix.Close(p.fd)
	unix.Close(p.wakeFD)
}

// wait sleeps until Spin before due, then polls.
func (p *epoll) wait(due time.Duration) {
	due = min(due, p.startRaces())
	spin := max(p.l.o.Spin, 0)
	n, now := 0, p.l.at
	if due-spin > now {
		now = p.l.look() // what the turn began took its time
	}
	if due-spin > now {
		left := Never
		if due != Never {
			left = due - spin - now
		}
		if n = p.sleep(left, spin > 0); n == 0 {
			now = p.l.look()
		}
	} else if n = p.poll(); n == 0 && now < due {
		now = p.l.look()
	}
	reach := spin
	if p.noPwait2 {
		reach += time.Millisecond // sleep wakes so much earlier
	}
	if n == 0 && spin > 0 && now < due && due-now <= reach {
		n = p.spin(due, now)
	}
	p.handleAll(n)
}

func (p *epoll) catchUp() {
	for left := len(p.l.places) + 1; left > 0; left -= batch {
		n := p.poll()
		p.handleAll(n)
		if n < batch {
			return
		}
	}
}

// handleAll is n events that were fetched together.
func (p *epoll) handleAll(n int) {
	p.l.fresh = false // they may have come after the last reading
	for i := range n {
		ev := &p.events[i]
		if ev.Fd == wakePlace {
			continue
		}
		p.handle(ev)
		// The last reading is from within this event: after its send, or when its
		// bytes had come. What came due since waits for one event more.
		p.l.pass(p.l.at)
	}
}

// spin polls until there are events or due has come, from now on, and counts
// the CPU that the thread used for it: what the machine gave to others meanwhile
// costs none, so nobody may take it off the CPU used.
func (p *epoll) spin(due, now time.Duration) (n int) {
	began, known := readClock(unix.CLOCK_THREAD_CPUTIME_ID)
	for n == 0 && now < due {
		n = p.poll()
		now = p.l.look()
	}
	if ended, ok := readClock(unix.CLOCK_THREAD_CPUTIME_ID); ok && known {
		p.l.polled.Add(ended - began)
	}
	return n
}

// poll fetches events without waiting.
func (p *epoll) poll() int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events)), batch, 0, 0, 0)
	if errno != 0 {
		return 0 // EINTR: the next turn asks again
	}
	return int(n)
}

// timespec is struct __kernel_timespec, the same on every architecture.
type timespec struct{ sec, nsec int64 }

// sleep waits for events, at most d long; Never: without end. It may end before.
// Where the kernel counts only milliseconds it wakes early if early, which
// polling then bridges, and late if not.
func (p *epoll) sleep(d time.Duration, early bool) int {
	if !p.noPwait2 {
		var n uintptr
		var errno syscall.Errno
		if d <= nap || !p.idle {
			ts := timespec{0, int64(min(d, nap))}
			n, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd),
				uintptr(unsafe.Pointer(&p.events)), batch, uintptr(unsafe.Pointer(&ts)), 0, 0)
		} else {
			var ts *timespec
			if d != Never {
				ts = &timespec{int64(d / time.Second), int64(d % time.Second)}
			}
			n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd),
				uintptr(unsafe.Pointer(&p.events)), batch, uintptr(unsafe.Pointer(ts)), 0, 0)
		}
		switch errno {
		case 0:
			p.idle = n == 0
			return int(n)
		case unix.ENOSYS, unix.EPERM:
			p.noPwait2 = true
		default:
			return 0
		}
	}
	ms := -1
	if d != Never {
		if !early {
			d += time.Millisecond - 1
		}
		ms = int(min(d/time.Millisecond, time.Hour/time.Millisecond))
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events)), batch, uintptr(ms), 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// handle is one event of one connection.
func (p *epoll) handle(ev *unix.EpollEvent) {
	i := uint32(ev.Fd)
	if at := p.l.places[i]; at.c == nil || at.gen != uint32(ev.Pad) {
		return // for a connection that has gone since the events were fetched
	}
	c := p.l.places[i].c
	if c.state == connecting && !p.progress(c, i) {
		return
	}
	if ev.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.hup = true
	}
	if ev.Events&unix.EPOLLOUT != 0 && len(c.out) > 0 && c.state < failing {
		p.flush(c)
	}
	if ev.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 && c.state < failing {
		p.resume(c)
	}
}

func (p *epoll) dial(c *Conn, ep *Endpoint) {
	c.fd = -1
	if ep.Path == "" && ep.Alt.IsValid() {
		c.race = &race{c: c, ep: *ep, at: p.l.Now() + raceDelay, fd: -1}
		p.enter(c.race)
	}
	fd, err := p.connect(c.place, ep, ep.Addr)
	if err == nil {
		c.fd = fd
		return
	}
	if c.race != nil {
		c.err = err
		if p.second(c) {
			return
		}
		err = c.err
	}
	p.l.fail(c, opConnect, err)
}

// connect begins to connect to addr and registers the socket under place.
func (p *epoll) connect(place uint32, ep *Endpoint, addr netip.AddrPort) (int32, error) {
	var to unix.Sockaddr
	family := unix.AF_UNIX
	if ep.Path != "" {
		to = &unix.SockaddrUnix{Name: ep.Path}
	} else if !addr.IsValid() {
		return -1, fmt.Errorf("no address: %w", unix.EDESTADDRREQ)
	} else {
		to, family = sockaddr(addr)
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := prepare(fd, family, ep.source(addr), to); err != nil {
		unix.Close(fd)
		return -1, err
	}
	// Registered only now: an unconnected socket counts as hung up.
	ev := unix.EpollEvent{Events: interest, Fd: int32(place), Pad: int32(p.l.places[place].gen)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("epoll_ctl: %w", err)
	}
	return int32(fd), nil
}

// prepare binds fd to source, if there is one, and begins to connect it.
func prepare(fd, family int, source netip.Addr, to unix.Sockaddr) error {
	if family != unix.AF_UNIX {
		// A request is one write; it must not wait for the ACK of the one before.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return fmt.Errorf("set TCP_NODELAY: %w", err)
		}
		if source.IsValid() {
			// Lets the port be chosen when the destination is known, so that
			// each destination has the whole range of ports. Kernels before
			// 4.2 lack it and choose at bind.
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			from, f := sockaddr(netip.AddrPortFrom(source, 0))
			if f != family {
				return fmt.Errorf("bind to %s: %w", source, unix.EAFNOSUPPORT)
			}
			if err := unix.Bind(fd, from); err != nil {
				return fmt.Errorf("bind to %s: %w", source, err)
			}
		}
	}
	err := unix.Connect(fd, to)
	// An interrupted connect goes on by itself, as one in progress does.
	if err != nil && err != unix.EINPROGRESS && err != unix.EINTR {
		return err
	}
	return nil
}

func sockaddr(a netip.AddrPort) (unix.Sockaddr, int) {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16(), ZoneId: zoneID(ip.Zone())}, unix.AF_INET6
}

// zoneID is the number of the interface that a link-local address names.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}

// enter puts r at the end of the list of races. Where most of the list has been
// passed, that part is taken out first: while any attempt is undecided the list
// is never empty, and would only grow.
func (p *epoll) enter(r *race) {
	if p.begin > len(p.races)/2 {
		n := copy(p.races, p.races[p.begin:])
		clear(p.races[n:])
		p.races, p.begin = p.races[:n], 0
	}
	p.races = append(p.races, r)
}

// startRaces begins the second attempts whose time has come and says when the
// next one's is.
func (p *epoll) startRaces() time.Duration {
	for p.begin < len(p.races) {
		r := p.races[p.begin]
		if r.c.race == r && r.fd < 0 && r.c.state == connecting {
			if p.l.Now() < r.at {
				return r.at
			}
			p.startAlt(r.c)
		}
		p.races[p.begin] = nil
		p.begin++
	}
	p.races, p.begin = p.races[:0], 0
	return Never
}

// startAlt begins the attempt at Alt beside the one at Addr. When it fails at
// once, Addr is left to go on alone.
func (p *epoll) startAlt(c *Conn) {
	place := p.l.take(c)
	fd, err := p.connect(place, &c.race.ep, c.race.ep.Alt)
	if err != nil {
		p.l.give(place)
		c.race = nil
		return
	}
	c.race.place, c.race.fd = place, fd
}

// second makes the attempt at Alt the only one, after that at Addr has failed
// with c.err; false: there is none left, or it fails too.
func (p *epoll) second(c *Conn) bool {
	r := c.race
	if r == nil {
		return false
	}
	if r.fd < 0 {
		p.startAlt(c)
		if r = c.race; r == nil {
			return false
		}
	}
	p.l.give(c.place)
	c.place, c.fd, c.race = r.place, r.fd, nil
	return true
}

// progress settles an attempt to connect; true: c is past it and usable.
func (p *epoll) progress(c *Conn, place uint32) bool {
	alt := place != c.place
	fd := c.fd
	if alt {
		fd = c.race.fd
	}
	n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && n != 0 {
		err = syscall.Errno(n)
	}
	switch {
	case err != nil && alt:
		unix.Close(int(fd))
		p.l.give(place)
		c.race = nil
	case err != nil:
		unix.Close(int(fd))
		c.fd = -1
		if c.err == nil {
			c.err = err // that of the preferred address tells most
		}
		if !p.second(c) {
			p.l.finish(c, &Error{opConnect, c.err})
		}
	default:
		if alt {
			unix.Close(int(c.fd))
			p.l.give(c.place)
			c.place, c.fd, c.race = place, fd, nil
		} else {
			p.dropAlt(c)
		}
		p.l.connected(c, p.l.Now())
		return c.state < failing
	}
	return false
}

func (p *epoll) dropAlt(c *Conn) {
	if r := c.race; r != nil && r.fd >= 0 {
		unix.Close(int(r.fd))
		p.l.give(r.place)
	}
	c.race = nil
}

// resume reads what has arrived. Less than a full buffer was all there was:
// what comes later makes an event of its own. Only the end must be looked for,
// since the event that announced it is behind us.
func (p *epoll) resume(c *Conn) {
	for got := 0; got < turnBytes; {
		n, errno := recv(c.fd, p.l.buf)
		switch {
		case n > 0:
			p.l.received(c, p.l.buf[:n])
			if c.state >= failing || n < len(p.l.buf) && !c.hup {
				return
			}
			got += n
		case errno == unix.EAGAIN:
			return
		case errno == unix.EINTR:
		case errno != 0:
			p.l.ended(c, errno)
			return
		default:
			p.l.ended(c, io.EOF)
			return
		}
	}
	p.l.later(c)
}

func (p *epoll) drain(c *Conn) {
	for got := 0; got < turnBytes && c.fd >= 0; {
		n, errno := recv(c.fd, p.l.buf)
		if errno == unix.EINTR {
			continue
		}
		if n <= 0 {
			return
		}
		p.l.received(c, p.l.buf[:n])
		got += n
	}
}

func (p *epoll) write(c *Conn, b []byte) {
	if len(c.out) > 0 {
		p.l.keep(c, b)
		return
	}
	n, ok := p.send(c, b)
	if ok && n < len(b) {
		p.l.keep(c, b[n:])
	}
}

func (p *epoll) flush(c *Conn) {
	n, ok := p.send(c, c.out[c.sent:])
	c.sent += n
	if ok && c.sent == len(c.out) {
		p.l.recycle(c.out)
		c.out, c.sent = nil, 0
	}
}

// send gives b to the kernel until it is full, so that it will tell when there
// is room again.
func (p *epoll) send(c *Conn, b []byte) (n int, ok bool) {
	for n < len(b) {
		m, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&b[n])),
			uintptr(len(b)-n), unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			n += int(m)
		case unix.EINTR:
		case unix.EAGAIN:
			return n, true
		default:
			op := opWrite
			if c.state == securing {
				op = opTLS
			}
			p.l.fail(c, op, errno)
			return n, false
		}
	}
	c.flushedAt = p.l.look()
	p.l.fresh = true
	return n, true
}

// recv reads from a socket, past the layer of files that read has between.
func recv(fd int32, b []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func (p *epoll) shut(c *Conn, reset bool) {
	p.dropAlt(c)
	if c.fd < 0 {
		return
	}
	if reset {
		// Where it fails there is nothing to reset.
		_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	unix.Close(int(c.fd)) // leaves the epoll set by itself
	c.fd = -1
}

func (p *epoll) addrs(c *Conn) (a addrPair) {
	if sa, err := unix.Getsockname(int(c.fd)); err == nil {
		a.local = addrPort(sa)
	}
	if sa, err := unix.Getpeername(int(c.fd)); err == nil {
		a.remote = addrPort(sa)
	}
	return a
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			ip = ip.WithZone(strconv.Itoa(int(sa.ZoneId)))
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port))
	}
	return netip.AddrPort{}
}
