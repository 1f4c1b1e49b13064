package boot

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"debug/macho"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// built is the beginning of a program for a system, from which its kind can be told.
func built(t *testing.T, path, goos, goarch string, dynamic bool) {
	t.Helper()
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if goos == "darwin" {
		put(macho.FileHeader{Magic: macho.Magic64, Cpu: macho.CpuArm64, Type: macho.TypeExec}, uint32(0))
	} else {
		h := elf.Header64{
			Type: uint16(elf.ET_EXEC), Machine: uint16(machines[goarch]), Version: uint32(elf.EV_CURRENT),
			Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64,
		}
		copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
		kind := elf.PT_LOAD
		if dynamic {
			kind = elf.PT_INTERP
		}
		put(h, elf.Prog64{Type: uint32(kind)})
	}
	if err := os.WriteFile(path, b.Bytes(), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestBinariesAreFoundInTheirOrder(t *testing.T) {
	dir := t.TempDir()
	arm, amd := filepath.Join(dir, "arm"), filepath.Join(dir, "amd")
	built(t, arm, "linux", "arm64", false)
	built(t, amd, "linux", "amd64", false)
	place := func(sub, name, from string) string {
		path := filepath.Join(dir, sub, name)
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o700)
		}
		if err == nil {
			err = os.WriteFile(path, append(b, sub...), 0o700) // each with a hash of its own
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	first := place("libexec", "lt-linux-arm64", arm)
	second := place("beside", "lt-linux-arm64", arm)
	place("libexec", "lt-linux-riscv64", arm) // is no such program
	dirs := []string{filepath.Join(dir, "libexec"), filepath.Join(dir, "beside")}

	b, err := findBinaries(nil, "", dirs)
	if err != nil {
		t.Fatal(err)
	}
	if p := b.find("linux", "arm64"); p == nil || p.Path != first || len(p.SHA256) != 64 || p.Size == 0 {
		t.Errorf("%+v", p)
	}
	if e := b.Missing("linux", "riscv64"); !strings.Contains(e.Error(), "lt-linux-riscv64 is a program for AARCH64, not for riscv64; build it with GOOS=linux GOARCH=riscv64 CGO_ENABLED=0 go build -o lt-linux-riscv64 .") ||
		!strings.Contains(e.Error(), "--peer-binary linux/riscv64=lt-linux-riscv64") || !strings.Contains(e.Error(), dirs[0]) {
		t.Errorf("%v", e)
	}
	if e := b.Missing("linux", "arm"); !strings.Contains(e.Do, "GOARCH=arm GOARM=6 CGO_ENABLED=0") {
		t.Errorf("%v", e)
	}

	b, err = findBinaries(map[string]string{"linux/arm64": second}, "", dirs)
	if err != nil {
		t.Fatal(err)
	}
	if p := b.find("linux", "arm64"); p == nil || p.Path != second {
		t.Errorf("what was named is not what is used: %+v", p)
	}

	_, err = findBinaries(map[string]string{
		"linux/amd64": arm, "linux/arm64": filepath.Join(dir, "none"), "windows/amd64": amd, "linux": amd, "darwin/arm64": amd, "linux/386": dir,
	}, "", nil)
	for _, want := range []string{
		"peer binary linux/amd64: " + arm + " is a program for AARCH64, not for amd64",
		"no such file", `"windows/amd64" is no system`, `"linux" is no system`, "is not a program for macOS", "is not a program",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}

// A program that was linked with the libraries of one machine travels only if there is no other for its system.
func TestStaticProgramsGoFirst(t *testing.T) {
	dir := t.TempDir()
	mac := filepath.Join(dir, "lt-darwin-arm64")
	built(t, mac, "darwin", "arm64", false)
	b, err := findBinaries(nil, "", []string{dir})
	if err != nil || b.find("darwin", "arm64") == nil {
		t.Errorf("a program for macOS: %v, %v", b.reasons, err)
	}
	if runtime.GOOS != "linux" {
		return
	}
	static := filepath.Join(dir, "static")
	built(t, static, runtime.GOOS, runtime.GOARCH, false)
	if b, err := findBinaries(nil, static, nil); err != nil || b.find(runtime.GOOS, runtime.GOARCH) == nil {
		t.Errorf("a static program: %v, %v", b.reasons, err)
	}
	dynamic := filepath.Join(dir, "dynamic")
	built(t, dynamic, runtime.GOOS, runtime.GOARCH, true)
	b, err = findBinaries(nil, dynamic, nil)
	if err != nil || !b.bound(runtime.GOOS, runtime.GOARCH) {
		t.Errorf("a dynamic program: %+v, %v", b.programs, err)
	}
	// A side file for the same system takes its place.
	if err := os.Rename(static, filepath.Join(dir, "lt-"+runtime.GOOS+"-"+runtime.GOARCH)); err != nil {
		t.Fatal(err)
	}
	if b, err := findBinaries(nil, dynamic, []string{dir}); err != nil || b.find(runtime.GOOS, runtime.GOARCH) == nil || b.bound(runtime.GOOS, runtime.GOARCH) {
		t.Errorf("with a side file: %v, %v", b.reasons, err)
	}
}

func TestProgramIsPackedOnce(t *testing.T) {
	content := strings.Repeat("program ", 10_000)
	p := payload(t, content).programs[0]
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			r, n, err := p.open(true)
			if err != nil || n >= int64(len(content)) {
				t.Errorf("%d bytes, %v", n, err)
				return
			}
			z, err := gzip.NewReader(r)
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := io.ReadAll(z); err != nil || string(b) != content {
				t.Errorf("unpacked to %d bytes, %v", len(b), err)
			}
		})
	}
	wg.Wait()
	if err := os.Remove(p.Path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.open(true); err != nil {
		t.Errorf("it was read again: %v", err)
	}
}

func TestSystem(t *testing.T) {
	for printed, want := range map[string]string{
		"Linux x86_64": "linux/amd64", "Linux aarch64": "linux/arm64", "Linux armv8l": "linux/arm64", "Linux armv7l": "linux/arm",
		"Linux i686": "linux/386", "Darwin arm64": "darwin/arm64", "Darwin x86_64": "darwin/amd64",
		"Linux ppc64le": "linux/ppc64le", "Linux s390x": "linux/s390x", "Linux loongarch64": "linux/loong64",
		"Linux armv5tel": "/", "SunOS i86pc": "/", "FreeBSD amd64": "/", "": "/", "Linux": "/",
	} {
		goos, goarch, ok := system(printed)
		if got := goos + "/" + goarch; got != want || ok != (want != "/") {
			t.Errorf("%q is %s", printed, got)
		}
	}
}
