package boot

import (
	"bufio"
	"bytes"
	"context"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"lt/peer/sshproc"
)

const (
	// connecting is how many connections may be on their way to one ssh server at once: sshd's MaxStartups, 10:30:100 by
	// default, turns away three of ten beyond ten that have not logged in yet.
	connecting = 8
	// routeWait bounds the question to ssh how it would go; a Match exec of the user's configuration may take its time.
	routeWait = 3 * time.Second
)

// gate lets a few in at once, by key. The zero gate is ready, and any goroutine may use it.
type gate struct {
	mu    sync.Mutex
	doors map[string]*door
}

// door is one server's part of a gate.
type door struct {
	limit, inside int
	waiting       []chan struct{} // closed when let in
}

// enter takes a place for each key, and returns how to give them back, once.
func (g *gate) enter(ctx context.Context, keys []string) (leave func(), err error) {
	// In one order for all, so that no two wait for each other.
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	var held []string
	leave = sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, k := range held {
			g.door(k).inside--
			g.door(k).admit()
		}
	})
	for _, k := range keys {
		if err := g.pass(ctx, k); err != nil {
			leave()
			return nil, err
		}
		held = append(held, k)
	}
	return leave, nil
}

func (g *gate) pass(ctx context.Context, key string) error {
	turn := make(chan struct{})
	g.mu.Lock()
	d := g.door(key)
	d.waiting = append(d.waiting, turn)
	d.admit()
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(d.waiting, turn); i >= 0 {
		d.waiting = slices.Delete(d.waiting, i, i+1)
	} else { // let in meanwhile
		d.inside--
		d.admit()
	}
	return ctx.Err()
}

// narrow halves how many may be inside: the servers turned somebody away, so they take fewer than most do.
func (g *gate) narrow(keys []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range keys {
		d := g.door(k)
		d.limit = max(1, d.limit/2)
	}
}

// door is the one with that key; the lock is held.
func (g *gate) door(key string) *door {
	d := g.doors[key]
	if d == nil {
		if g.doors == nil {
			g.doors = map[string]*door{}
		}
		d = &door{limit: connecting}
		g.doors[key] = d
	}
	return d
}

// admit lets in who waits, as far as there is room; the lock is held.
func (d *door) admit() {
	for d.inside < d.limit && len(d.waiting) > 0 {
		close(d.waiting[0])
		d.waiting = d.waiting[1:]
		d.inside++
	}
}

// route are the servers that a connection to an address meets: the host itself and each bastion before it, as ssh's own
// configuration has them. Where ssh does not tell, the host as it was written.
func route(ctx context.Context, a Address, program string) []string {
	if len(a.Exec) > 0 {
		return []string{"exec " + a.Exec[0]}
	}
	plain := []string{"ssh " + a.SSH.String()}
	argv, err := sshproc.Resolve(a.SSH, sshproc.Options{Program: program})
	if err != nil {
		return plain
	}
	ctx, cancel := context.WithTimeout(ctx, routeWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return plain
	}
	if keys := servers(out); len(keys) > 0 {
		return keys
	}
	return plain
}

// servers reads the output of ssh -G.
func servers(out []byte) []string {
	var host, port string
	var keys []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		key, value, _ := strings.Cut(strings.TrimSpace(s.Text()), " ")
		switch key {
		case "hostname":
			host = value
		case "port":
			port = value
		case "proxyjump":
			for hop := range strings.SplitSeq(value, ",") {
				if hop != "none" {
					keys = append(keys, "jump "+hop)
				}
			}
		case "proxycommand":
			// The bastion is somewhere in it; %h and %p are not filled in, so it is the same text for all hosts behind it.
			if value != "none" {
				keys = append(keys, "by "+value)
			}
		}
	}
	if host != "" {
		keys = append(keys, "ssh "+host+" "+port)
	}
	return keys
}
