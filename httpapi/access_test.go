package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kainlite/gitops-operator/httpapi"
)

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// guarded is a guard before a handler that always answers "in".
func guarded(t *testing.T, file string, protectMetrics bool) (http.Handler, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	token, err := httpapi.OpenSecretFile(file, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	in := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "in") })
	return httpapi.Guard{Token: token, ProtectMetrics: protectMetrics}.Wrap(in), logs
}

// ask sends a request with headers of the form "Name: value".
func ask(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, nil)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if req.Header.Set(name, value); name == "Basic" {
			req.SetBasicAuth("anybody", value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func TestOnlyWhoKnowsTheTokenGetsIn(t *testing.T) {
	const (
		bearer     = "Authorization: Bearer s3cret"
		same, none = "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none"
	)
	h, _ := guarded(t, write(t, filepath.Join(t.TempDir(), "token"), "s3cret\n"), false)
	protected, _ := guarded(t, write(t, filepath.Join(t.TempDir(), "token"), "s3cret"), true)
	for _, test := range []struct {
		h       http.Handler
		request string
		headers []string
		want    int
	}{
		{h, "GET /status", nil, 401},
		{h, "GET /status", []string{bearer}, 200},
		{h, "GET /status", []string{"Authorization: bearer  s3cret"}, 200},
		{h, "GET /status", []string{"Authorization: Bearer s3cret2"}, 401},
		{h, "GET /status", []string{"Authorization: Bearer s3cre"}, 401},
		{h, "GET /status", []string{"Authorization: Bearer S3CRET"}, 401},
		{h, "GET /status", []string{"Authorization: Bearer "}, 401},
		{h, "GET /status", []string{"Authorization: Bearer"}, 401},
		{h, "GET /status", []string{"Authorization: s3cret"}, 401},
		{h, "GET /status", []string{"Authorization: Token s3cret"}, 401},
		{h, "GET /status", []string{"Authorization: Basic s3cret"}, 401},
		{h, "GET /status", []string{"Basic: s3cret"}, 200},
		{h, "GET /status", []string{"Basic: wrong"}, 401},
		{h, "GET /status?token=s3cret", nil, 401},
		{h, "GET /reconcile", []string{bearer}, 200},
		{h, "POST /reconcile", []string{bearer}, 200},
		{h, "POST /reconcile", []string{"Basic: s3cret"}, 200},
		{h, "GET /reconcile", []string{"Basic: s3cret"}, 403},
		{h, "GET /reconcile", []string{"Basic: s3cret", same}, 200},
		{h, "GET /reconcile", []string{"Basic: s3cret", none}, 200},
		{h, "GET /reconcile", []string{"Basic: wrong"}, 401},
		{h, "GET /debug", nil, 401},
		{h, "GET /", nil, 401},
		{h, "GET /no-such-path", nil, 401},
		{h, "GET /health/", nil, 401},
		{h, "GET //health", nil, 401},
		{h, "GET /health/../debug", nil, 401},
		{h, "GET /HEALTH", nil, 401},
		{h, "GET /health", nil, 200},
		{h, "GET /webhook", nil, 200},
		{h, "GET /metrics", nil, 200},
		{protected, "GET /metrics", nil, 401},
		{protected, "GET /metrics", []string{bearer}, 200},
		{protected, "GET /health", nil, 200},
	} {
		method, path, _ := strings.Cut(test.request, " ")
		w := ask(test.h, method, path, test.headers...)
		if w.Code != test.want || (w.Body.String() == "in") != (test.want == 200) {
			t.Errorf("%s %q: %d %s, want %d", test.request, test.headers, w.Code, w.Body, test.want)
		}
		if test.want != 200 && (!strings.HasPrefix(w.Body.String(), `{"error":"`) || strings.Contains(w.Body.String(), "s3cret")) {
			t.Errorf("%s %q: %s", test.request, test.headers, w.Body)
		}
		challenges := strings.Join(w.Header().Values("WWW-Authenticate"), "; ")
		if (challenges == `Bearer realm="gitops-operator"; Basic realm="gitops-operator", charset="UTF-8"`) != (test.want == 401) {
			t.Errorf("%s %q: challenge %q", test.request, test.headers, challenges)
		}
	}
}

func TestTokenIsReadAgainWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	link := func(data, value string) { // as the kubelet does it
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, data), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, data, "token"), value)
		if err := os.Symlink(data, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "one")
	if err := os.Symlink(filepath.Join("..data", "token"), token); err != nil {
		t.Fatal(err)
	}
	h, logs := guarded(t, token, false)
	code := func(value string) int { return ask(h, "GET", "/status", "Authorization: Bearer "+value).Code }
	expect := func(when string, one, two int) {
		t.Helper()
		if a, b := code("one"), code("two"); a != one || b != two {
			t.Errorf("%s: %d and %d, want %d and %d", when, a, b, one, two)
		}
	}
	expect("first", 200, 401)
	link("..2", "two")
	expect("after a swap", 401, 200)
	write(t, token, "one\r\n")
	expect("after a write", 200, 401)

	// A token that was taken away lets nobody in, and is logged once.
	write(t, token, "\n")
	expect("while empty", 503, 503)
	if w := ask(h, "GET", "/status", "Authorization: Bearer "); w.Code != 503 {
		t.Errorf("the empty token while empty: %d", w.Code)
	}
	if n := logs.FilterMessage("secret file cannot be used: requests that need it are refused").Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if w := ask(h, "GET", "/health"); w.Code != 200 {
		t.Errorf("health: %d", w.Code)
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	expect("while missing", 503, 503)
	write(t, token, "two")
	expect("when back", 401, 200)
	if n := logs.FilterMessage("secret file can be used again").Len(); n != 1 {
		t.Errorf("recovery was logged %d times", n)
	}
}

func TestSecretFileMustBeUsableAtStart(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		filepath.Join(dir, "missing"): "no such file or directory",
		dir:                           "is not a regular file",
		pipe:                          "is not a regular file", // and nobody hangs on it
		write(t, filepath.Join(dir, "empty"), ""):                            "is empty",
		write(t, filepath.Join(dir, "blank"), " \r\n\n"):                     "is empty",
		write(t, filepath.Join(dir, "two"), "planted1\nplanted2\n"):          "has more than one line",
		write(t, filepath.Join(dir, "nul"), "planted\x00"):                   "control characters",
		write(t, filepath.Join(dir, "long"), strings.Repeat("planted", 1e4)): "is too long for a secret",
	} {
		_, err := httpapi.OpenSecretFile(name, zap.NewNop())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v, want %q", filepath.Base(name), err, want)
		}
	}
}

// A page of another site can make a browser send requests, with the password
// that it remembers. None of them may start a pass.
func TestAnotherSitesPageStartsNoPass(t *testing.T) {
	a := start(t, target("default", "fast"))
	for _, test := range []struct {
		method, path string
		headers      []string
		want         int
	}{
		{"GET", "/reconcile", nil, 200},
		{"POST", "/reconcile", nil, 200},
		{"GET", "/reconcile", []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"GET", "/reconcile", []string{"Sec-Fetch-Site: none"}, 200},
		{"GET", "/reconcile", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"GET", "/reconcile", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"POST", "/reconcile", []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"POST", "/reconcile", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"POST", "/reconcile", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"POST", "/reconcile", []string{"Origin: " + a.url}, 200},
		{"POST", "/reconcile", []string{"Origin: https://evil.example"}, 403},
		{"POST", "/reconcile", []string{"Origin: null"}, 403},
		{"GET", "/status", []string{"Sec-Fetch-Site: cross-site"}, 200}, // a link: it starts nothing
	} {
		req, err := http.NewRequest(test.method, a.url+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, header := range test.headers {
			name, value, _ := strings.Cut(header, ": ")
			req.Header.Set(name, value)
		}
		before := a.log.FilterMessageSnippet("pass: ").Len()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		passes := a.log.FilterMessageSnippet("pass: ").Len() - before
		if resp.StatusCode != test.want || (passes == 1) != (test.want == 200 && test.path == "/reconcile") {
			t.Errorf("%s %s %q: %d and %d passes, want %d", test.method, test.path, test.headers, resp.StatusCode, passes, test.want)
		}
	}
}
