package webhook

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const (
	secret = "planted-s3cret"

	// What the hosts send, shortened.
	githubPush = `{"ref":"refs/heads/master","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5","created":false,"deleted":false,
 "repository":{"id":186853002,"full_name":"Kainlite/Blog","owner":{"name":"kainlite"},"html_url":"https://github.com/Kainlite/Blog","url":"https://github.com/Kainlite/Blog",
 "git_url":"git://github.com/Kainlite/Blog.git","ssh_url":"git@github.com:Kainlite/Blog.git","clone_url":"https://github.com/Kainlite/Blog.git"},"commits":[{"id":"59b2"}]}`
	gitlabPush = `{"object_kind":"push","event_name":"push","before":"95790bf8","after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","ref":"refs/heads/master","checkout_sha":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
 "project":{"id":15,"name":"Diaspora","web_url":"https://gitlab.example/group/sub/blog","git_ssh_url":"ssh://git@gitlab.example:2222/group/sub/blog.git","git_http_url":"https://gitlab.example/group/sub/blog.git","path_with_namespace":"group/sub/blog"},
 "repository":{"name":"Diaspora","url":"ssh://git@gitlab.example:2222/group/sub/blog.git","git_http_url":"https://gitlab.example/group/sub/blog.git"}}`
	giteaPush = `{"ref":"refs/heads/feature/x","before":"28e1879d","after":"bffeb74224043ba2feb48d137756c8a9331c449a","compare_url":"https://git.example:3000/kainlite/blog/compare",
 "repository":{"id":140,"full_name":"kainlite/blog","html_url":"https://git.example:3000/kainlite/blog","ssh_url":"ssh://git@git.example:2222/kainlite/blog.git","clone_url":"https://git.example:3000/kainlite/blog.git"}}`
)

func sign(body, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func header(pairs ...string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// signed is a header as GitHub sends it.
func signed(body string) http.Header {
	return header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+sign(body, secret))
}

func TestPushesOfEveryHost(t *testing.T) {
	form := "payload=" + url.QueryEscape(githubPush)
	hub := "sha256=" + sign(giteaPush, secret)
	for _, test := range []struct {
		name               string
		header             http.Header
		body               string
		repository, branch string
	}{
		{"GitHub", signed(githubPush), githubPush, "github.com/kainlite/blog", "master"},
		{"GitHub, form", header("Content-Type", "application/x-www-form-urlencoded", "X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+sign(form, secret)), form, "github.com/kainlite/blog", "master"},
		{"GitHub, charset", header("Content-Type", "application/json; charset=utf-8", "X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+sign(githubPush, secret)), githubPush, "github.com/kainlite/blog", "master"},
		{"GitLab", header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", secret), gitlabPush, "gitlab.example/group/sub/blog", "master"},
		{"GitLab, system hook", header("X-Gitlab-Event", "System Hook", "X-Gitlab-Token", secret), gitlabPush, "gitlab.example/group/sub/blog", "master"},
		{"Gitea", header("X-Gitea-Event", "push", "X-GitHub-Event", "push", "X-Gitea-Signature", sign(giteaPush, secret), "X-Hub-Signature-256", hub), giteaPush, "git.example/kainlite/blog", "feature/x"},
		{"Gitea, of its own", header("X-Gitea-Event", "push", "X-Gitea-Signature", sign(giteaPush, secret)), giteaPush, "git.example/kainlite/blog", "feature/x"},
		{"Forgejo, of its own", header("X-Forgejo-Event", "push", "X-Forgejo-Signature", sign(giteaPush, secret)), giteaPush, "git.example/kainlite/blog", "feature/x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := Read(test.header, []byte(test.body), secret)
			if err != nil || e.Push == nil {
				t.Fatalf("%+v, %v", e, err)
			}
			if e.Push.Repository != test.repository || e.Push.Branch != test.branch || e.Ignored != "" {
				t.Errorf("got %+v", e.Push)
			}
			if !e.Push.Of("https://" + test.repository) {
				t.Error("is not of itself")
			}
		})
	}
}

func TestWhoDoesNotKnowTheSecretIsRefused(t *testing.T) {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(githubPush))
	old := "sha1=" + hex.EncodeToString(mac.Sum(nil))
	good := sign(githubPush, secret)
	for name, h := range map[string]http.Header{
		"no signature":          header("X-GitHub-Event", "push"),
		"only the old one":      header("X-GitHub-Event", "push", "X-Hub-Signature", old),
		"the old in the new":    header("X-GitHub-Event", "push", "X-Hub-Signature-256", old),
		"another secret":        header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+sign(githubPush, "other")),
		"no secret":             header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+sign(githubPush, "")),
		"of another body":       header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+sign(giteaPush, secret)),
		"without prefix":        header("X-GitHub-Event", "push", "X-Hub-Signature-256", good),
		"unknown hash":          header("X-GitHub-Event", "push", "X-Hub-Signature-256", "md5="+good),
		"no hexadecimal":        header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256=zz"),
		"half":                  header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+good[:32]),
		"empty":                 header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="),
		"Gitea, wrong":          header("X-Gitea-Event", "push", "X-Gitea-Signature", sign(githubPush, "other")),
		"Forgejo, wrong":        header("X-Forgejo-Event", "push", "X-Forgejo-Signature", sign(githubPush, "other")),
		"GitLab, wrong":         header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", "other"),
		"GitLab, more":          header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", secret+"x"),
		"GitLab, none":          header("X-Gitlab-Event", "Push Hook"),
		"wrong token, good sig": header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", "other", "X-Hub-Signature-256", "sha256="+good),
	} {
		if e, err := Read(h, []byte(githubPush), secret); !errors.Is(err, ErrUnsigned) || e != (Event{}) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	// Without a secret, nobody is let in, rather than everybody.
	for name, h := range map[string]http.Header{
		"signed": header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+sign(githubPush, "")),
		"token":  header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", " "),
	} {
		if e, err := Read(h, []byte(githubPush), ""); !errors.Is(err, ErrUnsigned) || e != (Event{}) {
			t.Errorf("without a secret, %s: %+v, %v", name, e, err)
		}
	}
}

func TestOtherEventsAreIgnoredWithAReason(t *testing.T) {
	const repo = `"repository":{"clone_url":"https://github.com/a/b"}`
	for _, test := range []struct{ event, body, want string }{
		{"ping", `{"zen":"Speak like a human.","hook_id":1,` + repo + `}`, `the event is "ping": only a push starts a pass`},
		{"pull_request", `{` + repo + `}`, `the event is "pull_request": only a push starts a pass`},
		{"push", `{"ref":"refs/tags/v1","after":"1",` + repo + `}`, `"refs/tags/v1" is not a branch`},
		{"push", `{"ref":"refs/heads/","after":"1",` + repo + `}`, `"refs/heads/" is not a branch`},
		{"push", `{"ref":"refs/heads/x","after":"1","deleted":true,` + repo + `}`, `the branch "x" was deleted`},
		{"push", `{"ref":"refs/heads/x","after":"0000000000000000000000000000000000000000",` + repo + `}`, `the branch "x" was deleted`},
	} {
		h := signed(test.body)
		h.Set("X-GitHub-Event", test.event)
		if e, err := Read(h, []byte(test.body), secret); err != nil || e.Push != nil || e.Ignored != test.want {
			t.Errorf("%s: %+v, %v", test.body, e, err)
		}
	}
	for body, want := range map[string]string{
		`{"object_kind":"tag_push","ref":"refs/tags/v1"}`:                                                                    `the event is "tag_push": only a push starts a pass`,
		`{"object_kind":"push","after":"0000000000000000000000000000000000000000","ref":"refs/heads/x","checkout_sha":null}`: `the branch "x" was deleted`,
	} {
		if e, err := Read(header("X-Gitlab-Token", secret), []byte(body), secret); err != nil || e.Push != nil || e.Ignored != want {
			t.Errorf("%s: %+v, %v", body, e, err)
		}
	}
}

func TestWhatIsNoWebhookIsSaid(t *testing.T) {
	for body, want := range map[string]string{
		"":                            "the body is not its JSON",
		"null":                        "names no branch",
		"[]":                          "the body is not its JSON",
		`{"ref":1}`:                   "the body is not its JSON",
		`{"ref":"refs/heads/master"}`: "names no repository",
		`{"ref":"refs/heads/master","repository":{"clone_url":"x","ssh_url":"://","html_url":"https://"}}`: "names no repository",
		`{}`:                         "names no branch",
		strings.Repeat("[", 100_000): "the body is not its JSON",
	} {
		if e, err := Read(signed(body), []byte(body), secret); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), want) || e != (Event{}) {
			t.Errorf("%.50s: %+v, %v, want %q", body, e, err, want)
		}
	}
	h := signed(githubPush)
	h.Del("X-GitHub-Event")
	if _, err := Read(h, []byte(githubPush), secret); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "which event") {
		t.Error(err)
	}
	h = signed(githubPush)
	h.Set("Content-Type", "text/plain")
	if _, err := Read(h, []byte(githubPush), secret); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "content type") {
		t.Error(err)
	}
}

func TestRepositoriesAreTheSameHoweverTheyAreWritten(t *testing.T) {
	body := `{"ref":"refs/heads/master","repository":{"clone_url":"https://git.example:3000/Kainlite/Blog.git"}}`
	e, err := Read(signed(body), []byte(body), secret)
	if err != nil {
		t.Fatal(err)
	}
	for u, want := range map[string]bool{
		"git@git.example:kainlite/blog.git":           true,
		"git@GIT.example:kainlite/blog":               true,
		"git@git.example:/kainlite/blog.git/":         true,
		"someone@git.example:kainlite/blog.git":       true,
		"git.example:kainlite/blog.git":               true,
		"ssh://git@git.example/kainlite/blog.git":     true,
		"ssh://git@git.example:2222//kainlite/blog":   true,
		"ssh://git@git.example:22/kainlite/%62log":    true,
		"https://git.example/kainlite/blog":           true,
		"git@git.example:kainlite/blog-api.git":       false,
		"git@git.example:kainlite/blo":                false,
		"git@git.example:blog.git":                    false,
		"git@git.example:other/kainlite/blog.git":     false,
		"git@evil.git.example:kainlite/blog.git":      false,
		"git@git.example.evil:kainlite/blog.git":      false,
		"ssh://git@other/git.example/kainlite/blog":   false,
		"ssh://git.example@other/kainlite/blog":       false,
		"https://other/?https://git.example/kainlite": false,
		"":          false,
		"/":         false,
		"blog":      false,
		"ssh://[::": false,
	} {
		if got := e.Push.Of(u); got != want {
			t.Errorf("%q: %v", u, got)
		}
	}
}

// Nothing that is not signed is a push, whatever it is; what is signed is an
// event or an error, and never a panic.
func FuzzParse(f *testing.F) {
	for _, body := range []string{githubPush, gitlabPush, giteaPush, "payload=" + url.QueryEscape(githubPush), "{", "null", `{"ref":"refs/heads/x","repository":{"ssh_url":"git@[::1]:x"}}`} {
		for _, kind := range []string{"application/json", "application/x-www-form-urlencoded"} {
			f.Add([]byte(body), "push", kind, "sha256=00")
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, event, kind, forged string) {
		for _, name := range []string{"X-Hub-Signature-256", "X-Gitea-Signature", "X-Forgejo-Signature", "X-Gitlab-Token"} {
			if e, err := Read(header("Content-Type", kind, "X-GitHub-Event", event, name, forged), body, secret); !errors.Is(err, ErrUnsigned) && forged != secret && forged != "sha256="+sign(string(body), secret) {
				t.Errorf("%s: %q is taken: %+v, %v", name, forged, e, err)
			}
		}
		for _, h := range []http.Header{
			header("Content-Type", kind, "X-GitHub-Event", event, "X-Hub-Signature-256", "sha256="+sign(string(body), secret)),
			header("Content-Type", kind, "X-Gitlab-Token", secret),
		} {
			e, err := Read(h, body, secret)
			if outcomes := fmt.Sprint(err != nil, e.Push != nil, e.Ignored != ""); strings.Count(outcomes, "true") != 1 {
				t.Fatalf("%s: %+v, %v", outcomes, e, err)
			}
			if err != nil && !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
			if e.Push != nil && (e.Push.Branch == "" || e.Push.Repository == "") {
				t.Errorf("%+v", e.Push)
			}
		}
	})
}
