package gitcli

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kainlite/gitops-operator/mask"
)

// The rules for a remote, in one place:
//
//	git@host:owner/repo.git            (scp-like)
//	ssh://user@host[:port]/path
//
// User and host are letters, digits, dots, hyphens and underscores, and begin
// with none of the characters that ssh would read as an option; a host may also
// be an IPv6 address in brackets. The path is printable and does not begin with
// a hyphen. Nothing else is accepted: no other transport, no password.
var (
	scpLike = regexp.MustCompile(`^([^@:/]+)@(\[[^\]]+\]|[^:/\[\]]+):(.+)$`)
	sshURL  = regexp.MustCompile(`^ssh://([^@/]+)@(\[[^\]]+\]|[^:/\[\]]+)(?::([0-9]+))?(/.+)$`)
	word    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	ipv6    = regexp.MustCompile(`^\[[0-9A-Fa-f:.]+\]$`)
)

// maxURL is more than any host allows, in bytes. A URL is part of many messages.
const maxURL = 1024

// Remote is a repository that is reached over SSH.
type Remote struct {
	url  string
	user string
	host string
	port string // empty: ssh's default
	path string // decoded, without a leading slash
}

// ParseRemote checks a repository's URL. Errors never repeat a password.
func ParseRemote(s string) (Remote, error) {
	const use = "use git@host:owner/repo.git or ssh://user@host:port/path"
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return Remote{}, errors.New("repository URL has unprintable characters: " + use)
	}
	if len(s) > maxURL {
		return Remote{}, fmt.Errorf("repository URL %s is longer than %d bytes: %s", redact(s), maxURL, use)
	}
	r, dir := Remote{url: s}, ""
	if m := sshURL.FindStringSubmatch(s); m != nil {
		r.user, r.host, r.port, dir = m[1], m[2], m[3], m[4]
		// git decodes the path of a URL, so what counts is what it decodes to.
		decoded, err := url.PathUnescape(dir)
		if err != nil || strings.ContainsFunc(decoded, unicode.IsControl) {
			return Remote{}, fmt.Errorf("repository URL %s has a bad percent-encoding in its path", redact(s))
		}
		dir = strings.TrimPrefix(decoded, "/")
	} else if m := scpLike.FindStringSubmatch(s); m != nil && !strings.Contains(s, "://") {
		r.user, r.host, dir = m[1], m[2], m[3]
	} else {
		return Remote{}, fmt.Errorf("repository URL %s is not an SSH URL: %s", redact(s), use)
	}
	if strings.Contains(r.user, ":") {
		return Remote{}, fmt.Errorf("repository URL %s carries a password: %s, with a key", redact(s), use)
	}
	if !word.MatchString(r.user) {
		return Remote{}, fmt.Errorf("repository URL %s has an invalid user name: %s", redact(s), use)
	}
	if !word.MatchString(r.host) && !ipv6.MatchString(r.host) {
		return Remote{}, fmt.Errorf("repository URL %s has an invalid host name: %s", redact(s), use)
	}
	if p, err := strconv.Atoi(r.port); r.port != "" && (err != nil || p < 1 || p > 65535) {
		return Remote{}, fmt.Errorf("repository URL %s has an invalid port: %s", redact(s), use)
	}
	if r.path = strings.TrimPrefix(dir, "/"); strings.HasPrefix(r.path, "-") {
		return Remote{}, fmt.Errorf("repository URL %s has a path that begins with a hyphen: %s", redact(s), use)
	}
	return r, nil
}

// String returns the URL as it was given; it holds no secret.
func (r Remote) String() string { return r.url }

// Host returns the host name, in lower case and without brackets.
func (r Remote) Host() string { return strings.ToLower(strings.Trim(r.host, "[]")) }

// Path returns the repository's path on the host, without a leading slash.
func (r Remote) Path() string { return r.path }

// Same says whether two URLs mean one repository, however they are written.
func (r Remote) Same(other Remote) bool { return r.canonical() == other.canonical() }

func (r Remote) canonical() [3]string {
	port := cmp.Or(r.port, "22")
	return [3]string{r.Host(), port, strings.TrimSuffix(strings.Trim(path.Clean(r.path), "/"), ".git")}
}

// redact quotes a URL for a message: without what may be a secret, and cut
// where it is long.
func redact(s string) string {
	s = mask.Value(s)
	if len(s) > 200 {
		s = s[:200] + "..."
	}
	return strconv.Quote(s)
}

// CheckBranch says whether git would accept a branch of that name: the rules of
// git-check-ref-format(1), no leading hyphen, and printable characters only.
func CheckBranch(name string) error {
	bad := func(why string) error { return fmt.Errorf("branch name %.100q %s", name, why) }
	switch {
	case name == "":
		return errors.New("branch name is empty")
	case len(name) > 240:
		return bad("is too long")
	case strings.HasPrefix(name, "-"):
		return bad("begins with a hyphen")
	case !utf8.ValidString(name):
		return bad("is not UTF-8")
	case name == "HEAD":
		return bad("is reserved by git")
	case strings.HasSuffix(name, "."):
		return bad("ends with a dot")
	}
	for _, s := range []string{"..", "@{", "//"} {
		if strings.Contains(name, s) {
			return bad("contains " + strconv.Quote(s))
		}
	}
	// git takes more than what is printable; people are shown it.
	if i := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(" ~^:?*[\\", r) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(name[i:])
		return bad("contains " + strconv.QuoteRune(r))
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return bad("begins or ends with a slash")
		case strings.HasPrefix(part, "."):
			return bad("has a part that begins with a dot")
		case strings.HasSuffix(part, ".lock"):
			return bad(`has a part that ends with ".lock"`)
		}
	}
	return nil
}
