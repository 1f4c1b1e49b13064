package peer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lt/engine/limits"
)

// digest hides what it is made of and stays equal where that is equal. Of nothing it is nothing.
func digest(s string) string {
	if s == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("lt peer " + s))
	return hex.EncodeToString(sum[:16])
}

// PrepareProcess fits the process of a peer into its machine, and makes sure that the program is the one that its name says: who
// put it there named it by its hash, and whoever could write there since could have changed it. It returns the program's hash.
func PrepareProcess(executable string) (build string, err error) {
	build, err = hashFile(executable)
	if err != nil {
		return "", fmt.Errorf("read the program itself: %w", err)
	}
	if name := filepath.Base(executable); isHex(name, 2*sha256.Size) && name != build {
		err := fmt.Errorf("%s has the hash %s: it was damaged, and is removed", executable, build)
		_ = os.Remove(executable)
		return "", err
	}
	expendable()
	_, _ = limits.RaiseFiles() // Hello says what it came to
	limits.BoundHeap()
	return build, nil
}

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
