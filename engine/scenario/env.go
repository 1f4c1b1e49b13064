package scenario

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MaxFile is the size of the largest scenario or body file, in bytes.
const MaxFile = 16 << 20

// Env is what a scenario file may ask of the world around it. The zero value has no environment variables and no files.
type Env struct {
	LookupEnv func(name string) (string, bool)
	// ReadFile reads a file by its path relative to the scenario's folder, and nothing outside of it. Load provides one.
	ReadFile func(name string) ([]byte, error)
	// CheckSLO says what is wrong with a criterion of the file, whose scenarios and steps are complete when it is called;
	// nil accepts everything.
	CheckSLO func(expr string, f *File) error
}

// SystemEnv is the environment of this process.
func SystemEnv() Env { return Env{LookupEnv: os.LookupEnv} }

// Load reads and parses a file. Body files are looked up below its folder, symbolic links out of it are not followed. The
// error is an Errors, or says that the file could not be read.
func Load(path string, env Env) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, fmt.Errorf("read scenario: %s is a folder; name a file in it", path)
	}
	text, err := readBounded(f, path)
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	if env.ReadFile == nil {
		root, err := os.OpenRoot(filepath.Dir(path))
		if err != nil {
			return nil, fmt.Errorf("open the scenario's folder: %w", err)
		}
		defer root.Close()
		env.ReadFile = func(name string) ([]byte, error) {
			data, err := readBelow(root, name)
			var pe *fs.PathError
			if errors.As(err, &pe) {
				return nil, fmt.Errorf("%s: %w", name, pe.Err)
			}
			return data, err
		}
	}
	return Parse(path, text, env)
}

// readBelow reads a file below a folder. What is no file is not opened: a pipe would wait for a writer.
func readBelow(root *os.Root, name string) ([]byte, error) {
	name = filepath.FromSlash(name)
	st, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, name)
}

func readBounded(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxFile {
		return nil, fmt.Errorf("%s is larger than %s, the most that is read", name, formatSize(MaxFile))
	}
	return text, nil
}

// reference is a ${NAME} or ${NAME:-default} within a value.
type reference struct {
	from, to    int // bytes of the value
	name        string
	fallback    string
	hasFallback bool
}

// references finds what stands as ${...} in a value. A $$ before the brace is a plain dollar and no reference.
func references(s string) ([]reference, error) {
	var out []reference
	for i := 0; i < len(s); {
		j := strings.Index(s[i:], "${")
		if j < 0 {
			break
		}
		at := i + j
		if at > 0 && s[at-1] == '$' {
			i = at + 2
			continue
		}
		end := strings.IndexByte(s[at:], '}')
		if end < 0 {
			return out, fmt.Errorf("%s is not closed: } is missing", quoted(s[at:]))
		}
		inner := s[at+2 : at+end]
		r := reference{from: at, to: at + end + 1, name: inner}
		if name, fallback, ok := strings.Cut(inner, ":-"); ok {
			r.name, r.fallback, r.hasFallback = name, fallback, true
		}
		if !validEnvName(r.name) {
			return out, fmt.Errorf("%s is not the name of an environment variable", quoted(r.name))
		}
		out = append(out, r)
		i = r.to
	}
	return out, nil
}

func validEnvName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}

// expand fills in the references of a value. values are what came from the environment.
func expand(s string, lookup func(string) (string, bool)) (filled string, values []string, err error) {
	refs, err := references(s)
	if err != nil {
		return "", nil, err
	}
	var b strings.Builder
	var errs []error
	last := 0
	for _, r := range refs {
		b.WriteString(unescapeDollar(s[last:r.from]))
		last = r.to
		v, ok := "", false
		if lookup != nil {
			v, ok = lookup(r.name)
		}
		switch {
		case ok && (v != "" || !r.hasFallback):
			b.WriteString(v)
			values = append(values, v)
		case r.hasFallback:
			b.WriteString(r.fallback)
		default:
			errs = append(errs, fmt.Errorf("the environment variable %s is not set; set it, or give a default: ${%s:-...}", r.name, r.name))
		}
	}
	b.WriteString(unescapeDollar(s[last:]))
	return b.String(), values, errors.Join(errs...)
}

func unescapeDollar(s string) string { return strings.ReplaceAll(s, "$${", "${") }
