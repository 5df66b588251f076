package webhook

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

var scpLike = regexp.MustCompile(`^(?:[^@:/]*@)?(\[[^\]]+\]|[^:/@\[\]]+):(.+)$`)

// Names under which hosts take SSH on port 443.
var aliases = map[string]string{
	"ssh.github.com":       "github.com",
	"altssh.gitlab.com":    "gitlab.com",
	"altssh.bitbucket.org": "bitbucket.org",
}

// identity reduces a repository's URL to host/path. It is false for what is
// none. The large hosts tell no upper from lower case in a path, and where
// another does, at worst a pass finds nothing to do.
func identity(raw string) (string, bool) {
	var host, dir string
	if strings.Contains(raw, "://") {
		u, err := url.Parse(raw)
		if err != nil {
			return "", false
		}
		host, dir = u.Hostname(), u.Path
	} else if m := scpLike.FindStringSubmatch(raw); m != nil {
		host, dir = strings.Trim(m[1], "[]"), m[2]
	}
	dir = strings.TrimSuffix(strings.Trim(path.Clean("/"+dir), "/"), ".git")
	if host == "" || dir == "" {
		return "", false
	}
	host = strings.ToLower(host)
	if name, ok := aliases[host]; ok {
		host = name
	}
	return host + "/" + strings.ToLower(dir), true
}
