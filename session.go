package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"lt/engine"
	"lt/engine/authz"
	"lt/engine/conductor"
	"lt/engine/history"
	"lt/engine/journey"
	"lt/engine/ledger"
	"lt/engine/limits"
	"lt/engine/load"
	"lt/engine/metrics"
	"lt/engine/redact"
	"lt/engine/report"
	"lt/engine/scenario"
	"lt/peer"
	"lt/tui"
)

// session is one run from its scenario to its exit code.
type session struct {
	w        world
	file     *scenario.File
	opt      runOptions
	program  *journey.Program
	redact   *redact.Redactor
	fleet    *peer.Fleet
	claim    authz.Claim // on what ground the targets may be loaded, for every source
	basis    authz.Basis
	record   *history.Writer
	crash    *crash
	ledger   *ledger.Ledger
	path     string // of the record
	id       string // of the run
	started  time.Time
	loopback bool // every target is on this machine
	screen   bool
	found    []ledger.Event // what the diary begins with
	exit     int            // where it is not the run that decides: it never began, or a report could not be written
	cut      error          // why the record does not hold all of the run
}

// runOptions are the flags that say how a run is shown, judged and written down.
type runOptions struct {
	plain, json, strict  bool
	noPreflight, noMouse bool
	noColor              bool
	theme                string
	fps                  int
	out                  []string
	authorize            []string
	labels               map[string]string
	fleet                fleetOptions
	always               bool // an SLO that failed does not show in the exit code: the demo
}

// play does a run. The error carries the exit code.
func (s *session) play(ctx context.Context) error {
	for _, o := range s.opt.out {
		if err := writable(o); err != nil {
			return err
		}
	}
	var err error
	if s.program, err = journey.Compile(s.file, "lt/"+versionText()); err != nil {
		return coded{exitUsage, err}
	}
	s.redact = redact.New(s.file.Secrets)
	s.crash = newCrash(s.w, s.screen)
	if _, err := limits.RaiseFiles(); err != nil {
		fmt.Fprintf(s.w.stderr, "note: the limit of open files could not be raised: %s\n", err)
	}
	limits.BoundHeap()
	s.started = time.Now()
	s.id = ledger.NewID(s.started)
	if s.fleet, err = peer.New(s.sources()); err != nil {
		return coded{exitUsage, err}
	}
	if err := s.permit(ctx); err != nil {
		return err
	}
	if !s.opt.noPreflight && !s.opt.fleet.noLocal { // without load from here this machine need not reach the target
		if err := s.preflight(ctx); err != nil {
			return err
		}
	}
	header, err := s.header()
	if err != nil {
		return coded{exitFailed, err}
	}
	if s.ledger, err = ledger.New(header); err != nil {
		return coded{exitUsage, err}
	}
	dir, err := history.Dir(s.w.getenv)
	if err == nil {
		s.record, err = history.Create(dir, header)
	}
	if err != nil {
		for _, o := range s.opt.out {
			if kind, _ := report.KindOf(o); kind == report.HdrLog || kind == report.LT {
				return usage("--out %s is made from the run's record, and there can be none: %w", o, err)
			}
		}
		fmt.Fprintf(s.w.stderr, "note: this run leaves no record: %s\n", err)
	} else {
		log, closer, err := history.OpenLog(dir)
		if err != nil {
			fmt.Fprintf(s.w.stderr, "note: no log is kept: %s\n", err)
		} else {
			log = log.With("run", header.ID)
			log.Info("begins", "target", header.Target, "version", header.Version, "basis", header.Basis)
			defer func() {
				if errors.Is(s.cut, history.ErrHung) || errors.Is(s.cut, history.ErrBehind) {
					return // the log is on the disk that does not answer
				}
				log.Info("ends", "code", s.code(), "verdict", s.ledger.Verdict().Health.String())
				closer.Close()
			}()
		}
		s.path = s.record.Path()
		s.record.Follow(s.ledger)
		if n := s.record.Note(); n != "" {
			fmt.Fprintf(s.w.stderr, "note: %s\n", n)
		}
		s.crash.record = s.path
	}
	return s.conduct(ctx, header)
}

// sources says of what the load is made. Questions of ssh are asked where somebody can answer them.
func (s *session) sources() peer.Config {
	o := &s.opt.fleet
	return peer.Config{
		File: s.file, Program: s.program, Redact: s.redact, Recover: s.crash.Recover,
		NoLocal: o.noLocal, SSH: o.ssh, Programs: o.binaries, Ask: s.screen, MinPeers: o.minPeers, OnLoss: peer.OnLoss(o.onLoss),
		KeepShares: o.rebalance == rebalanceOff, NoPreflight: s.opt.noPreflight, Run: s.id, Version: versionText(), Agent: "lt/" + versionText(),
	}
}

// writable refuses a report that could not be written, before a run is done for it.
func writable(path string) error {
	if _, err := report.KindOf(path); err != nil {
		return usage("--out: %w", err)
	}
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return usage("--out %s: it is there and is not a file; name another", path)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".lt-*")
	if err != nil {
		return usage("--out %s: nothing can be written in %s: %w", path, dir, errors.Unwrap(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// permit finds out whether the targets may be loaded; nothing was sent to them before, but the question for a proof of ownership
// where one counts and the user has a key.
func (s *session) permit(ctx context.Context) error {
	s.claim = peer.NewClaim(s.file, len(s.file.Peers))
	s.claim.Authorize = s.opt.authorize
	key, err := userToken(s.w.getenv)
	if err != nil {
		fmt.Fprintf(s.w.stderr, "note: no proof of ownership is asked for: %s\n", err)
	}
	s.claim.Key = key
	ask := peer.Permit{File: s.file, Program: s.program, Engine: s.fleet.Local(), Claim: s.claim, Agent: "lt/" + versionText()}
	if s.screen {
		ask.Typed = s.typed
	}
	may, err := ask.Ask(ctx)
	if err != nil {
		return coded{exitRefused, err}
	}
	s.basis, s.loopback = may.Basis, may.Loopback
	s.fleet.Local().Permit(may.Allow)
	s.fleet.Permit(s.claim) // with the names that were typed
	return nil
}

// typed asks for the name of a public host once.
func (s *session) typed(host string) bool {
	fmt.Fprintf(s.w.stderr, "%s is a public address. If its owner allows this test, type the host's name: ", host)
	ok := strings.EqualFold(strings.TrimSpace(readLine(s.w.in)), host)
	if ok {
		s.claim.Typed = append(s.claim.Typed, host)
	}
	return ok
}

// readLine reads one line, byte by byte, so that what follows stays for whoever reads next.
func readLine(r io.Reader) string {
	var line []byte
	b := make([]byte, 1)
	for len(line) < 1024 {
		n, err := r.Read(b)
		if n == 1 && b[0] != '\n' {
			line = append(line, b[0])
		}
		if err != nil || n == 1 && b[0] == '\n' {
			break
		}
	}
	return string(line)
}

// preflight connects once to every origin and works out whether this machine can do what was asked.
func (s *session) preflight(ctx context.Context) error {
	var unreached []string
	for _, r := range s.fleet.Local().Connect(ctx) {
		if r.Err != nil {
			text := fmt.Sprintf("%s cannot be reached: %s", r.Origin, s.redact.Text(r.Err.Error()))
			if len(unreached) == 0 {
				text += "; nothing was sent (--no-preflight starts all the same)"
			}
			if r.Hint != "" {
				text += "\n  " + r.Hint
			}
			unreached = append(unreached, text)
			continue
		}
		spoken := r.Origin.String() + " speaks HTTP/1.1"
		if r.TLS != "" {
			spoken += " over " + r.TLS
		}
		s.found = append(s.found, ledger.Event{Kind: ledger.EventNote, Text: spoken})
	}
	if len(unreached) > 0 {
		return coded{exitFailed, errors.New(strings.Join(unreached, "\n"))}
	}
	for _, f := range limits.Check(peer.Need(s.file, s.loopback, s.opt.fleet.localShare(s.file))) {
		if f.Severity == limits.Note {
			continue
		}
		e := ledger.Event{Kind: ledger.EventNote, Text: f.Text}
		if f.Severity == limits.Stop {
			e.Kind = ledger.EventGuard // the run goes on: the need is the most that it can come to, and errors of our own are told apart
		}
		if f.Remedy != "" {
			e.Text += "; try: " + f.Remedy
		}
		s.found = append(s.found, e)
	}
	return nil
}

// target names what is loaded: the file's target, or where its steps go if they have whole URLs.
func (s *session) target() string {
	origins := s.program.Origins
	switch {
	case s.file.Target != "" || len(origins) == 0:
		return s.file.Target
	case len(origins) == 1:
		return origins[0].String()
	}
	return fmt.Sprintf("%s and %d more", origins[0], len(origins)-1)
}

// header is what the record says of the run before it begins.
func (s *session) header() (ledger.Header, error) {
	facts, err := json.Marshal(limits.Facts())
	if err != nil {
		return ledger.Header{}, fmt.Errorf("describe this machine: %w", err)
	}
	return ledger.NewHeader(s.file, ledger.About{
		ID: s.id, Version: versionText(), Started: s.started, Basis: s.basis.Text, Labels: s.opt.labels, Host: facts,
		Target: s.redact.URL(s.target()), Steps: engine.StepNames(s.program),
		Sources: s.fleet.Members(),
	}), nil
}

// conduct lets the load begin, shows it, and writes down what came of it.
func (s *session) conduct(ctx context.Context, h ledger.Header) error {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	head := conductor.Header{Name: h.Name, Target: h.Target, Model: s.file.Load.Model, Basis: h.Basis, Scenarios: s.file.Scenarios}
	cfg := conductor.Config{
		Header: head, Ledger: s.ledger, Record: s.record, Source: s.fleet, Spec: s.file.Load,
		AllowRate: s.allowRate, Snapshot: s.snapshot, Recover: s.crash.Recover, Found: s.found,
	}
	if s.screen {
		cfg.Every = time.Second / time.Duration(s.opt.fps)
	}
	// Whoever reads the lines or the table may leave, as head does: the write then fails instead of ending the program.
	signal.Ignore(syscall.SIGPIPE)
	gone := make(chan struct{})
	if !s.screen {
		s.w.stdout = &watched{w: s.w.stdout, gone: gone}
		p := newPlain(s.lines(), s.file)
		cfg.Watch = p.watch
		p.begin(head)
	}
	told := heard() // from before there is anything to be drained
	run := conductor.Start(ctx, cfg)
	if end := s.basis.Until; !end.IsZero() {
		timer := time.AfterFunc(time.Until(end), func() {
			defer s.crash.Recover()
			run.Send(conductor.Mark{Text: "what allowed this target ended at " + end.UTC().Format(time.RFC3339) + ": the run is drained"})
			run.Send(conductor.Stop{})
		})
		defer timer.Stop()
	}
	quitScreen, stopSignals := s.signals(told, run, cut, gone)
	defer stopSignals()
	if s.screen {
		err := s.show(ctx, run, quitScreen)
		if err != nil {
			fmt.Fprintf(s.w.stderr, "the screen ended: %s; the run is drained\n", err)
			run.Send(conductor.Stop{})
		}
	}
	runErr := run.Wait()
	if !run.Begun() {
		return s.neverBegan(run.Ended(), runErr)
	}
	s.cut = run.RecordErr()
	return s.close(runErr)
}

// neverBegan tells why a run did not begin. Nothing was measured, so there is no report and no record of it.
func (s *session) neverBegan(how ledger.Ended, err error) error {
	s.exit = exitFailed
	members := s.fleet.Members()
	failed := slices.ContainsFunc(members, func(m metrics.Member) bool { return m.State == "refused" })
	switch {
	case how == ledger.ByUser:
		s.exit = report.CodeUser
		fmt.Fprintln(s.w.stderr, "The start was called off: nothing was sent.")
	case failed:
		s.exit = exitPeers
		startTable(s.w.stderr, members)
		err = nil // the table has it, peer by peer
	}
	if len(s.opt.out) > 0 {
		fmt.Fprintln(s.w.stderr, "note: the run did not begin, so no report was written")
	}
	if err == nil {
		err = errors.New("")
	}
	return coded{s.exit, err}
}

// lines is where plain mode writes while the run goes on.
func (s *session) lines() io.Writer {
	if s.opt.json {
		return s.w.stderr
	}
	return s.w.stdout
}

// allowRate refuses to raise the load by hand above what the target's class allows.
func (s *session) allowRate(peak float64) error {
	if s.file.Load.Model == load.Closed {
		return s.basis.AllowRate(0, int(math.Ceil(peak-1e-6))) // as many users as load.Users makes of it
	}
	return s.basis.AllowRate(peak, 0)
}

// snapshot writes a report of the run so far.
func (s *session) snapshot(path string) (string, error) {
	if path == "" {
		path = "lt-" + s.ledger.Header().ID + ".md"
	}
	return path, s.write(path)
}

// write writes one report; a file appears whole or not at all.
func (s *session) write(path string) error {
	kind, err := report.KindOf(path)
	if err != nil {
		return err
	}
	if s.record != nil && s.record.Err() != nil && (kind == report.LT || kind == report.HdrLog) {
		return fmt.Errorf("it is made from the record, and that is cut short: %w", s.record.Err())
	}
	tmp := path + ".part"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if kind == report.LT {
		err = copyFile(f, s.path)
	} else {
		err = report.Write(kind, f, s.ledger)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, path)
}

// writeAll writes every report that it can.
func (s *session) writeAll(paths []string) error {
	var errs []error
	for _, o := range paths {
		if err := s.write(o); err != nil {
			errs = append(errs, fmt.Errorf("write %s: %w", o, err))
		}
	}
	return errors.Join(errs...)
}

// heard gets the signals that end a run.
func heard() chan os.Signal {
	told := make(chan os.Signal, 4)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(hangup) { // nohup: it is to outlive its terminal on purpose
		signal.Notify(told, hangup)
	}
	return told
}

// signals lets the first interrupt drain the run and the second end it at once; after the third the next one ends the program, whatever
// it waits for. A lost terminal is an interrupt without a screen: the load never goes on unwatched.
func (s *session) signals(told chan os.Signal, run *conductor.Run, cut func(), gone <-chan struct{}) (quitScreen <-chan struct{}, stop func()) {
	quit := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer s.crash.Recover()
		n := 0
		leave := sync.OnceFunc(func() { close(quit) })
		// A reader that stands still must not keep the next signal from being heard.
		say := func(text string) { go fmt.Fprintln(s.w.stderr, text) }
		var ended <-chan struct{}
		for {
			select {
			case <-done:
				return
			case <-ended:
				leave()
				ended = nil
			case <-gone:
				gone = nil
				run.Send(conductor.Stop{})
				say("nobody reads the lines any more: the run is stopped")
			case sig := <-told:
				if sig == hangup {
					leave()
				}
				ended = run.Done() // told to end from outside, nobody needs to press a key
				n++
				switch n {
				case 1:
					run.Send(conductor.Stop{})
					if !s.screen {
						say("draining; once more ends at once")
					}
				case 2:
					run.Send(conductor.Now{})
				default:
					cut()
					signal.Stop(told)
				}
			}
		}
	}()
	return quit, func() { signal.Stop(told); close(done) }
}

// show puts the run on the screen until the user leaves it.
func (s *session) show(ctx context.Context, run *conductor.Run, hung <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-hung:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := tui.Run(ctx, tui.Options{
		Next: run.Next, Send: run.Send, Input: s.w.in, Output: screenOf(s.w), Theme: s.opt.theme, FPS: s.opt.fps,
		NoColor: s.opt.noColor, NoMouse: s.opt.noMouse, ASCII: tui.ASCII(s.w.getenv),
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// close writes the reports and turns the run into an exit code. The files come first: whoever reads standard output may be gone, and
// what the table says of the exit code has to hold.
func (s *session) close(runErr error) error {
	failed := errors.Join(runErr, s.writeAll(s.opt.out))
	if path := s.w.getenv("GITHUB_STEP_SUMMARY"); path != "" {
		if err := s.appendSummary(path); err != nil {
			fmt.Fprintf(s.w.stderr, "note: the step summary was not written: %s\n", err)
		}
	}
	if failed != nil {
		s.exit = exitFailed
	}
	if !s.opt.json {
		s.table()
	} else if err := report.Write(report.JSON, s.w.stdout, s.ledger); err != nil {
		failed = errors.Join(failed, fmt.Errorf("write the summary to standard output: %w", err))
	}
	if failed != nil {
		s.exit = exitFailed
		return coded{exitFailed, failed}
	}
	code := s.code()
	if s.opt.always && code == report.CodeSLO {
		code = exitDone
		if end, _ := s.ledger.End(); end.Ended == ledger.ByUser {
			code = report.CodeUser
		}
	}
	if code != exitDone {
		return coded{code, errors.New("")}
	}
	return nil
}

// table prints the final table. Whoever read it may be gone, or the terminal: the record and the files have it all.
func (s *session) table() {
	style := report.Style{Width: widthOf(s.w.stdout), Colour: colourOf(s.w, s.opt.noColor), Record: s.path, Exit: s.code()}
	if s.cut != nil {
		style.Record, style.NoRecord = "", fmt.Sprintf("The record could not be written to its end (%s), so this run cannot be reported again.", s.cut)
	}
	if s.opt.always {
		style.Exit = -1
	}
	_ = report.Table(s.w.stdout, s.ledger, style)
	if s.opt.always {
		fmt.Fprintf(s.w.stdout, "In a test of your own this would be exit code %d.\n", s.code())
	}
}

// code is what the program is going to end with, as far as the run decides it.
func (s *session) code() int {
	if s.exit != exitDone { // it never began, or what it measured could not be written
		return s.exit
	}
	return report.Code(s.ledger, s.opt.strict)
}

func (s *session) appendSummary(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, "\n") // what stands before may not have ended its line
	return errors.Join(err, report.Write(report.Markdown, f, s.ledger), f.Close())
}

// copyFile copies a record as it stands.
func copyFile(to io.Writer, path string) error {
	if path == "" {
		return errors.New("the run left no record to copy")
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	return err
}
