package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"lt/peer"
	"lt/peer/wire"
)

// exitBoot is the code of a peer's process that could not begin; the script that put it there ends with the same.
const exitBoot = 97

// agentCommand is the remote side of a peer: lt starts it there, nobody types it.
func agentCommand(ctx context.Context, w world) *cobra.Command {
	var policy string
	cmd := &cobra.Command{
		Use: "agent", Short: "The remote side of a peer; lt starts it by itself", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return agent(ctx, w, policy) },
	}
	cmd.Flags().Bool("stdio", true, "speak on standard input and output, the only way there is")
	cmd.Flags().StringVar(&policy, "policy", "", "`FILE` in which the owner of this machine says what it may be used for")
	return cmd
}

func agent(ctx context.Context, w world, policy string) error {
	c := peer.ServeConfig{Version: versionText()}
	if policy != "" {
		var err error
		if c.Policy, err = peer.LoadPolicy(policy); err != nil {
			return coded{peer.ExitPolicy, err}
		}
	}
	// The process outlives the connection that started it for as long as its lease lasts.
	signal.Ignore(syscall.SIGPIPE, hangup)
	rw, err := wire.TakeStdio()
	if err != nil {
		return coded{exitBoot, err}
	}
	executable, err := os.Executable()
	if err != nil { // it asks /proc, which a bare machine need not have; whoever starts agents names them by their whole path
		if executable = os.Args[0]; !filepath.IsAbs(executable) {
			return coded{exitBoot, fmt.Errorf("find the program itself: %w; start it by its whole path", err)}
		}
	}
	if c.Build, err = peer.PrepareProcess(executable); err != nil {
		return coded{exitBoot, err}
	}
	runs := peer.NewRuns(executable, w.getenv)
	runs.Sweep()
	c.Runs = runs
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	err = peer.Serve(ctx, rw, c)
	var e *peer.ExitError
	if errors.As(err, &e) {
		return coded{e.Code, err}
	}
	return err
}
