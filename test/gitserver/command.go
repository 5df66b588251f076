package gitserver

import (
	"errors"
	"strings"
)

// splitCommand splits a command line into words as a shell does, but knows
// only what git uses to quote a path: single quotes, and a backslash outside
// of them. It refuses anything else a shell would act on.
func splitCommand(line string) ([]string, error) {
	var (
		words  []string
		word   strings.Builder
		inWord bool
	)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == 0:
			return nil, errors.New("NUL in command")
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case c == '\'':
			quoted, _, closed := strings.Cut(line[i+1:], "'")
			if !closed {
				return nil, errors.New("unclosed quote in command")
			}
			if strings.Contains(quoted, "\x00") {
				return nil, errors.New("NUL in command")
			}
			word.WriteString(quoted)
			inWord = true
			i += len(quoted) + 1
		case c == '\\':
			i++
			if i == len(line) || line[i] == 0 || line[i] == '\n' {
				return nil, errors.New("stray backslash in command")
			}
			word.WriteByte(line[i])
			inWord = true
		case strings.IndexByte("\"$`;&|<>(){}[]*?~#!\r\n", c) >= 0:
			return nil, errors.New("unquoted special character in command")
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		return nil, errors.New("empty command")
	}
	return words, nil
}

// gitService recognizes the two commands of the git protocol in both their
// spellings. service is "upload-pack" or "receive-pack", or empty.
func gitService(words []string) (service string, args []string) {
	name, args := words[0], words[1:]
	if name == "git" && len(args) > 0 {
		name, args = "git-"+args[0], args[1:]
	}
	switch name {
	case "git-upload-pack", "git-receive-pack":
		return strings.TrimPrefix(name, "git-"), args
	}
	return "", nil
}
