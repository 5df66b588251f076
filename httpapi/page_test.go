package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/history"
	"github.com/kainlite/gitops-operator/httpapi"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/page"
	"github.com/kainlite/gitops-operator/reconcile"
)

const browserAccept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// ask sends a request with headers, given as names and values by turns.
func (a *api) ask(method, path string, headers ...string) (*http.Response, string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp, string(body)
}

func (a *api) deployments() page.Deployments {
	a.t.Helper()
	var d page.Deployments
	if _, body := a.get("/api/v1/deployments"); json.Unmarshal([]byte(body), &d) != nil {
		a.t.Fatal(body)
	}
	return d
}

func TestStatusIsThePageOnlyForWhoAsksForHTML(t *testing.T) {
	a := start(t, target("default", "fast"))
	for accept, html := range map[string]bool{
		browserAccept: true, "text/html": true, "TEXT/HTML;level=1;q=0.1": true, "application/json, text/html": true,
		"": false, "*/*": false, "text/*": false, "text/plain": false, "text/html;q=0": false, "text/html;q=0.00,text/plain": false, "text/htmlx": false, ";;": false,
	} {
		resp, body := a.ask("GET", "/status", "Accept", accept)
		if resp.Header.Get("Vary") != "Accept" {
			t.Errorf("%q: Vary is %q", accept, resp.Header.Get("Vary"))
		}
		if got := strings.HasPrefix(body, "<!DOCTYPE html>"); got != html || !html && !strings.HasPrefix(body, "gitops-operator status\n") {
			t.Errorf("Accept: %q: HTML is %t", accept, got)
		}
	}
}

func TestPageComesWithItsPolicy(t *testing.T) {
	a := start(t, target("default", "fast"))
	for _, path := range []string{"/", "/status"} {
		resp, _ := a.ask("GET", path, "Accept", browserAccept)
		for name, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": page.Policy, "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "same-origin", "Cache-Control": "private, no-cache", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	if resp, body := a.ask("POST", "/"); resp.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(body, "error") {
		t.Errorf("POST /: %s %s", resp.Status, body)
	}
}

// Polling must cost next to nothing while nothing happens, and miss nothing.
func TestUnchangedAnswersAreNotSentAgain(t *testing.T) {
	a := start(t, target("default", "fast"))
	for _, path := range []string{"/api/v1/deployments", "/api/v1/passes", "/"} {
		first, _ := a.ask("GET", path)
		tag := first.Header.Get("ETag")
		for _, known := range []string{tag, "W/" + tag, `"other", ` + tag} {
			if again, body := a.ask("GET", path, "If-None-Match", known); again.StatusCode != http.StatusNotModified || body != "" || tag == "" {
				t.Errorf("%s: with %s: %s %q", path, known, again.Status, body)
			}
		}
		a.get("/reconcile")
		if again, body := a.ask("GET", path, "If-None-Match", tag); again.StatusCode != http.StatusOK || body == "" {
			t.Errorf("%s: after a pass: %s", path, again.Status)
		}
	}
	// The state is compared, not only the answer.
	tag := func() string { resp, _ := a.ask("GET", "/api/v1/deployments"); return resp.Header.Get("ETag") }
	before := tag()
	a.source.snapshot.Untracked = []k8s.Untracked{{Namespace: "default", Name: "y", Reason: "missing annotation x"}}
	if resp, _ := a.ask("GET", "/api/v1/deployments", "If-None-Match", before); resp.StatusCode != http.StatusOK {
		t.Errorf("with another Deployment: %s", resp.Status)
	}
	before = tag()
	a.source.err = io.ErrUnexpectedEOF
	if resp, _ := a.ask("GET", "/api/v1/deployments", "If-None-Match", before); resp.StatusCode != http.StatusOK {
		t.Errorf("with a listing that fails: %s", resp.Status)
	}
	if again := tag(); again == before {
		t.Error("the tag stays the same")
	}

	page, body := a.ask("GET", "/")
	for _, path := range []string{"deployments", "passes"} { // what the page begins to poll with
		json, _ := a.ask("GET", "/api/v1/"+path)
		if tag := strings.Trim(json.Header.Get("ETag"), `"`); !strings.Contains(body, `data-`+path+`="&#34;`+tag+`&#34;"`) {
			t.Errorf("the page does not know the tag %s of %s: %s", tag, path, page.Status)
		}
	}
}

func TestDeploymentsAreShownFailingOnesFirst(t *testing.T) {
	at := func(name, tag, enabled string) k8s.Target {
		x := target("default", name)
		x.Container, x.Version = "kainlite/"+name, tag
		x.Annotations = map[string]string{}
		for k, v := range map[string]string{
			"enabled": enabled, "app_repository": "git@github.com:kainlite/" + name + ".git", "manifest_repository": "git@gitlab.com:kainlite/manifests.git",
			"deployment_path": name + ".yaml", "image_name": "kainlite/" + name, "ssh_key_name": "ssh-key", "ssh_key_namespace": "default",
		} {
			x.Annotations[k8s.Prefix+k] = v
		}
		x.Spec = k8s.ParseSpec(x.Ref, x.Annotations)
		return x
	}
	const head, commit = "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5", "3c0a88249fb61a0a4f4a65295f42b2dee3963c28"
	ok, off, bad, fresh, wrong, on := at("a-ok", "v1", "true"), at("b-off", "v1", "false"), at("c-bad", "v1", "true"), at("d-new", "v1", "true"), at("e-wrong", "v1", "yes"), at("f-on", "v1", "true")
	bad.Annotations[k8s.Prefix+"imagename"] = "x"
	a := start(t, ok, off, bad, fresh, wrong, on)
	a.source.snapshot.Untracked = []k8s.Untracked{{Namespace: "shop", Name: "till", Reason: "missing annotation x\x1b[2J"}}
	asked := time.Now().Add(-2 * time.Second)
	a.operator.History().Report(ok, reconcile.Result{Action: "patched", Message: "moved", Head: head, Want: head, Commit: commit}, asked)
	a.operator.History().Report(ok, reconcile.Result{Action: "up_to_date", Message: "there", Head: head, Want: head}, asked)
	a.operator.History().Report(bad, reconcile.Result{Action: "failed", Message: "no\u202e <b>\x1b[2J"}, asked)
	a.operator.History().Report(on, reconcile.Skipped(on), asked) // when it was off

	d := a.deployments()
	got := ""
	for _, x := range d.Deployments {
		got += x.Name + " " + x.State + ", "
	}
	if want := "c-bad failed, e-wrong failed, d-new new, f-on new, a-ok up_to_date, b-off disabled, "; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	if x := d.Deployments[0]; x.Message != "no? <b>?[2J" || len(x.Warnings) != 1 || x.Warnings[0] != "unknown annotation gitops.operator.imagename" {
		t.Errorf("the failing one: %+v", x)
	}
	if x := d.Deployments[1]; !strings.Contains(x.Message, `gitops.operator.enabled is "yes"`) || x.Action != "" {
		t.Errorf("one that cannot be reconciled: %+v", x)
	}
	if x := d.Deployments[3]; x.Message != "" || x.Action != "" || !x.FinishedAt.IsZero() {
		t.Errorf("one that was switched on: %+v", x)
	}
	x := d.Deployments[4]
	if x.FinishedAt.Before(asked) || x.Seconds < 2 || x.ChangedAt.IsZero() {
		t.Errorf("times: %+v", x)
	}
	x.FinishedAt, x.Seconds, x.ChangedAt = time.Time{}, 0, time.Time{}
	want := page.Deployment{
		Namespace: "default", Name: "a-ok", State: "up_to_date", Image: "kainlite/a-ok", RunningTag: "v1", WantedTag: head, Action: "up_to_date", Message: "there",
		AppCommit: head, AppCommitURL: "https://github.com/kainlite/a-ok/commit/" + head,
		ManifestCommit: commit, ManifestCommitURL: "https://gitlab.com/kainlite/manifests/-/commit/" + commit,
	}
	if got, wanted := toJSON(t, x), toJSON(t, want); got != wanted {
		t.Errorf("got  %s\nwant %s", got, wanted)
	}
	if len(d.Untracked) != 1 || d.Untracked[0] != (page.Untracked{Namespace: "shop", Name: "till", Reason: "missing annotation x?[2J"}) {
		t.Errorf("untracked: %+v", d.Untracked)
	}
	if _, html := a.ask("GET", "/"); !strings.Contains(html, "no? &lt;b&gt;?[2J") || !strings.Contains(html, "shop/till") {
		t.Error("the page does not show the same")
	}
	a.source.snapshot.Targets = []k8s.Target{fresh}
	if a.deployments(); a.operator.History().Of(ok.Key()) != (history.Entry{}) {
		t.Error("what is gone is remembered")
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPassesAreShown(t *testing.T) {
	off := target("default", "off")
	off.Annotations = map[string]string{k8s.Prefix + "enabled": "false"}
	a := start(t, target("default", "fast"), target("default", "slow"), off)
	if _, body := a.get("/api/v1/passes"); body != `{"passes":[]}`+"\n" {
		t.Errorf("at first: %s", body)
	}
	a.get("/reconcile?wait=50ms")
	close(a.release)
	a.get("/reconcile?deployment=default/slow")
	var p page.Passes
	if _, body := a.get("/api/v1/passes"); json.Unmarshal([]byte(body), &p) != nil || len(p.Passes) != 2 {
		t.Fatal(body)
	}
	first, second := p.Passes[0], p.Passes[1]
	if first.Seconds < 0.05 || first.Patched != 1 || first.Pending != 1 || first.Skipped != 1 || first.Failed != 0 || time.Since(first.StartedAt) > time.Hour {
		t.Errorf("the first: %+v", first)
	}
	if second.Patched != 1 || second.Pending+second.Skipped+second.Failed+second.UpToDate != 0 || second.StartedAt.Before(first.StartedAt) {
		t.Errorf("the second: %+v", second)
	}
	if d := a.deployments(); d.Deployments[len(d.Deployments)-1].Message != "Deployment off is disabled (gitops.operator.enabled=false)" {
		t.Errorf("the one that is off: %+v", d.Deployments)
	}
}

func TestPageSaysWhatIsInTheWay(t *testing.T) {
	a := start(t)
	a.source.starting, a.source.problem = true, "cannot reach the API server"
	const want = "starting: the first listing of Deployments is not complete yet: cannot reach the API server"
	if d := a.deployments(); d.Starting != want || d.Deployments == nil {
		t.Errorf("got %+v", d)
	}
	if _, html := a.ask("GET", "/"); !strings.Contains(html, want) {
		t.Error("the page does not say so")
	}
	a.source.starting, a.source.err = false, io.ErrUnexpectedEOF
	if d := a.deployments(); d.Stale != "unexpected EOF" || d.Starting != "" {
		t.Errorf("got %+v", d)
	}
}

// Whatever shows Deployments needs the token; the button works with what the
// browser has, and for nobody else's page.
func TestPageIsGuarded(t *testing.T) {
	a := start(t, target("default", "fast"))
	token, err := httpapi.OpenSecretFile(write(t, filepath.Join(t.TempDir(), "token"), "hunter2"), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a.api.Handler(httpapi.Guard{Token: token}.Wrap))
	defer server.Close()
	a.url = server.URL
	basic := "Basic bWU6aHVudGVyMg==" // me:hunter2
	for _, path := range []string{"/", "/status", "/api/v1/deployments", "/api/v1/passes"} {
		resp, body := a.ask("GET", path, "Accept", browserAccept)
		if resp.StatusCode != http.StatusUnauthorized || strings.Contains(body, "fast") || !strings.Contains(strings.Join(resp.Header.Values("WWW-Authenticate"), " "), "Basic") {
			t.Errorf("%s without the token: %s %s", path, resp.Status, body)
		}
		if resp, _ := a.ask("GET", path, "Accept", browserAccept, "Authorization", basic); resp.StatusCode != http.StatusOK {
			t.Errorf("%s with the token: %s", path, resp.Status)
		}
	}
	for _, from := range []struct {
		headers []string
		code    int
	}{
		{[]string{"Authorization", basic, "Origin", a.url}, 200},
		{[]string{"Authorization", basic, "Origin", a.url, "Sec-Fetch-Site", "same-origin"}, 200},
		{[]string{"Authorization", basic, "Origin", "https://evil.example"}, 403},
		{[]string{"Authorization", basic, "Origin", "null"}, 403},
		{[]string{"Authorization", basic, "Origin", a.url, "Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Origin", a.url}, 401},
	} {
		passes := len(a.operator.History().Passes())
		resp, body := a.ask("POST", "/reconcile?wait=1m", from.headers...)
		if ran := len(a.operator.History().Passes()) > passes; resp.StatusCode != from.code || ran != (from.code == 200) {
			t.Errorf("%q: %s, a pass ran: %t, %s", from.headers, resp.Status, ran, body)
		}
	}
}
