// Package repository reads the URLs of git repositories, and says which of them
// mean the same repository. It touches nothing, and knows nothing of git's
// commands or of Kubernetes.
package repository

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kainlite/gitops-operator/mask"
)

// The rules for a URL, in one place:
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

// SSH is the scheme of a repository that is reached over SSH, however its URL
// is written.
const SSH = "ssh"

// defaultPorts are those that a URL need not name, by scheme.
var defaultPorts = map[string]string{SSH: "22"}

// URL is the address of a repository. URLs are comparable; whether two of them
// mean the same repository is what Key tells.
type URL struct {
	given  string
	scheme string
	user   string
	host   string // as it was given, an IPv6 address in brackets
	port   string // empty: the scheme's default
	path   string // decoded, without a leading slash
	key    Key
}

// Key names a repository, however its URL is written: ".git", a slash at the
// end, the user, the scheme, the scheme's default port and the letter case of
// the host make no difference. Another port is another server. Keys are
// comparable; the zero Key is that of no repository.
type Key string

// Parse checks a repository's URL. Errors never repeat a password.
func Parse(s string) (URL, error) {
	const use = "use git@host:owner/repo.git or ssh://user@host:port/path"
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return URL{}, errors.New("repository URL has unprintable characters: " + use)
	}
	if len(s) > maxURL {
		return URL{}, fmt.Errorf("repository URL %s is longer than %d bytes: %s", redact(s), maxURL, use)
	}
	u, dir := URL{given: s, scheme: SSH}, ""
	if m := sshURL.FindStringSubmatch(s); m != nil {
		u.user, u.host, u.port, dir = m[1], m[2], m[3], m[4]
		// git decodes the path of a URL, so what counts is what it decodes to.
		decoded, err := url.PathUnescape(dir)
		if err != nil || strings.ContainsFunc(decoded, unicode.IsControl) {
			return URL{}, fmt.Errorf("repository URL %s has a bad percent-encoding in its path", redact(s))
		}
		dir = strings.TrimPrefix(decoded, "/")
	} else if m := scpLike.FindStringSubmatch(s); m != nil && !strings.Contains(s, "://") {
		u.user, u.host, dir = m[1], m[2], m[3]
	} else {
		return URL{}, fmt.Errorf("repository URL %s is not an SSH URL: %s", redact(s), use)
	}
	if strings.Contains(u.user, ":") {
		return URL{}, fmt.Errorf("repository URL %s carries a password: %s, with a key", redact(s), use)
	}
	if !word.MatchString(u.user) {
		return URL{}, fmt.Errorf("repository URL %s has an invalid user name: %s", redact(s), use)
	}
	if !word.MatchString(u.host) && !ipv6.MatchString(u.host) {
		return URL{}, fmt.Errorf("repository URL %s has an invalid host name: %s", redact(s), use)
	}
	if p, err := strconv.Atoi(u.port); u.port != "" && (err != nil || p < 1 || p > 65535) {
		return URL{}, fmt.Errorf("repository URL %s has an invalid port: %s", redact(s), use)
	}
	if u.path = strings.TrimPrefix(dir, "/"); strings.HasPrefix(u.path, "-") {
		return URL{}, fmt.Errorf("repository URL %s has a path that begins with a hyphen: %s", redact(s), use)
	}
	u.key = u.canonical()
	return u, nil
}

// String returns the URL as it was given; it holds no secret.
func (u URL) String() string { return u.given }

// Scheme returns how the repository is reached: SSH.
func (u URL) Scheme() string { return u.scheme }

// User returns the user that the URL names.
func (u URL) User() string { return u.user }

// Host returns the host name, in lower case and without brackets.
func (u URL) Host() string { return strings.ToLower(strings.Trim(u.host, "[]")) }

// Port returns the port that the URL names, "" if it names none.
func (u URL) Port() string { return u.port }

// Path returns the repository's path on the host, without a leading slash.
func (u URL) Path() string { return u.path }

// Key returns what all URLs of the same repository have in common.
func (u URL) Key() Key { return u.key }

// Same says whether two URLs mean one repository, however they are written.
func (u URL) Same(other URL) bool { return u.key == other.key }

// Site returns the name of the website that belongs to the host: the host's,
// except for those that take SSH under another name.
func (u URL) Site() string { return site(u.Host()) }

func (u URL) canonical() Key {
	host, port := strings.TrimSuffix(u.Host(), "."), strings.TrimLeft(u.port, "0")
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	}
	switch {
	case port == defaultPorts[u.scheme]:
		port = ""
	case port == "443" && site(host) != host:
		host, port = site(host), "" // the other way to the same server
	}
	dir := trim(u.path)
	if foldsCase[host] && port == "" {
		dir = strings.ToLower(dir)
	}
	if port != "" {
		port = ":" + port
	}
	return Key(host + port + "/" + dir)
}

// trim takes off a path what makes no difference.
func trim(dir string) string {
	return strings.TrimSuffix(strings.Trim(path.Clean("/"+dir), "/"), ".git")
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
