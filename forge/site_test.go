package forge

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestSites(t *testing.T) {
	for flag, want := range map[string]string{
		"git.example.com=gitea":                              "git.example.com gitea <nil>",
		"GIT.example.com:2222=gitea":                         "git.example.com:2222 gitea <nil>",
		"git.example.com=gitlab@https://api.example.com/git": "E",
		"git.example.com=gitlab@https://git.example.com":     "git.example.com gitlab https://git.example.com/api/v4/",
		"git.example.com=gitea@https://x.com/sub/api/v1/":    "git.example.com gitea https://x.com/sub/api/v1/",
		"ghe.example.com=github@https://ghe.example.com":     "ghe.example.com github https://ghe.example.com/api/v3/",
		"x.com=github@https://api.acme.ghe.com":              "x.com github https://api.acme.ghe.com/",
		"x.com=github@https://proxy.example.com/gh":          "x.com github https://proxy.example.com/gh/",
		"127.0.0.1:3000=gitea@http://127.0.0.1:3000":         "127.0.0.1:3000 gitea http://127.0.0.1:3000/api/v1/",
		"[::1]:3000=gitea@http://[::1]:3000/api/v1":          "[::1]:3000 gitea http://[::1]:3000/api/v1/",
		"git.example.com":                                    `parse "git.example.com": no kind of host: want HOST[:PORT]=github|gitlab|gitea[@API-URL]`,
		"git.example.com=forgejo":                            `parse the kind of git.example.com: "forgejo" is called gitea here: want HOST[:PORT]=github|gitlab|gitea[@API-URL]`,
		"git.example.com=bitbucket":                          `parse the kind of git.example.com: "bitbucket" is not known: want HOST[:PORT]=github|gitlab|gitea[@API-URL]`,
		"https://git.example.com=gitea":                      `parse "https://git.example.com": want a host, and not a URL: want HOST[:PORT]=github|gitlab|gitea[@API-URL]`,
		"git.example.com:0=gitea":                            `parse "git.example.com:0": the port is not a number from 1 to 65535: want HOST[:PORT]=github|gitlab|gitea[@API-URL]`,
		"git.example.com:22a=gitea":                          `parse "git.example.com:22a": the port is not a number from 1 to 65535: want HOST[:PORT]=github|gitlab|gitea[@API-URL]`,
		"=gitea":                                             `parse "": it is not the name of a host: want HOST[:PORT]=github|gitlab|gitea[@API-URL]`,
		"x.com=gitea@http://x.com":                           `parse the API URL of x.com: "http://x.com": want https, as tokens would be sent in clear`,
		"x.com=gitea@ftp://x.com":                            `parse the API URL of x.com: "ftp://x.com" is not of the form https://HOST[/PATH]`,
		"x.com=gitea@https://me:secret@x.com":                "parse the API URL of x.com: it may hold a scheme, a host and a path only; tokens belong into a Secret",
		"x.com=gitea@https://x.com/api/v1?token=secret":      "parse the API URL of x.com: it may hold a scheme, a host and a path only; tokens belong into a Secret",
		"x.com=gitea@https://x.com/api/v2":                   `parse the API URL of x.com: "https://x.com/api/v2": the path of gitea's API ends with /api/v1`,
	} {
		site, err := ParseSite(flag)
		got := fmt.Sprint(site.Host, " ", site.Kind, " ", site.api)
		if err != nil {
			got = err.Error()
			if strings.Contains(got, "secret") {
				t.Errorf("%s: a secret in %s", flag, got)
			}
		}
		if want == "E" && err != nil {
			continue
		}
		equal(t, flag, got, want)
	}
}

func FuzzSites(f *testing.F) {
	f.Add("git.example.com:22=gitea@https://x/api/v1")
	f.Add("[::1]=gitlab")
	f.Fuzz(func(t *testing.T, s string) {
		site, err := ParseSite(s)
		if err != nil {
			return
		}
		if site.api != nil && site.api.Scheme != "https" && !loopback(site.api.Hostname()) {
			t.Errorf("%q: %s", s, site.api)
		}
		forges, err := New(Options{Sites: []Site{site}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := forges.At(Repository{Host: site.Host, Path: "a/b"}, Credential{}); err != nil && !strings.HasSuffix(site.Host, ":22") {
			t.Errorf("%q: the host that it names is not found: %v", s, err)
		}
	})
}

func TestHostsAreFound(t *testing.T) {
	var sites []Site
	for _, flag := range []string{"git.example.com=gitea", "git.example.com:2222=gitlab", "git.example.com:8443=github@https://git.example.com:9443/api/v3", "acme.ghe.com=github"} {
		site, err := ParseSite(flag)
		must(t, err)
		sites = append(sites, site)
	}
	forges, err := New(Options{Sites: sites})
	must(t, err)
	for _, test := range []struct {
		host  string
		https bool
		want  string // kind, API and page of a commit
	}{
		{"github.com", false, "github https://api.github.com/ https://github.com/acme/web/commit/" + sha},
		{"GitHub.com", true, "github https://api.github.com/ https://github.com/acme/web/commit/" + sha},
		{"ssh.github.com:443", false, "github https://api.github.com/ https://github.com/acme/web/commit/" + sha},
		{"github.com:22", false, "github https://api.github.com/ https://github.com/acme/web/commit/" + sha},
		{"gitlab.com", true, "gitlab https://gitlab.com/api/v4/ https://gitlab.com/acme/web/-/commit/" + sha},
		{"altssh.gitlab.com", false, "gitlab https://gitlab.com/api/v4/ https://gitlab.com/acme/web/-/commit/" + sha},
		{"codeberg.org", false, "gitea https://codeberg.org/api/v1/ https://codeberg.org/acme/web/commit/" + sha},
		{"bitbucket.org", false, "bitbucket https://api.bitbucket.org/2.0/ https://bitbucket.org/acme/web/commits/" + sha},
		{"git.example.com", false, "gitea https://git.example.com/api/v1/ https://git.example.com/acme/web/commit/" + sha},
		{"git.example.com:443", true, "gitea https://git.example.com/api/v1/ https://git.example.com/acme/web/commit/" + sha},
		{"git.example.com:2222", false, "gitlab https://git.example.com/api/v4/ https://git.example.com/acme/web/-/commit/" + sha},
		{"git.example.com:2222", true, "gitlab https://git.example.com:2222/api/v4/ https://git.example.com:2222/acme/web/-/commit/" + sha},
		{"git.example.com:8443", true, "github https://git.example.com:9443/api/v3/ https://git.example.com:9443/acme/web/commit/" + sha},
		{"acme.ghe.com", false, "github https://api.acme.ghe.com/ https://acme.ghe.com/acme/web/commit/" + sha},
	} {
		r := Repository{Host: test.host, Path: "/acme/web.git", HTTPS: test.https}
		client, err := forges.At(r, Token("t"))
		must(t, err)
		equal(t, test.host, fmt.Sprint(client.Kind(), " ", client.site.api, " ", forges.CommitURL(r, sha)), test.want)
	}
	for host, want := range map[string]string{
		"git.example.com:22":   "",
		"git.example.com:2200": "find the API of git.example.com:2200, for acme/web: host not known: --forge names git.example.com:8443, and another port is another server (say what it is with --forge git.example.com:2200=github|gitlab|gitea[@API-URL])",
		"evil-github.com":      "find the API of evil-github.com, for acme/web: host not known (say what it is with --forge evil-github.com=github|gitlab|gitea[@API-URL])",
		"github.com:2222":      "find the API of github.com:2222, for acme/web: host not known (say what it is with --forge github.com:2222=github|gitlab|gitea[@API-URL])",
	} {
		_, err := forges.At(Repository{Host: host, Path: "acme/web"}, Token("t"))
		if want == "" {
			must(t, err)
			continue
		}
		isError(t, err, ErrUnknownHost, want)
	}
	equal(t, "no page", forges.CommitURL(Repository{Host: "x.com", Path: "a/b"}, sha), "")
	equal(t, "no compare", forges.CompareURL(Repository{Host: "github.com", Path: "a/b"}, "v1", sha), "")
	equal(t, "compare", forges.CompareURL(Repository{Host: "gitlab.com", Path: "g/sub/web"}, other, sha), "https://gitlab.com/g/sub/web/-/compare/"+other+"..."+sha)
}

func TestClientsAreShared(t *testing.T) {
	forges, err := New(Options{})
	must(t, err)
	at := func(host string, c Credential) *Client {
		client, err := forges.At(Repository{Host: host, Path: "a/b"}, c)
		must(t, err)
		return client
	}
	equal(t, "same host and token", at("github.com", Token("x")) == at("ssh.github.com", Token(" x\n")), true)
	equal(t, "another token", at("github.com", Token("x")) == at("github.com", Token("y")), false)
	equal(t, "another host", at("github.com", Token("x")) == at("gitlab.com", Token("x")), false)
	equal(t, "another user", at("codeberg.org", Password("a", "x")) == at("codeberg.org", Password("b", "x")), false)
}

func TestTheSameHostTwiceIsAnError(t *testing.T) {
	site, _ := ParseSite("x.com=gitea")
	if _, err := New(Options{Sites: []Site{site, site}}); err == nil || !strings.Contains(err.Error(), "x.com is there twice") {
		t.Error(err)
	}
}

func TestPathsThatNoRepositoryHas(t *testing.T) {
	for _, path := range []string{"", "a", "a/b/c", "../b", "a/..", "a/b?x", "a/b#x", "a/%2e%2e", "a//b", "a/b c", "a/\n"} {
		onFake(t, GitHub, func(t *testing.T, h *host) {
			_, err := h.client.Open(t.Context(), Repository{Host: "git.example.com", Path: path})
			if _, ok := errors.AsType[*Error](err); err == nil || ok {
				t.Errorf("%q: %v", path, err)
			}
			equal(t, "requests", h.requests(), 0)
		})
	}
}
