package builds

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// parseAPI checks the API's URL. Errors repeat no part of it that may be a
// secret.
func parseAPI(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("parse GitHub API URL: it is not a URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("parse GitHub API URL: it may hold a host and a path only")
	case u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("parse GitHub API URL %q: want https://HOST[/PATH]", u)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("parse GitHub API URL %q: want https, as the token would be sent in clear", u)
	}
	return u.JoinPath("/"), nil
}

var nameOnly = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// validName says whether s may be the name of an owner or of a repository.
func validName(s string) bool { return nameOnly.MatchString(s) && s != "." && s != ".." }

// Repository says which GitHub repository an app repository's host and path
// name; ok is false when they name none, or one at a host that the API does not
// serve. It serves github.com (where it may be a proxy of GitHub's API) and its
// own host: ghe.example.com for https://ghe.example.com/api/v3, acme.ghe.com for
// https://api.acme.ghe.com, and all of the loopback for an API there.
func (c *Client) Repository(host, path string) (owner, name string, ok bool) {
	owner, name, _ = strings.Cut(strings.Trim(path, "/"), "/")
	name = strings.TrimSuffix(name, ".git")
	if !c.serves(host) || !validName(owner) || !validName(name) {
		return "", "", false
	}
	return owner, name, true
}

func (c *Client) serves(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	api := strings.ToLower(c.api.Hostname())
	switch host {
	case "github.com", "ssh.github.com": // the latter is GitHub's SSH at port 443
		return true
	case api, strings.TrimPrefix(api, "api."):
		return true
	}
	return loopback(api) && loopback(host)
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}
