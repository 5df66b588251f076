package gitcli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// What others decide on. Every error of a git command is an *Error that wraps
// one of these, or none where git said something unforeseen.
var (
	ErrAuth              = errors.New("authentication refused")
	ErrHostKey           = errors.New("host key not trusted")
	ErrBranchMissing     = errors.New("branch not found")
	ErrEmptyRepository   = errors.New("repository is empty")
	ErrRepositoryMissing = errors.New("repository not found")
	ErrReadOnly          = errors.New("no write access")
	ErrBranchMoved       = errors.New("branch moved")
	ErrDeclined          = errors.New("push declined by the server")
	ErrTimeout           = errors.New("timed out")
	ErrNetwork           = errors.New("connection failed")
	ErrPushUnknown       = errors.New("whether the push arrived is unknown")
	ErrNotStarted        = errors.New("process could not be started")
)

// hints say what to do about each kind.
var hints = map[error]string{
	ErrAuth:              "let its public half read the repository, and write to the manifests; a deploy key serves one repository, a machine user's several",
	ErrHostKey:           "check the server's host key, as ssh-keyscan shows it, and put it into a --known-hosts file or into known_hosts in the SSH key's Secret",
	ErrRepositoryMissing: "check its spelling, and that the key may read it",
	ErrReadOnly:          "allow write access for this deploy key",
	ErrDeclined:          "see the server's reason; a protected branch or a hook may refuse the operator's pushes",
	ErrNetwork:           "check that the host can be reached",
	ErrTimeout:           "check that the host answers, or raise --git-timeout",
	ErrNotStarted:        "the machine or the container has no memory, processes or open files left: raise its limits, or lower --workers",
}

// Error is the failure of one git or ssh command.
type Error struct {
	Op     string        // "read head", "fetch", "push", …
	Remote string        // the repository's URL; empty for local commands
	Branch string        // the branch, where there is one
	Key    string        // the key's Secret, where the key is what was refused
	Kind   error         // one of the above, or nil
	Detail string        // what git or the server said, one bounded printable line
	After  time.Duration // for ErrTimeout
	cause  error         // the process's end
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Remote != "" {
		b.WriteString(" " + e.Remote)
	}
	if e.Branch != "" {
		b.WriteString(" branch " + e.Branch)
	}
	b.WriteString(": ")
	if e.Kind == nil {
		b.WriteString("git failed")
		if e.Detail == "" && e.cause != nil {
			b.WriteString(": " + e.cause.Error())
		}
	} else {
		b.WriteString(e.Kind.Error())
	}
	if e.Key != "" {
		b.WriteString(" for the key of secret " + e.Key)
	}
	if e.After > 0 {
		fmt.Fprintf(&b, " after %s", e.After)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if h := hints[e.Kind]; h != "" {
		b.WriteString(" (" + h + ")")
	}
	return b.String()
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.Kind, e.cause} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// IsLocal says that a command failed here, unforeseen: neither the remote nor
// the network had a part in it, so a new mirror may mend it.
func IsLocal(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errClosed)
}

// said maps what git, ssh and the hosts say to a kind. The first that matches
// counts, so what is certain stands before what is vague.
var said = []struct {
	text string
	kind error
}{
	{"Host key verification failed", ErrHostKey},
	{"REMOTE HOST IDENTIFICATION HAS CHANGED", ErrHostKey},
	{"host key is known for", ErrHostKey},
	{"marked as read only", ErrReadOnly},                    // GitHub
	{"does not have write access", ErrReadOnly},             // GitLab
	{"not allowed to push", ErrReadOnly},                    // GitLab, Gitea
	{"not authorized to write", ErrReadOnly},                // Gitea, Forgejo
	{"write access to repository not granted", ErrReadOnly}, // GitHub
	{"Permission denied (", ErrAuth},
	{"Too many authentication failures", ErrAuth},
	{"No supported authentication methods", ErrAuth},
	{"Repository not found", ErrRepositoryMissing},                            // GitHub
	{"does not appear to be a git repository", ErrRepositoryMissing},          // git
	{"project you were looking for could not be found", ErrRepositoryMissing}, // GitLab
	{"repository either does not exist", ErrRepositoryMissing},                // Bitbucket
	{"Cannot find repository", ErrRepositoryMissing},                          // Gitea
	{"TF401019", ErrRepositoryMissing},                                        // Azure DevOps
	{"repository does not exist", ErrRepositoryMissing},
	{"not found in upstream", ErrBranchMissing},
	{"couldn't find remote ref", ErrBranchMissing},
	{"Could not resolve hostname", ErrNetwork},
	{"Connection refused", ErrNetwork},
	{"Connection timed out", ErrNetwork},
	{"Connection reset", ErrNetwork},
	{"Connection closed", ErrNetwork},
	{"Connection to ", ErrNetwork},
	{"No route to host", ErrNetwork},
	{"Network is unreachable", ErrNetwork},
	{"Operation timed out", ErrNetwork},
	{"banner exchange", ErrNetwork},
	{"kex_exchange_identification", ErrNetwork},
	{"Broken pipe", ErrNetwork},
	{"mux_client", ErrNetwork},
	{"not responding", ErrNetwork},
	{"hung up unexpectedly", ErrNetwork},
	{"early EOF", ErrNetwork},
	{"unexpected disconnect", ErrNetwork},
	{"Could not read from remote repository", ErrNetwork},
}

// moved is what servers answer to a push when somebody else was faster. Newer
// git says "reference already exists" of a branch that another push has locked.
var moved = []string{
	"fetch first", "non-fast-forward", "non-fast forward", "stale info", "failed to update ref",
	"cannot lock ref", "failed to lock", "incorrect old value", "lock failure", "remote ref updated since checkout",
	"reference already exists", "reference does not exist",
}

func kindOf(stderr string) error {
	for _, s := range said {
		if strings.Contains(stderr, s.text) {
			return s.kind
		}
	}
	return nil
}

func saysMoved(s string) bool {
	s = strings.ToLower(s)
	for _, m := range moved {
		if strings.Contains(s, m) {
			return true
		}
	}
	return false
}

// noise are lines that say nothing to a person who reads the error.
var noise = regexp.MustCompile(`^(|Please make sure you have the correct access rights|and the repository exists\.|Could not read from remote repository\.|@+|hint: .*|Cloning into .*|failed to push some refs to .*|Done|To .*|\*\* .*|Warning: Permanently added .*)$`)

// changedHostKey finds the fingerprint in ssh's warning of many lines.
var changedHostKey = regexp.MustCompile(`(?s)REMOTE HOST IDENTIFICATION HAS CHANGED.*(SHA256:[A-Za-z0-9+/]+)`)

// detail makes one bounded, printable line of what a command said.
func detail(stderr string) string {
	if m := changedHostKey.FindStringSubmatch(stderr); m != nil {
		return "the server's host key is not the known one, it now has " + m[1] + ": if the change is intended, replace the known one; if not, somebody may be in between"
	}
	var lines []string
	for line := range strings.Lines(stderr) {
		line = strings.Map(func(r rune) rune {
			if r == '\t' {
				return ' '
			}
			if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
				return -1
			}
			return r
		}, line)
		line = strings.TrimSpace(line)
		for _, p := range []string{"remote:", "fatal:", "error:", "ERROR:"} {
			line = strings.TrimSpace(strings.TrimPrefix(line, p))
		}
		if !noise.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return cut(strings.Join(lines, "; "), 400)
}

// cut bounds a text that others wrote, at a rune's edge.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
