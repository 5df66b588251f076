package demo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/demo"
)

// The tour itself is run as a whole by the stories; here is how it ends when it
// cannot go on.
func TestOperatorThatDoesNotStartEndsTheDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	err := demo.Run(t.Context(), &out, false, func(_ context.Context, _ []string, log io.Writer) error {
		io.WriteString(log, "no such luck\n")
		return errors.New("exit code 2")
	})
	if err == nil || err.Error() != "start operator: exit code 2: no such luck" {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if strings.Contains(out.String(), "==") {
		t.Errorf("the tour began: %s", &out)
	}
}
