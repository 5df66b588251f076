package reconcile

import (
	"errors"
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/k8s"
)

func TestMessagesArePrintableAndBounded(t *testing.T) {
	got := Failed(k8s.Target{Name: "blog"}, errors.New("a\nforged\x1b[31m\u009b\u202e"+strings.Repeat("é", 2000))).Message
	if want := "Deployment blog failed: a?forged?[31m??"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "é...") || len(got) > maxMessage+3 {
		t.Errorf("got %q", got)
	}
}

func TestRegistryHost(t *testing.T) {
	for url, want := range map[string]string{
		"https://index.docker.io/v1/": "index.docker.io", "ghcr.io": "ghcr.io", "http://registry:5000": "registry:5000", "https://[::1]:5000/v2/": "[::1]:5000",
		"": "", "https://": "", "ftp://x": "", "https://me:pw@x": "", "https://x:0": "", "https://x:65536": "", "-x": "", "x y": "", "x\n": "", "https://x/?y": "", "//x": "",
	} {
		got, err := registryHost(url)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", url, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: the error repeats it: %v", url, err)
		}
	}
}
