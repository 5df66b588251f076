package reconcile

import (
	"errors"
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/k8s"
)

func TestMessagesArePrintableAndBounded(t *testing.T) {
	got := Failed(k8s.Target{Ref: k8s.Ref{Name: "blog"}}, errors.New("a\nforged\x1b[31m\u009b\u202e"+strings.Repeat("é", 2000))).Message
	if want := "Deployment blog failed: a?forged?[31m??"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "é...") || len(got) > maxMessage+3 {
		t.Errorf("got %q", got)
	}
}
