package registry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Credentials are what a docker config file says, by registry. They print as
// nothing but their name. Nil is anonymous.
type Credentials struct {
	entries []entry // the most specific first
}

// entry is one of a docker config's "auths".
type entry struct {
	key  string // as written
	host string // may be a pattern such as "*.example.com"
	path string // repositories below it only; empty for all
	auth authn.AuthConfig
}

// ParseCredentials reads a docker config file, the content of a
// .dockerconfigjson or config.json. Each entry of "auths" is "auth" or
// "username" and "password", an "identitytoken" or a "registrytoken", under a
// registry's host, a pattern ("*.example.com"), or a host with the beginning of
// a path. It fails when the file holds no credentials: credential helpers are
// not run. Errors never repeat what the file says.
func ParseCredentials(dockerConfig []byte) (*Credentials, error) {
	var file struct {
		Auths       map[string]json.RawMessage `json:"auths"`
		CredsStore  json.RawMessage            `json:"credsStore"`
		CredHelpers json.RawMessage            `json:"credHelpers"`
	}
	var syntax *json.SyntaxError
	switch err := json.Unmarshal(dockerConfig, &file); {
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("parse docker config: not JSON at byte %d of %d", syntax.Offset, len(dockerConfig))
	case err != nil:
		return nil, errors.New(`parse docker config: it must be an object with "auths", an object of registries`)
	}
	c := &Credentials{}
	for key, raw := range file.Auths {
		e := entry{key: key}
		// Its errors may quote the file.
		if json.Unmarshal(raw, &e.auth) != nil {
			return nil, errors.New(`parse docker config: an entry of "auths" is malformed: "auth" must be the base64 form of USER:PASSWORD, and all values strings`)
		}
		if e.auth == (authn.AuthConfig{}) {
			continue // as docker leaves it behind when a helper has the credentials
		}
		e.host, e.path = splitKey(key)
		c.entries = append(c.entries, e)
	}
	if len(c.entries) == 0 {
		if file.CredsStore != nil || file.CredHelpers != nil {
			return nil, errors.New(`parse docker config: it holds no credentials but leaves them to a credential helper: put them into "auths"`)
		}
		return nil, errors.New(`parse docker config: it holds no credentials: put them into "auths"`)
	}
	slices.SortFunc(c.entries, func(a, b entry) int {
		return cmp.Or(
			cmp.Compare(len(b.path), len(a.path)),
			cmp.Compare(strings.Count(a.host, "*"), strings.Count(b.host, "*")),
			cmp.Compare(a.key, b.key))
	})
	return c, nil
}

// Resolve implements authn.Keychain: the most specific entry for a repository,
// or authn.Anonymous.
func (c *Credentials) Resolve(target authn.Resource) (authn.Authenticator, error) {
	if c == nil {
		return authn.Anonymous, nil
	}
	host := canonicalHost(target.RegistryStr())
	repository := strings.TrimPrefix(target.String(), target.RegistryStr()+"/")
	for _, e := range c.entries {
		if matchHost(e.host, host) && (e.path == "" || strings.HasPrefix(repository+"/", e.path+"/")) {
			return authn.FromConfig(e.auth), nil
		}
	}
	return authn.Anonymous, nil
}

// Format implements fmt.Formatter, so that no verb prints the content.
func (c *Credentials) Format(f fmt.State, _ rune) { io.WriteString(f, "registry credentials") }

// splitKey splits what docker config files call a registry: a host or a URL,
// perhaps with a path. Docker writes https://HOST/v1/ and /v2/ for all of HOST.
func splitKey(key string) (host, path string) {
	if _, rest, ok := strings.Cut(key, "://"); ok {
		key = rest
	}
	host, path, _ = strings.Cut(key, "/")
	if version, rest, _ := strings.Cut(path, "/"); version == "v1" || version == "v2" {
		path = rest
	}
	return canonicalHost(host), strings.Trim(path, "/")
}

// canonicalHost gives the many names of Docker Hub one.
func canonicalHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ":443")
	switch host {
	case "docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return name.DefaultRegistry
	}
	return host
}

// matchHost compares as Kubernetes does for pull secrets: label by label, "*"
// standing for a label or a part of one, and ports exactly.
func matchHost(pattern, host string) bool {
	if pattern == host {
		return true
	}
	patternLabels, patternPort := splitHost(pattern)
	labels, port := splitHost(host)
	return patternPort == port && slices.EqualFunc(patternLabels, labels, func(p, l string) bool {
		ok, err := path.Match(p, l)
		return ok && err == nil
	})
}

func splitHost(hostport string) (labels []string, port string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return strings.Split(host, "."), port
}
