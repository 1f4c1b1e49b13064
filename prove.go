package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lt/engine/authz"
	"lt/engine/history"
	"lt/engine/scenario"
)

// resolveTime bounds how long the name of a target is asked for.
const resolveTime = 5 * time.Second

// proveCommand says how a target shows that its owner allows the user's tests, and whether it does.
func proveCommand(ctx context.Context, w world) *cobra.Command {
	var rate, until string
	cmd := &cobra.Command{
		Use: "prove URL", Short: "How to show that a target is yours, and whether the proof stands", Args: exactly("URL"),
		Long: "A public target above the free limits, or loaded from several machines, needs a basis. A proof of ownership is one: a line with\n" +
			"your token in a file on the target or in a record of its name. The key behind the token is made on first use and stays on this\n" +
			"machine. Exit codes: 0 the proof stands, 4 it does not.",
		RunE: func(_ *cobra.Command, args []string) error {
			whole, err := scenario.QuickURL(args[0])
			if err != nil {
				return coded{exitUsage, err}
			}
			u, err := url.Parse(whole)
			if err != nil || u.Hostname() == "" {
				return usage("%s is not a URL; write for example https://shop.example", args[0])
			}
			dir, err := history.Dir(w.getenv)
			if err != nil {
				return coded{exitFailed, err}
			}
			token, err := authz.MakeKey(dir)
			if err != nil {
				return coded{exitFailed, fmt.Errorf("the key: %w", err)}
			}
			line, err := authz.NewProofLine(token, rate, until)
			if err != nil {
				return usage("%s", strings.NewReplacer("max_rate=", "--max-rate ", "until=", "--until ").Replace(err.Error()))
			}
			return prove(ctx, w, u, line)
		},
	}
	cmd.Flags().StringVar(&rate, "max-rate", "", "most arrivals at this `RATE`, written into the line: 500, 500/s, 30/m")
	cmd.Flags().StringVar(&until, "until", "", "last `DAY`, written into the line: 2031-12-31, or a time such as 2031-12-31T18:00:00Z")
	return cmd
}

// prove prints what is to be put where, then what stands there now.
func prove(ctx context.Context, w world, u *url.URL, line authz.ProofLine) error {
	host := authz.Host{Name: u.Hostname(), Origins: []string{u.Scheme + "://" + u.Host}}
	addrs, resolveErr := addressesOf(ctx, host.Name)
	host.Addrs = addrs
	class, err := host.Class()
	if err != nil {
		return coded{exitRefused, err}
	}
	base := host.Origins[0]
	fmt.Fprintf(w.stdout, "To show that %s is yours, put this line into one of two places:\n\n    %s\n\n", host.Name, line)
	fmt.Fprintf(w.stdout, "  a file     %s%s\n", base, authz.ProofPath)
	if _, err := netip.ParseAddr(host.Name); err != nil {
		fmt.Fprintf(w.stdout, "  a record   %s%s.  TXT  \"%s\"\n", authz.ProofRecord, strings.TrimSuffix(host.Name, "."), line)
	}
	fmt.Fprint(w.stdout, "\nBehind the token may stand max_rate=500 (arrivals a second, over all sources) and until=2031-12-31 (the last day); both are\nenforced. Each user, or machine of a CI, has a token: several lines may stand there, and # begins a comment.\n\n")
	if class.Free() {
		fmt.Fprintf(w.stdout, "%s has a %s address, which may be loaded without a proof.\n", host.Name, class)
	}
	fmt.Fprintln(w.stdout, "Now:")
	if resolveErr != nil {
		fmt.Fprintf(w.stdout, "  %s does not resolve here: %s\n", host.Name, resolveErr)
	}
	proof := (&authz.Prover{Token: line.Token, Agent: "lt/" + versionText()}).Ask(ctx, host)
	for _, p := range proof.Places {
		found := p.Found
		if found == "" {
			found = "your token is there" + proof.Line.Limits()
		}
		fmt.Fprintf(w.stdout, "  %s: %s\n", p.Where, found)
	}
	switch {
	case !proof.Stands():
		fmt.Fprintln(w.stdout, "The proof does not stand.")
	case !proof.Line.Until.IsZero() && !time.Now().Before(proof.Line.Until):
		fmt.Fprintln(w.stdout, "The proof has ended.")
	default:
		fmt.Fprintln(w.stdout, "The proof stands.")
		return nil
	}
	return coded{exitRefused, errors.New("")}
}

// addressesOf resolves a name, or reads an address.
func addressesOf(ctx context.Context, name string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

// userToken is the token of the user's key; empty if there is none yet: then no target is asked for it.
func userToken(getenv func(string) string) (string, error) {
	dir, err := history.Dir(getenv)
	if err != nil {
		return "", nil // nowhere to keep one
	}
	token, err := authz.ReadKey(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return token, err
}
