package mask

import (
	"strings"
	"testing"
)

func TestValue(t *testing.T) {
	for text, want := range map[string]string{
		"":                                               "",
		"kainlite/blog":                                  "kainlite/blog",
		"kainlite/blog:v1@sha256:0123":                   "kainlite/blog:v1@sha256:0123",
		"host:5000/kainlite/blog@sha256:0123":            "host:5000/kainlite/blog@sha256:0123",
		"git@github.com:kainlite/blog.git":               "git@github.com:kainlite/blog.git",
		"ssh://git@host:22/x.git":                        "ssh://git@host:22/x.git",
		"https://index.docker.io/v1/":                    "https://index.docker.io/v1/",
		"https://host:8443/v1/?":                         "https://host:8443/v1/?",
		"https://host/x@v1":                              "https://***@v1", // better too much
		"https://me:hunter2@host/x":                      "https://***@host/x",
		"https://me:hunter2@host:8080/x":                 "https://***@host:8080/x",
		"HTTPS://hunter2@host/x":                         "HTTPS://***@host/x",
		"https://me:hunt@er/2@host/x":                    "https://***@host/x",
		`https://me:hunt"er 2@host/x`:                    "https://***@host/x",
		"https://me:hunter2@":                            "https://***@",
		"ssh://git:hunter2@host/x":                       "ssh://git:***@host/x",
		`ssh://git:hunt" er2@host/x`:                     "ssh://git:***@host/x",
		"git+ssh://git:hunter2@host/x":                   "git+ssh://***@host/x",
		"git:hunter2@host:x":                             "git:***@host:x",
		"git:hunt er/2@host:x":                           "git:***@host:x",
		"https://host/x?private_token=hunter2":           "https://host/x?***",
		"https://host/x?a=1&token=hunter2#frag":          "https://host/x?***#frag",
		"https://me:hunter2@host/x?token=hunter2":        "https://***@host/x?***",
		"https://hooks.slack.com/services/T0/B0/hunter2": "https://hooks.slack.com/services/***",
		"ghp_0123456789abcdefghij0123456789abcdef":       "***",
		"github_pat_11AAAAAAA0123456789_abcdefghijk":     "***",
		"glpat-0123456789abcdefghij":                     "***",
		"xoxb-123456789012-abcdef":                       "***",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n": "***",
		"see https://me:hunter2@host/x":                  "see https://***@host/x",
	} {
		if got := Value(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		"invalid: default/blog: ask me@host": "invalid: default/blog: ask me@host",
		`{"a":"https://me:hunter2@h/x","b":"a@b"}`:                             `{"a":"https://***@b"}`, // better too much
		`clone "https://me:hunter2@host/x.git" failed: ask admin@x.org`:        `clone "https://***@host/x.git" failed: ask admin@x.org`,
		`from https://a:hunter2@host to ssh://b:hunter2@host, then git@host:x`: `from https://***@host to ssh://b:***@host, then git@host:x`,
		"https://a:hunter2@x,https://b:hunter2@y":                              "https://***@x,https://***@y",
		"https://a:hunter2@x and https://host/?token=hunter2 or so":            "https://***@x and https://host/?*** or so",
		`URL "git:hunter2@host:x" is not an SSH URL: use git@host:x`:           `URL "git:***@host:x" is not an SSH URL: use git@host:x`,
		`image "blog:v1@sha256:0123" has a digest`:                             `image "blog:v1@sha256:0123" has a digest`,
		"token ghp_0123456789abcdefghij0123456789abcdef is one":                "token *** is one",
	} {
		if got := Text(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// Whatever the password, and whatever stands around the URL, it is masked.
func FuzzMask(f *testing.F) {
	for _, s := range []string{"", "x", " ", `"`, "/", "://", "?a=b", "@", "git@host:", "ssh://"} {
		f.Add(s, s, s)
	}
	f.Fuzz(func(t *testing.T, before, inside, after string) {
		const planted = "hunter2"
		if strings.Contains(before+inside+after, planted) {
			return
		}
		// All of a text:
		for _, scheme := range []string{"https://me:", "ssh://me:", "https://"} {
			if got := Value(scheme + inside + planted + inside + "@host/x"); strings.Contains(got, planted) {
				t.Errorf("%q", got)
			}
		}
		// In a text, no password has a space.
		inside = strings.Map(func(r rune) rune {
			if strings.ContainsRune(" \t\r\n:", r) {
				return 'x'
			}
			return r
		}, inside)
		if got := Text(before + " https://me:" + inside + planted + inside + "@host/x " + after); strings.Contains(got, planted) {
			t.Errorf("%q", got)
		}
	})
}
