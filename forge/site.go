package forge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kind is the API that a host serves.
type Kind string

// The kinds of hosts. Forgejo serves Gitea's API.
const (
	GitHub    Kind = "github"
	GitLab    Kind = "gitlab"
	Gitea     Kind = "gitea"
	Bitbucket Kind = "bitbucket" // Bitbucket Cloud; its API is at bitbucket.org alone
)

// Repository is a repository at a host, as its git URL names it.
type Repository struct {
	Host string // HOST or HOST:PORT; without a port, the scheme's default one
	Path string // such as acme/manifests; ".git" and slashes around it make no difference
	// HTTPS says that the repository is reached over HTTPS, so that a port in
	// Host is HTTPS's, and not SSH's.
	HTTPS bool
}

func (r Repository) String() string { return r.Host + "/" + r.path() }

func (r Repository) path() string {
	return strings.TrimSuffix(strings.Trim(r.Path, "/"), ".git")
}

// Site is a host whose API is known.
type Site struct {
	Host string // HOST or HOST:PORT of git URLs, in lower case, without a default port
	Kind Kind
	api  *url.URL // ends with a slash; nil: at Host itself
}

// aliases are names under which hosts take SSH on port 443.
var aliases = map[string]string{
	"ssh.github.com":       "github.com",
	"altssh.gitlab.com":    "gitlab.com",
	"altssh.bitbucket.org": "bitbucket.org",
}

// knownSites are the hosts that need no flag.
var knownSites = []Site{
	{Host: "github.com", Kind: GitHub, api: &url.URL{Scheme: "https", Host: "api.github.com", Path: "/"}},
	{Host: "gitlab.com", Kind: GitLab},
	{Host: "codeberg.org", Kind: Gitea},
	{Host: "bitbucket.org", Kind: Bitbucket, api: &url.URL{Scheme: "https", Host: "api.bitbucket.org", Path: "/2.0/"}},
}

// apiPaths are where the kinds serve their API on a host of their own.
var apiPaths = map[Kind]string{GitHub: "/api/v3/", GitLab: "/api/v4/", Gitea: "/api/v1/"}

// siteUsage is the form of the flag, for errors.
const siteUsage = "want HOST[:PORT]=github|gitlab|gitea[@API-URL]"

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// ParseSite reads the value of --forge, HOST[:PORT]=github|gitlab|gitea[@API-URL].
// HOST and PORT are those of git URLs; an entry without a port is for the
// default ports. Without API-URL, the API is looked for at HOST, in the place
// that is usual for its kind; so it is when API-URL has no path. Errors repeat
// no part of the URL that may be a secret.
func ParseSite(s string) (Site, error) {
	host, rest, ok := strings.Cut(s, "=")
	if !ok {
		return Site{}, fmt.Errorf("parse %.200q: no kind of host: %s", withoutUser(s), siteUsage)
	}
	kind, api, hasAPI := strings.Cut(rest, "@")
	site := Site{Kind: Kind(kind)}
	var err error
	if site.Host, err = parseHost(host); err != nil {
		return Site{}, fmt.Errorf("parse %.200q: %w: %s", host, err, siteUsage)
	}
	if apiPaths[site.Kind] == "" {
		if slices.Contains([]string{"forgejo", "gogs", "codeberg"}, kind) {
			return Site{}, fmt.Errorf("parse the kind of %s: %q is called gitea here: %s", site.Host, kind, siteUsage)
		}
		return Site{}, fmt.Errorf("parse the kind of %s: %.100q is not known: %s", site.Host, kind, siteUsage)
	}
	if hasAPI {
		if site.api, err = parseAPI(site.Kind, api); err != nil {
			return Site{}, fmt.Errorf("parse the API URL of %s: %w", site.Host, err)
		}
	}
	return site, nil
}

// withoutUser cuts what may be a password from what should have been a flag.
func withoutUser(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

// parseHost returns HOST or HOST:PORT in its canonical form.
func parseHost(s string) (string, error) {
	name, port := s, ""
	if strings.ContainsAny(s, "/@") {
		return "", errors.New("want a host, and not a URL")
	}
	if h, p, err := net.SplitHostPort(s); err == nil {
		name, port = h, p
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
			return "", errors.New("the port is not a number from 1 to 65535")
		}
	}
	name = strings.Trim(name, "[]")
	if _, err := netip.ParseAddr(name); err != nil && !hostName.MatchString(name) {
		return "", errors.New("it is not the name of a host")
	}
	return joinHost(strings.ToLower(name), port), nil
}

func joinHost(name, port string) string {
	switch {
	case port != "":
		return net.JoinHostPort(name, port)
	case strings.Contains(name, ":"):
		return "[" + name + "]"
	}
	return name
}

// parseAPI checks an API's URL.
func parseAPI(kind Kind, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("it may hold a scheme, a host and a path only; tokens belong into a Secret")
	case u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%.200q is not of the form https://HOST[/PATH]", s)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%.200q: want https, as tokens would be sent in clear", s)
	}
	u.Host = strings.ToLower(u.Host)
	if strings.Trim(u.Path, "/") == "" && !strings.HasPrefix(u.Host, "api.") {
		u.Path = apiPaths[kind]
	}
	u = u.JoinPath("/")
	// The clients of these two add the path by themselves.
	if want := apiPaths[kind]; kind != GitHub && !strings.HasSuffix(u.Path, want) {
		return nil, fmt.Errorf("%.200q: the path of %s's API ends with %s", s, kind, strings.TrimSuffix(want, "/"))
	}
	return u, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// site finds the host of a repository. What the flags say comes first, so that
// a known host can be given another API.
func (f *Forges) site(r Repository) (Site, error) {
	host, err := parseHost(r.Host)
	if err != nil {
		return Site{}, fmt.Errorf("look up the host of %.200q: %w", r.Host, err)
	}
	name, port := host, ""
	if h, p, err := net.SplitHostPort(host); err == nil {
		name, port = h, p
	}
	if alias, ok := aliases[name]; ok && (port == "" || port == "443") {
		name, port = alias, ""
	}
	if port == "22" && !r.HTTPS || port == "443" && r.HTTPS {
		port = ""
	}
	host = joinHost(strings.Trim(name, "[]"), port)
	for _, s := range slices.Concat(f.sites, knownSites) {
		if s.Host != host {
			continue
		}
		if s.api == nil {
			s.api = defaultAPI(s.Kind, name, port, r.HTTPS)
		}
		return s, nil
	}
	e := &Error{Host: host, Repository: r.path(), Doing: "find the API of %[1]s, for %[2]s", Kind: ErrUnknownHost,
		hint: "say what it is with --forge " + host + "=github|gitlab|gitea[@API-URL]"}
	for _, s := range f.sites {
		if n, _, _ := net.SplitHostPort(s.Host); s.Host == name || n == name {
			e.Detail = "--forge names " + s.Host + ", and another port is another server"
		}
	}
	return Site{}, e
}

// defaultAPI is where the API is when no flag says so: at the same server for
// HTTPS, at the usual port of HTTPS for a host that is reached over SSH.
func defaultAPI(kind Kind, name, port string, https bool) *url.URL {
	if !https {
		port = ""
	}
	if kind == GitHub && strings.HasSuffix(name, ".ghe.com") {
		return &url.URL{Scheme: "https", Host: "api." + name, Path: "/"}
	}
	return &url.URL{Scheme: "https", Host: joinHost(strings.Trim(name, "[]"), port), Path: apiPaths[kind]}
}

// web is the root of the pages that people look at.
func (s Site) web() *url.URL {
	switch {
	case s.Host == "github.com" || s.Host == "bitbucket.org":
		return &url.URL{Scheme: "https", Host: s.Host, Path: "/"}
	case s.Kind == GitHub && strings.HasPrefix(s.api.Host, "api."):
		return &url.URL{Scheme: s.api.Scheme, Host: strings.TrimPrefix(s.api.Host, "api."), Path: "/"}
	}
	u := *s.api
	u.Path = strings.TrimSuffix(u.Path, strings.TrimPrefix(apiPaths[s.Kind], "/"))
	return &u
}
