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

// gate lets a few in at once, by key. The zero gate is ready.
type gate struct {
	mu    sync.Mutex
	slots map[string]chan struct{}
}

// enter takes a place for each key, and returns how to give them back, once.
func (g *gate) enter(ctx context.Context, keys []string) (leave func(), err error) {
	// In one order for all, so that no two wait for each other.
	slices.Sort(keys)
	keys = slices.Compact(keys)
	var held []chan struct{}
	leave = sync.OnceFunc(func() {
		for _, c := range held {
			<-c
		}
	})
	for _, k := range keys {
		c := g.slot(k)
		select {
		case c <- struct{}{}:
			held = append(held, c)
		case <-ctx.Done():
			leave()
			return nil, ctx.Err()
		}
	}
	return leave, nil
}

func (g *gate) slot(key string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.slots[key]
	if !ok {
		if g.slots == nil {
			g.slots = map[string]chan struct{}{}
		}
		c = make(chan struct{}, connecting)
		g.slots[key] = c
	}
	return c
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
