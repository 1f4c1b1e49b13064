package boot

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"debug/macho"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Program is a build of lt for one system, ready to travel. It is immutable, and any goroutine may open it.
type Program struct {
	OS, Arch string // in Go's names
	Path     string
	SHA256   string // hex
	Size     int64  // bytes
	Bound    bool   // built with cgo: it runs where there are libraries like those of the machine that built it

	once   sync.Once
	packed []byte
	err    error
}

// Binaries finds the programs that peers may need. Make it with FindBinaries.
type Binaries struct {
	programs []*Program
	reasons  map[string]string // why there is none, by OS/ARCH
	dirs     []string
}

// FindBinaries looks for builds of lt, one for each system, and hashes them: explicit ones by OS/ARCH first, then this program
// itself for the system that it runs on, then lt-OS-ARCH in libexec/ beside the program's directory or in it, beside the
// program, and in dist/VERSION of the user's cache. Nothing is downloaded. An explicit one that cannot be used is an error; what
// else is not there is only missed when a peer asks for it.
//
// This program may have been built with cgo, as a plain go build does where there is a C compiler. It then travels if there is
// no other for its system: most peers are like the machine that it was built on, and one that is not says so at once.
func FindBinaries(version string, explicit map[string]string) (*Binaries, error) {
	exe, err := os.Executable()
	if err != nil {
		exe = ""
	}
	self := exe
	if runtime.GOOS == "linux" {
		self = "/proc/self/exe" // the program that runs, also when the file was replaced since
	}
	return findBinaries(explicit, self, searched(exe, version))
}

// searched are the directories of side files, in their order.
func searched(exe, version string) []string {
	var dirs []string
	if exe != "" {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		here := filepath.Dir(exe)
		dirs = append(dirs, filepath.Join(here, "libexec"), here, filepath.Join(filepath.Dir(here), "libexec"))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(cache, "lt", "dist", version))
	}
	return dirs
}

func findBinaries(explicit map[string]string, self string, dirs []string) (*Binaries, error) {
	b := &Binaries{reasons: map[string]string{}, dirs: dirs}
	var errs []error
	for _, key := range sorted(explicit) {
		goos, goarch, _ := strings.Cut(key, "/")
		if !slices.Contains(known, [2]string{goos, goarch}) {
			errs = append(errs, fmt.Errorf("peer binary %s=%s: %q is no system that lt can run on; write linux/amd64=PATH or linux/arm64=PATH", key, explicit[key], key))
			continue
		}
		p, err := program(goos, goarch, explicit[key])
		if err != nil {
			errs = append(errs, fmt.Errorf("peer binary %s: %w", key, err))
			continue
		}
		b.programs = append(b.programs, p)
	}
	for _, k := range known {
		goos, goarch := k[0], k[1]
		if b.find(goos, goarch) != nil {
			continue
		}
		var own *Program
		if goos == runtime.GOOS && goarch == runtime.GOARCH && self != "" {
			p, err := program(goos, goarch, self)
			if err == nil && !p.Bound {
				b.programs = append(b.programs, p)
				continue
			}
			if own = p; err != nil {
				b.reasons[goos+"/"+goarch] = err.Error()
			}
		}
		for _, d := range dirs {
			path := filepath.Join(d, "lt-"+goos+"-"+goarch)
			if _, err := os.Stat(path); err != nil {
				continue
			}
			p, err := program(goos, goarch, path)
			if err == nil {
				b.programs, own = append(b.programs, p), nil
				break
			}
			b.reasons[goos+"/"+goarch] = err.Error()
		}
		if own != nil {
			b.programs = append(b.programs, own)
		}
	}
	return b, errors.Join(errs...)
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// find is the program for a system, nil if there is none.
func (b *Binaries) find(goos, goarch string) *Program {
	for _, p := range b.programs {
		if p.OS == goos && p.Arch == goarch {
			return p
		}
	}
	return nil
}

// Programs are the programs that were found, at most one for each system.
func (b *Binaries) Programs() []*Program { return slices.Clone(b.programs) }

// bound says whether the program for a system was built with cgo.
func (b *Binaries) bound(goos, goarch string) bool {
	p := b.find(goos, goarch)
	return p != nil && p.Bound
}

// Missing is what to tell a user whose peer needs a program that there is not.
func (b *Binaries) Missing(goos, goarch string) *Error {
	key := goos + "/" + goarch
	why := "there is no lt for " + key + " here"
	if r := b.reasons[key]; r != "" {
		why += ": " + r
	}
	arm := ""
	if goarch == "arm" {
		arm = "GOARM=6 "
	}
	return &Error{
		Phase: Probe, Why: why,
		Do: fmt.Sprintf("build it with GOOS=%s GOARCH=%s %sCGO_ENABLED=0 go build -o lt-%s-%s . and say --peer-binary %s=lt-%s-%s, or put it into %s",
			goos, goarch, arm, goos, goarch, key, goos, goarch, b.home()),
	}
}

// home is where side files are looked for first.
func (b *Binaries) home() string {
	if len(b.dirs) == 0 {
		return "libexec/ beside lt"
	}
	return b.dirs[0]
}

// program checks that a file is a build for a system, and hashes it.
func program(goos, goarch, path string) (*Program, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return nil, fmt.Errorf("%s is not a program", path)
	}
	bound, err := travels(f, goos, goarch)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	h := sha256.New()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	n, err := io.Copy(h, f)
	if err != nil {
		return nil, err
	}
	return &Program{OS: goos, Arch: goarch, Path: path, SHA256: hex.EncodeToString(h.Sum(nil)), Size: n, Bound: bound}, nil
}

var machines = map[string]elf.Machine{
	"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM, "386": elf.EM_386,
	"riscv64": elf.EM_RISCV, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390, "loong64": elf.EM_LOONGARCH,
}

// travels says whether a program is for a system, with an error that ends a sentence if not, and whether it is bound to libraries
// of the machine that built it.
func travels(r io.ReaderAt, goos, goarch string) (bound bool, err error) {
	if goos == "darwin" {
		f, err := macho.NewFile(r)
		if err != nil {
			return false, errors.New("is not a program for macOS")
		}
		if want := map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[goarch]; f.Cpu != want {
			return false, fmt.Errorf("is a program for %s, not for %s", f.Cpu, goarch)
		}
		return false, nil // always linked with the system's own library, which is everywhere
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return false, fmt.Errorf("is not a program for %s", goos)
	}
	if f.Machine != machines[goarch] {
		return false, fmt.Errorf("is a program for %s, not for %s", strings.TrimPrefix(f.Machine.String(), "EM_"), goarch)
	}
	if goos != "linux" {
		return false, nil
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return true, nil
		}
	}
	return false, nil
}

// open is the program as it travels, and how many bytes that is. The packed form is made once.
func (p *Program) open(packed bool) (io.ReadCloser, int64, error) {
	if !packed {
		f, err := os.Open(p.Path)
		return f, p.Size, err
	}
	p.once.Do(func() {
		f, err := os.Open(p.Path)
		if err != nil {
			p.err = err
			return
		}
		defer f.Close()
		var b bytes.Buffer
		// Halving the bytes is worth it on any network; the last tenth costs six times as long.
		z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if err == nil {
			_, err = io.Copy(z, f)
		}
		if err == nil {
			err = z.Close()
		}
		p.err = err
		p.packed = b.Bytes()
	})
	if p.err != nil {
		return nil, 0, p.err
	}
	return io.NopCloser(bytes.NewReader(p.packed)), int64(len(p.packed)), nil
}

// open is what the peer asked for.
func (o *Offer) open(printed string, packed bool) (io.ReadCloser, int64, error) {
	goos, goarch, _ := system(printed)
	if p := o.binaries.find(goos, goarch); p != nil {
		return p.open(packed)
	}
	return nil, 0, fmt.Errorf("it asks for a program that was not offered: %q", printed)
}

// missing is the answer to a peer of a system that nothing was offered for.
func (o *Offer) missing(printed string) *Error {
	goos, goarch, ok := system(printed)
	switch {
	case ok:
		return o.binaries.Missing(goos, goarch)
	case strings.HasPrefix(printed, "CYGWIN"), strings.HasPrefix(printed, "MINGW"), strings.HasPrefix(printed, "MSYS"):
		return &Error{Phase: Probe, Why: "the peer runs Windows (" + printed + "), where lt has no agent", Do: "use WSL, or a peer that runs Linux or macOS"}
	default:
		return &Error{Phase: Probe, Why: fmt.Sprintf("lt does not run on %q", printed), Do: "use a peer that runs Linux or macOS"}
	}
}
