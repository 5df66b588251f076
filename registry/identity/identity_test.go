package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// Only registries of the clouds are shown anything, and only by their own.
func TestHosts(t *testing.T) {
	clouds := map[string]cloud{"aws": aws{}, "azure": azure{}, "gcp": google{}}
	for host, want := range map[string]string{
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com":          "aws eu-west-1",
		"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com": "aws us-gov-west-1-fips",
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":      "aws cn-north-1",
		"123456789012.dkr-ecr.eu-west-1.on.aws":                 "aws eu-west-1",
		"myregistry.azurecr.io":                                 "azure myregistry.azurecr.io",
		"myregistry-a1b2c3.azurecr.io":                          "azure myregistry-a1b2c3.azurecr.io",
		"myregistry.azurecr.cn":                                 "azure myregistry.azurecr.cn",
		"gcr.io":                                                "gcp",
		"eu.gcr.io":                                             "gcp",
		"europe-west1-docker.pkg.dev":                           "gcp",
		"docker.io":                                             "",
		"ghcr.io":                                               "",
		"public.ecr.aws":                                        "",
		"12345.dkr.ecr.eu-west-1.amazonaws.com":                 "",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example": "",
		"123456789012.dkr.ecr.evil.example.amazonaws.com":           "",
		"123456789012.dkr.ecr.eu-west-1xamazonaws.com":              "",
		"evil.example/123456789012.dkr.ecr.eu-west-1.amazonaws.com": "",
		"a.azurecr.io":                             "",
		"evil.example.azurecr.io":                  "",
		"azurecr.io":                               "",
		"myregistry.azurecr.io:8443":               "",
		"myregistry.azurecr.io.evil.com":           "",
		"evilgcr.io":                               "",
		"gcr.io.evil.example":                      "",
		"a.b.gcr.io":                               "",
		"europe-west1-docker.pkg.dev.evil.example": "",
		"docker.pkg.dev":                           "",
		"evil.example-docker.pkg.dev":              "",
		"gcr.io:5000":                              "",
		"":                                         "",
	} {
		got := ""
		for _, c := range clouds {
			got += c.scope(host)
		}
		equal(t, host, got, want)
	}
	if _, err := New("aws", "ibm"); err == nil || err.Error() != `"ibm" is no cloud: use aws, azure, gcp` {
		t.Errorf("got %v", err)
	}
}

// fakeCloud has registries named after its tokens' scope.
type fakeCloud struct {
	mu     sync.Mutex
	asked  int
	answer func(n int) (token, error)
	gate   chan struct{}
}

func (f *fakeCloud) scope(host string) string {
	if strings.HasSuffix(host, ".fake") {
		return host
	}
	return ""
}

func (f *fakeCloud) fetch(ctx context.Context, host string) (token, error) {
	f.mu.Lock()
	f.asked++
	n := f.asked
	f.mu.Unlock()
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return token{}, failed("get token for "+host, ctx.Err().Error(), ctx.Err())
		}
	}
	return f.answer(n)
}

// A token serves until five minutes before its end, and beyond where the cloud
// does not answer; a failure holds for ten seconds.
func TestTokensAreKept(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	broken := false
	f := &fakeCloud{answer: func(n int) (token, error) {
		if broken {
			return token{}, failed("get token", "503", nil)
		}
		return token{authn.AuthConfig{Password: fmt.Sprint("token-", n)}, now.Add(time.Hour)}, nil
	}}
	i := &Identity{clouds: []cloud{f}, now: func() time.Time { return now }, scopes: map[string]*scope{}}
	step := func(what string, after time.Duration, want string) {
		t.Helper()
		now = now.Add(after)
		cred, ok, err := i.Credentials(t.Context(), "A.fake:443")
		if ok != (err == nil) {
			t.Errorf("%s: %t, %v", what, ok, err)
		}
		got := cred.Password
		if err != nil {
			got = err.Error()
		}
		equal(t, what, got, want)
	}
	step("first", 0, "token-1")
	step("just before five minutes before its end", 55*time.Minute-1, "token-1")
	step("five minutes before its end", 1, "token-2")
	i.Refused("a.fake")
	step("refused at once", 30*time.Second, "token-2")
	i.Refused("a.fake")
	step("not yet", 0, "token-2")
	now = now.Add(time.Minute)
	i.Refused("a.fake")
	step("refused after a while", 0, "token-3")
	broken = true
	step("cannot be renewed", 56*time.Minute, "token-3")
	step("still", time.Second, "token-3")
	equal(t, "asked", fmt.Sprint(f.asked), "4")
	step("at its end", 4*time.Minute, "get token: 503")
	step("a failure holds", 9*time.Second, "get token: 503")
	equal(t, "asked", fmt.Sprint(f.asked), "5")
	broken = false
	step("mended", 2*time.Second, "token-6")
	if _, ok, err := i.Credentials(t.Context(), "elsewhere.example"); ok || err != nil {
		t.Errorf("elsewhere: %t, %v", ok, err)
	}
}

// Many who ask at once cost one token, and one who gives up costs the others
// nothing.
func TestOneFetchesForAll(t *testing.T) {
	f := &fakeCloud{gate: make(chan struct{}), answer: func(n int) (token, error) {
		return token{authn.AuthConfig{Password: fmt.Sprint("token-", n)}, time.Now().Add(time.Hour)}, nil
	}}
	i := &Identity{clouds: []cloud{f}, now: time.Now, scopes: map[string]*scope{}}
	first, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok, err := i.Credentials(first, "a.fake"); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %t, %v", ok, err)
	}
	before := f.asked
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if cred, ok, err := i.Credentials(t.Context(), "a.fake"); !ok || err != nil || !strings.HasPrefix(cred.Password, "token-") {
				t.Errorf("%v, %t, %v", cred, ok, err)
			}
		})
	}
	close(f.gate)
	wg.Wait()
	equal(t, "asked", fmt.Sprint(f.asked-before), "1")
}

func TestOneLine(t *testing.T) {
	equal(t, "azure", oneLine("invalid_client: AADSTS700213: No matching. Trace ID: 1-2 Correlation ID: 3-4 Timestamp: 2026-01-01 00:00:00Z"), "invalid_client: AADSTS700213: No matching.")
	equal(t, "aws", oneLine("https response error StatusCode: 400, RequestID: abc, api\nerror"), "https response error StatusCode: 400, api error")
	equal(t, "long", fmt.Sprint(len(oneLine(strings.Repeat("x", 9999)))), "253")
}
