package httpapi_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/k8s"
)

// hook sends an event as GitHub does, signed with the given secret.
func (a *api) hook(secret, body string, headers ...string) (int, string) {
	a.t.Helper()
	req, err := http.NewRequest(http.MethodPost, a.url+"/webhook", strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-GitHub-Event", "push")
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if req.Header.Set(name, value); value == "" {
			req.Header.Del(name)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(answer))
}

func push(repository, branch string) string {
	return fmt.Sprintf(`{"ref":"refs/heads/%s","after":"59b20b8d","repository":{"clone_url":"https://github.com/%s.git"}}`, branch, repository)
}

// app is a Deployment of an application.
func app(name, repository, branch, enabled string) k8s.Target {
	t := target("default", name)
	t.Spec.AppRepository, t.Spec.AppBranch = "git@github.com:"+repository+".git", branch
	t.Spec.ManifestRepository = "git@github.com:kainlite/manifests.git"
	t.Annotations = map[string]string{k8s.Prefix + "enabled": enabled}
	return t
}

func TestWebhookReconcilesJustWhatWasPushed(t *testing.T) {
	const secret = "planted-s3cret"
	a := start(t,
		app("blog", "kainlite/blog", "master", "true"), app("blog-too", "kainlite/Blog", "master", "true"),
		app("blog-main", "kainlite/blog", "main", "true"), app("blog-off", "kainlite/blog", "master", "false"),
		app("api", "kainlite/api", "master", "true"), app("off", "kainlite/off", "master", "false"))
	for _, test := range []struct {
		name, secret, body string
		headers            []string
		code               int
		answer             string
	}{
		{"two Deployments", secret, push("kainlite/blog", "master"), nil, 202, `{"deployments":2}`},
		{"the same again", secret, push("kainlite/blog", "master"), nil, 202, `{"deployments":2}`},
		{"another branch", secret, push("kainlite/blog", "main"), nil, 202, `{"deployments":1}`},
		{"by token", "x", push("kainlite/api", "master"), []string{"X-Gitlab-Token: " + secret, "X-GitHub-Event: "}, 400, `{"error":"not a webhook of GitHub, GitLab, Gitea or Forgejo: it does not say which event it is"}`},
		{"a branch that nobody observes", secret, push("kainlite/api", "dev"), nil, 202, `{"deployments":0,"reason":"branch dev was pushed; the Deployments of github.com/kainlite/api observe master"}`},
		{"all disabled", secret, push("kainlite/off", "master"), nil, 202, `{"deployments":0,"reason":"disabled Deployments of github.com/kainlite/off, branch master: 1"}`},
		{"unknown repository", secret, push("kainlite/nope", "master"), nil, 202, `{"deployments":0,"reason":"no Deployment has the app_repository github.com/kainlite/nope"}`},
		{"manifests repository", secret, push("kainlite/manifests", "master"), nil, 202, `{"deployments":0,"reason":"no Deployment has the app_repository github.com/kainlite/manifests"}`},
		{"ping", secret, `{"zen":"x"}`, []string{"X-GitHub-Event: ping"}, 202, `{"deployments":0,"reason":"the event is \"ping\": only a push starts a pass"}`},
		{"tag", secret, `{"ref":"refs/tags/v1"}`, nil, 202, `{"deployments":0,"reason":"\"refs/tags/v1\" is not a branch"}`},
		{"wrong signature", "other", push("kainlite/blog", "master"), nil, 401, `{"error":"not signed with the secret: the signature is wrong"}`},
		{"no signature", secret, push("kainlite/blog", "master"), []string{"X-Hub-Signature-256: "}, 401, `{"error":"not signed with the secret: there is neither a signature nor a token: set the secret in the webhook's settings"}`},
		{"wrong token", secret, push("kainlite/blog", "master"), []string{"X-Gitlab-Token: other"}, 401, `{"error":"not signed with the secret: X-Gitlab-Token is wrong"}`},
		{"not JSON", secret, `{`, nil, 400, `{"error":"not a webhook of GitHub, GitLab, Gitea or Forgejo: the body is not its JSON"}`},
		{"too large", secret, strings.Repeat(" ", 4<<20+1), nil, 413, `{"error":"the body is larger than 4194304 bytes"}`},
		{"large", secret, push("kainlite/api", "master") + strings.Repeat(" ", 4<<20-200), nil, 202, `{"deployments":1}`},
		{"another site's page", secret, push("kainlite/blog", "master"), []string{"Origin: https://evil.example"}, 403, `{"error":"another site's page must not start a pass"}`},
	} {
		if code, answer := a.hook(test.secret, test.body, test.headers...); code != test.code || answer != test.answer {
			t.Errorf("%s: %d %s, want %d %s", test.name, code, answer, test.code, test.answer)
		}
	}
	a.operator.WaitForBackground()
	for message, want := range map[string]int{
		"pass: ":                       4,
		"pass: 2 patched":              2,
		"pass: 1 patched":              2,
		"webhook: ":                    4,
		"github.com/kainlite/blog was": 3,
	} {
		if n := a.log.FilterMessageSnippet(message).Len(); n != want {
			t.Errorf("%q was logged %d times, want %d", message, n, want)
		}
	}
	for _, entry := range a.log.All() {
		if strings.Contains(fmt.Sprint(entry.Message, entry.ContextMap()), secret) {
			t.Errorf("the secret was logged: %s", entry.Message)
		}
	}
	if code, answer := a.hook(secret, push("kainlite/blog", "master")); code != 503 || answer != `{"error":"the operator is shutting down"}` {
		t.Errorf("at the end: %d %s", code, answer)
	}
}

func TestWebhookSecretMayChange(t *testing.T) {
	a := start(t, app("blog", "kainlite/blog", "master", "true"))
	body := push("kainlite/blog", "master")
	write(t, a.secret, "next")
	if code, answer := a.hook("planted-s3cret", body); code != 401 {
		t.Errorf("the old secret: %d %s", code, answer)
	}
	if code, answer := a.hook("next", body); code != 202 {
		t.Errorf("the new secret: %d %s", code, answer)
	}
	write(t, a.secret, "")
	for _, secret := range []string{"", "next"} {
		if code, answer := a.hook(secret, body); code != 503 || answer != `{"error":"the operator cannot read its webhook secret: no webhook is taken"}` {
			t.Errorf("an empty file: %d %s", code, answer)
		}
	}
	if err := os.Remove(a.secret); err != nil {
		t.Fatal(err)
	}
	if code, answer := a.hook("", body); code != 503 {
		t.Errorf("no file: %d %s", code, answer)
	}
}

func TestWebhooksAreOffWithoutASecret(t *testing.T) {
	a := start(t)
	a.api.WebhookSecret = nil
	if code, answer := a.hook("", push("kainlite/blog", "master")); code != 404 || answer != `{"error":"webhooks are off: start the operator with --webhook-secret-file"}` {
		t.Errorf("%d %s", code, answer)
	}
	if code, answer := a.get("/webhook"); code != 405 || answer != `{"error":"method not allowed: use POST"}`+"\n" {
		t.Errorf("%d %s", code, answer)
	}
}

func TestWebhookWhileStarting(t *testing.T) {
	a := start(t)
	a.source.starting = true
	if code, answer := a.hook("planted-s3cret", push("kainlite/blog", "master")); code != 503 || !strings.Contains(answer, "starting: ") {
		t.Errorf("%d %s", code, answer)
	}
}

// The answer does not wait for the pass; the end of the operator does.
func TestPassOfAWebhookIsWaitedForAtTheEnd(t *testing.T) {
	a := start(t, app("slow", "kainlite/slow", "master", "true"))
	if code, answer := a.hook("planted-s3cret", push("kainlite/slow", "master")); code != 202 {
		t.Fatalf("%d %s", code, answer)
	}
	closed := make(chan struct{})
	go func() {
		a.operator.WaitForBackground()
		close(closed)
	}()
	for a.operator.Stats().Running == 0 {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-closed:
		t.Error("Close did not wait")
	default:
	}
	close(a.release)
	<-closed
	if n := a.log.FilterMessage("pass: 1 patched").Len(); n != 1 {
		t.Errorf("%d passes", n)
	}
}
