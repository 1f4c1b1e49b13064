package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// canIsolate tries once what hosts are made of.
var canIsolate = sync.OnceValue(func() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("user %d may not make network namespaces", os.Geteuid())
	}
	for _, p := range []string{"ip", "iptables", "unshare", "nsenter", "mount"} {
		if _, err := locate(p); err != nil {
			return err
		}
	}
	name := fmt.Sprintf("ltp%d", os.Getpid())
	defer func() { _ = command("ip", "netns", "del", name) }()
	if err := command("ip", "netns", "add", name); err != nil {
		return fmt.Errorf("no network namespaces here: %w", err)
	}
	if err := command("ip", "netns", "exec", name, "iptables", "-L", "-n"); err != nil {
		return fmt.Errorf("no iptables here: %w", err)
	}
	defer func() { _ = command("ip", "-n", name, "link", "del", name) }()
	if err := command("ip", "-n", name, "link", "add", name, "type", "bridge"); err != nil {
		return fmt.Errorf("no bridges here: %w", err)
	}
	return nil
})

// canDelay tries once whether the kernel has netem.
var canDelay = sync.OnceValue(func() error {
	if err := canIsolate(); err != nil {
		return err
	}
	name := fmt.Sprintf("ltq%d", os.Getpid())
	defer func() { _ = command("ip", "netns", "del", name) }()
	if err := command("ip", "netns", "add", name); err != nil {
		return err
	}
	if err := command("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "0ms"); err != nil {
		return fmt.Errorf("the kernel has no netem: %w", err)
	}
	return nil
})

// canBound tries once whether memory can be bounded.
var canBound = sync.OnceValue(func() error {
	g, err := newGroup(fmt.Sprintf("ltm%d", os.Getpid()), 64<<20)
	if err != nil {
		return fmt.Errorf("no control groups that bound memory here: %w", err)
	}
	g.remove()
	return nil
})

// canSqueeze tries once whether processor time can be.
var canSqueeze = sync.OnceValue(func() error {
	g, err := newQuota(fmt.Sprintf("ltc%d", os.Getpid()), 0.5)
	if err != nil {
		return fmt.Errorf("no control groups that bound processor time here: %w", err)
	}
	g.remove()
	return nil
})

// command runs a program to its end; the error has what it said.
func command(argv ...string) error {
	path, err := locate(argv[0])
	if err != nil {
		return err
	}
	out, err := exec.Command(path, argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
