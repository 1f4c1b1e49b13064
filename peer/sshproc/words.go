package sshproc

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// program is the beginning of an argument list from a user's command. Plain words, quoted or not, are started directly; what
// only a shell understands (variables, ~, pipes, globs) is handed to one with our arguments behind it, as git does with
// GIT_SSH_COMMAND.
func program(s string) ([]string, error) {
	if strings.TrimSpace(s) == "" {
		return []string{"ssh"}, nil
	}
	words, shell, err := split(s)
	if err != nil {
		return nil, fmt.Errorf("the ssh command %q: %w", s, err)
	}
	if !shell {
		return words, nil
	}
	if runtime.GOOS == "windows" {
		return nil, fmt.Errorf("the ssh command %q needs a shell; name the program and its options in plain words", s)
	}
	return []string{"/bin/sh", "-c", s + ` "$@"`, "ssh"}, nil
}

// split cuts a command into words as a POSIX shell would, honouring quotes and backslashes, and reports whether it has anything
// that only a shell can carry out.
func split(s string) (words []string, shell bool, err error) {
	var word strings.Builder
	open := false // a word has begun, be it empty
	end := func() {
		if open {
			words = append(words, word.String())
			word.Reset()
			open = false
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ', '\t':
			end()
		case '\'':
			n := strings.IndexByte(s[i+1:], '\'')
			if n < 0 {
				return nil, false, errors.New("a ' is not closed")
			}
			word.WriteString(s[i+1 : i+1+n])
			open = true
			i += n + 1
		case '"':
			open = true
			for i++; ; i++ {
				if i >= len(s) {
					return nil, false, errors.New(`a " is not closed`)
				}
				if s[i] == '"' {
					break
				}
				if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0 {
					i++
				} else if s[i] == '$' || s[i] == '`' {
					shell = true
				}
				word.WriteByte(s[i])
			}
		case '\\':
			if i+1 == len(s) {
				return nil, false, errors.New(`a \ stands at the end`)
			}
			i++
			word.WriteByte(s[i])
			open = true
		case '\n', '\r', 0:
			return nil, false, errors.New("it is more than one line")
		default:
			if strings.IndexByte("$`|&;<>()*?[", c) >= 0 || !open && (c == '~' || c == '#') || c == '=' && len(words) == 0 {
				shell = true
			}
			word.WriteByte(c)
			open = true
		}
	}
	end()
	if len(words) == 0 || words[0] == "" {
		return nil, false, errors.New("it names no program")
	}
	return words, shell, nil
}
