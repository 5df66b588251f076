package repository

import (
	"net/url"
	"regexp"
	"strings"
)

// sshNames are names under which sites take SSH on port 443.
var sshNames = map[string]string{
	"ssh.github.com":       "github.com",
	"altssh.gitlab.com":    "gitlab.com",
	"altssh.bitbucket.org": "bitbucket.org",
}

// foldsCase are the sites that tell no upper from lower case in a path.
var foldsCase = map[string]bool{"github.com": true, "gitlab.com": true, "bitbucket.org": true, "codeberg.org": true}

func site(host string) string {
	if name, ok := sshNames[host]; ok {
		return name
	}
	return host
}

var looseSCP = regexp.MustCompile(`^(?:[^@:/]*@)?(\[[^\]]+\]|[^:/@\[\]]+):(.+)$`)

// Loose reduces any URL of a repository, also one that Parse does not accept, to
// host/path in lower case, for comparing what a git host says of itself with
// what people write: the port makes no difference either. It is false for what
// is no URL of a repository. Different repositories may come out the same, so
// nothing may be written because of it.
func Loose(raw string) (string, bool) {
	var host, dir string
	if strings.Contains(raw, "://") {
		u, err := url.Parse(raw)
		if err != nil {
			return "", false
		}
		host, dir = u.Hostname(), u.Path
	} else if m := looseSCP.FindStringSubmatch(raw); m != nil {
		host, dir = strings.Trim(m[1], "[]"), m[2]
	}
	dir = trim(dir)
	if host == "" || dir == "" {
		return "", false
	}
	return site(strings.ToLower(host)) + "/" + strings.ToLower(dir), true
}
