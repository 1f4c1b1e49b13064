package authz

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// keyBytes is the length of a user's key. It is random; nothing is signed with it, its fingerprint alone is ever shown.
const keyBytes = 32

// KeyPath is where a user's key lies in the folder of the user's state.
func KeyPath(dir string) string { return filepath.Join(dir, "key") }

// ReadKey is the token of the key in a folder: what proofs of ownership show. Without a key the error is fs.ErrNotExist.
func ReadKey(dir string) (token string, err error) {
	path := KeyPath(dir)
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others: chmod 600 %s, or remove it and let lt prove make another", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keyBytes {
		return "", fmt.Errorf("%s is not a key of lt: put the right file there, or remove it and let lt prove make another", path)
	}
	return tokenOf(key), nil
}

// MakeKey is ReadKey, and makes a key first if there is none. Of two processes that do so at once, one makes it and both use it.
func MakeKey(dir string) (token string, err error) {
	token, err = ReadKey(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	key := make([]byte, keyBytes)
	rand.Read(key) // never fails: it ends the program instead
	tmp, err := os.CreateTemp(dir, ".key-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(hex.EncodeToString(key) + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", err
	}
	// A link appears whole and never replaces: the first one stays.
	if err := os.Link(tmp.Name(), KeyPath(dir)); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return ReadKey(dir)
}

// tokenOf is the fingerprint of a key as a proof shows it. The key cannot be found from it.
func tokenOf(key []byte) string {
	sum := sha256.Sum256(append([]byte("lt authorization 1\n"), key...))
	return tokenPrefix + hex.EncodeToString(sum[:])
}

// tokenPrefix tells a token from other words and carries the version of the format.
const tokenPrefix = "lt1-"

// validToken says whether a word has the form of a token.
func validToken(s string) bool {
	digits, ok := strings.CutPrefix(s, tokenPrefix)
	return ok && len(digits) == 2*sha256.Size && strings.Trim(digits, "0123456789abcdef") == ""
}
