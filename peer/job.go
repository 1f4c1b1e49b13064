package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lt/engine/authz"
	"lt/engine/journey"
	"lt/engine/scenario"
)

// Job is what a peer is to do: the scenario with everything filled in, files and secrets included. It travels as CBOR on the
// file stream and lives in memory only.
type Job struct {
	File  *scenario.File
	Claim authz.Claim // on what ground the targets may be loaded; the peer decides for itself
	Agent string      // User-Agent unless the scenario says otherwise
	// NoPreflight starts without connecting to the origins.
	NoPreflight bool
	// Share is the part of the load, 0..1, by which the peer works out what its machine needs; 0: all of it.
	Share float64
	// Files are the certificates and keys that the scenario names, by their names there. A peer reads no file of its own.
	Files map[string][]byte
}

// maxFile bounds one file that a job carries.
const maxFile = 1 << 20

// NewJob packs what peers need to run a file. It reads the certificates that the file names.
func NewJob(f *scenario.File, claim authz.Claim, agent string, noPreflight bool) (*Job, error) {
	j := &Job{File: f, Claim: claim, Agent: agent, NoPreflight: noPreflight, Files: map[string][]byte{}}
	var errs []error
	add := func(t scenario.TLS) {
		for _, name := range []string{t.CA, t.Cert, t.Key} {
			if _, have := j.Files[name]; name == "" || have {
				continue
			}
			path := name
			if !filepath.IsAbs(path) {
				path = filepath.Join(f.Dir, path)
			}
			data, err := os.ReadFile(path)
			switch {
			case err != nil:
				errs = append(errs, fmt.Errorf("read what the peers need: %w", err))
			case len(data) > maxFile:
				errs = append(errs, fmt.Errorf("%s has %d bytes, and a peer takes certificates up to %d: name the file with the certificate alone", path, len(data), maxFile))
			}
			j.Files[name] = data
		}
	}
	add(f.HTTP.TLS)
	for _, sc := range f.Scenarios {
		for _, steps := range [][]*scenario.Step{sc.Setup, sc.Steps, sc.Teardown} {
			for _, st := range steps {
				add(st.HTTP.TLS)
			}
		}
	}
	return j, errors.Join(errs...)
}

// at is the job for a peer that has a target of its own.
func (j *Job) at(target string) *Job {
	if target == "" {
		return j
	}
	own, f := *j, *j.File
	f.Target = target
	own.File = &f
	return &own
}

// read is how the engine of a peer reads the files that the scenario names: only those that came with the job.
func (j *Job) read(name string) ([]byte, error) {
	if data, ok := j.Files[name]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("%s did not come with the job, and a peer reads no file of its own", filepath.Base(name))
}

// The most that a job may hold, far above what scenarios have.
const (
	maxScenarios = 1000
	maxSteps     = 1 << 15 // of all scenarios; records number them in 16 bits
)

// compile checks a job that came over the wire, from whoever it came, and compiles it.
func (j *Job) compile() (p *journey.Program, err error) {
	defer func() {
		// What the checks did not foresee is refused as well: it must not end a process that others' figures depend on.
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("the scenario cannot be compiled: %v", r)
		}
	}()
	if err := j.check(); err != nil {
		return nil, err
	}
	return journey.Compile(j.File, j.Agent)
}

// check looks for what the parser of scenario files would never have made.
func (j *Job) check() error {
	f := j.File
	if f == nil {
		return errors.New("the job has no scenario file")
	}
	if err := f.Load.Validate(); err != nil {
		return err
	}
	if n := len(f.Load.Profile.Stages); n == 0 {
		return errors.New("the load has no stage")
	}
	switch n := len(f.Scenarios); {
	case n == 0:
		return errors.New("the job has no scenario")
	case n > maxScenarios:
		return fmt.Errorf("the job has %d scenarios, and %d are the most", n, maxScenarios)
	case len(f.Load.Weights) != n && !(len(f.Load.Weights) == 0 && n == 1):
		return fmt.Errorf("the job has %d scenarios and %d weights", n, len(f.Load.Weights))
	}
	steps := 0
	for i, sc := range f.Scenarios {
		if sc == nil || len(sc.Steps) == 0 {
			return fmt.Errorf("scenario %d of the job has no step", i+1)
		}
		if sc.Weight < 0 || sc.Pacing < 0 {
			return fmt.Errorf("scenario %d of the job has a weight or pacing below 0", i+1)
		}
		for _, list := range [][]*scenario.Step{sc.Setup, sc.Steps, sc.Teardown} {
			for _, st := range list {
				if steps++; st == nil || steps > maxSteps {
					return fmt.Errorf("scenario %d of the job has an empty step, or the job more than %d", i+1, maxSteps)
				}
				if err := checkHTTP(&st.HTTP); err != nil {
					return fmt.Errorf("scenario %d of the job: %w", i+1, err)
				}
			}
		}
	}
	return checkHTTP(&f.HTTP)
}

func checkHTTP(h *scenario.HTTP) error {
	if h.Timeout <= 0 || h.ConnectTimeout <= 0 || h.MaxBody <= 0 || h.Redirects < 0 {
		return errors.New("it lacks a timeout or has a bound below 0")
	}
	return nil
}
