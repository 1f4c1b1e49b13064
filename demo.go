package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"lt/engine/scenario"
	"lt/scenarios"
	"lt/scenarios/shop"
)

// listening is the line with which the target says where it can be reached.
const listening = "listening on "

// targetCommand is the bundled target alone.
func targetCommand(ctx context.Context, w world) *cobra.Command {
	var (
		addr, service string
		stalls        []string
		child         bool
		c             = shop.Demo()
	)
	cmd := &cobra.Command{
		Use: "target", Short: "The bundled target: a small shop whose capacity is known", Args: exactly(),
		Example: "  lt target --service 'lognormal(20ms, 10ms)' --servers 4 --queue 100",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("service") {
				d, err := shop.ParseDistribution(service)
				if err != nil {
					return usage("--service: %w", err)
				}
				c.Service = d
			}
			if cmd.Flags().Changed("stall") {
				c.Stalls = nil
			}
			for _, text := range stalls {
				st, err := shop.ParseStall(text)
				if err != nil {
					return usage("--stall: %w", err)
				}
				c.Stalls = append(c.Stalls, st)
			}
			if c.Servers < 1 {
				return usage("--servers %d: at least 1 has to serve", c.Servers)
			}
			if err := c.Validate(); err != nil {
				return coded{exitUsage, err}
			}
			return serve(ctx, w, addr, c, child)
		},
	}
	f := cmd.Flags()
	f.StringVar(&addr, "addr", "127.0.0.1:8080", "`ADDRESS` to listen on")
	f.StringVar(&service, "service", c.Service.String(), "`DISTRIBUTION` of the service time: 20ms, exponential(20ms), lognormal(20ms, 10ms), uniform(10ms, 30ms), normal(20ms, 5ms)")
	f.IntVar(&c.Servers, "servers", c.Servers, "requests served at `N` at a time")
	f.IntVar(&c.Queue, "queue", c.Queue, "`N` requests may wait; one more is refused with 503")
	f.Float64Var(&c.Errors, "errors", c.Errors, "`SHARE` of requests answered with 500, 0..1")
	f.Uint64Var(&c.Seed, "seed", c.Seed, "`SEED` of service times and errors")
	f.StringArrayVar(&stalls, "stall", nil, "a planned stall, `AT+LENGTH`, 10s+2s: two seconds long, ten seconds after the first request (repeatable)")
	f.BoolVar(&child, "until-stdin-ends", false, "end when standard input does")
	_ = f.MarkHidden("until-stdin-ends")
	return cmd
}

// serve runs the target until it is told to end.
func serve(ctx context.Context, w world, addr string, c shop.Config, child bool) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return coded{exitFailed, fmt.Errorf("listen on %s: %w; --addr takes another address", addr, err)}
	}
	s := shop.New(c)
	fmt.Fprintf(w.stdout, "%s%s\n", listening, l.Addr())
	if !child {
		fmt.Fprintf(w.stderr, "capacity %.0f requests/s; its own counts: http://%s/stats\n", c.Capacity(), l.Addr())
	}
	if child {
		go func() {
			_, _ = io.Copy(io.Discard, w.in)
			stop()
		}()
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return coded{exitFailed, err}
	case <-ctx.Done():
	}
	if err := s.Close(); err != nil {
		return coded{exitFailed, fmt.Errorf("end the target: %w", err)}
	}
	return nil
}

// startTarget runs the bundled target in a process of its own, so that what it costs is not taken for the generator's. It
// ends with this process, however that ends, because its standard input does.
func startTarget(ctx context.Context) (addr string, stop func(), err error) {
	exe, err := os.Executable()
	if err != nil {
		return "", nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, exe, "target", "--addr", "127.0.0.1:0", "--until-stdin-ends")
	cmd.Args[0] = "lt" // whatever this program is called, as a test is
	cmd.Stderr = os.Stderr
	detach(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start the bundled target: %w", err)
	}
	stop = func() {
		in.Close()
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(2 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if at, ok := strings.CutPrefix(strings.TrimSpace(line), listening); ok {
		return at, stop, nil
	}
	stop()
	return "", nil, errors.Join(errors.New("the bundled target did not say where it listens"), err)
}

// demoCommand runs the bundled scenario against the bundled target.
func demoCommand(ctx context.Context, w world) *cobra.Command {
	var f *runFlags
	cmd := &cobra.Command{
		Use: "demo", Short: "The bundled shop scenario against the bundled target: the first thing to try", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := scenarios.Open("demo")
			if err != nil {
				return coded{exitFailed, err}
			}
			file, err := scenario.Parse("demo.yaml", text, scenarioEnv())
			if err != nil {
				return coded{exitUsage, err}
			}
			addr, stop, err := startTarget(ctx)
			if err != nil {
				return coded{exitFailed, err}
			}
			defer stop()
			f.quick.URL = "http://" + addr
			return f.play(ctx, w, cmd, file, true)
		},
	}
	f = addRunFlags(cmd)
	return cmd
}
