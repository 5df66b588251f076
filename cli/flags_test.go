package cli_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/cli"
)

type values struct {
	wait  time.Duration
	n     int
	dry   bool
	names []string
}

func parse(t *testing.T, args ...string) (v values, rest []string, stderr string, code int, ok bool) {
	t.Helper()
	f := cli.New("test", "[flags]")
	f.DurationVar(&v.wait, "wait", time.Minute, "")
	f.IntVar(&v.n, "n", 8, "")
	f.BoolVar(&v.dry, "dry", false, "")
	f.List(&v.names, "name", "")
	var out, errs bytes.Buffer
	rest, code, ok = f.Parse(args, &out, &errs, func([]string) {})
	return v, rest, errs.String(), code, ok
}

func TestFlagsMayStandAnywhere(t *testing.T) {
	v, rest, stderr, _, ok := parse(t, "a", "--wait", "5s", "b", "-n=3", "--name", "x", "c", "--name=y", "--dry", "--", "--n", "z")
	if !ok || v.wait != 5*time.Second || v.n != 3 || !v.dry || !slices.Equal(v.names, []string{"x", "y"}) || !slices.Equal(rest, []string{"a", "b", "c", "--n", "z"}) {
		t.Errorf("%+v %q %s", v, rest, stderr)
	}
}

func TestEveryFaultHasItsLine(t *testing.T) {
	t.Setenv("GITOPS_OPERATOR_N", "many")
	v, _, stderr, code, ok := parse(t, "--form", "x", "--wait", "5", "--what=1", "-dry=yes", "--wait", "1s", "--name")
	want := `gitops-operator test: GITOPS_OPERATOR_N is "many": use a whole number
gitops-operator test: unknown flag --form
gitops-operator test: --wait is "5": use a duration such as 30s
gitops-operator test: unknown flag --what
gitops-operator test: --dry is "yes": use true or false
gitops-operator test: --name has no value: use a value
`
	if ok || code != 2 || stderr != want {
		t.Errorf("ok %v, code %d, got:\n%s\nwant:\n%s", ok, code, stderr, want)
	}
	if v.n != 8 || v.dry {
		t.Errorf("a refused value was kept: %+v", v)
	}
}

func TestCommandLineGoesBeforeTheEnvironment(t *testing.T) {
	t.Setenv("GITOPS_OPERATOR_NAME", "a, b")
	t.Setenv("GITOPS_OPERATOR_WAIT", "2s")
	t.Setenv("GITOPS_OPERATOR_DRY", "true")
	t.Setenv("GITOPS_OPERATOR_N", "")
	v, _, _, _, _ := parse(t)
	if !slices.Equal(v.names, []string{"a", "b"}) || v.wait != 2*time.Second || !v.dry || v.n != 8 {
		t.Errorf("from the environment: %+v", v)
	}
	v, _, _, _, _ = parse(t, "--name", "c", "--name", "d", "--wait", "3s", "--dry=false")
	if !slices.Equal(v.names, []string{"c", "d"}) || v.wait != 3*time.Second || v.dry {
		t.Errorf("with both: %+v", v)
	}
}

func TestHelpNamesEveryFlagAndTheEnvironment(t *testing.T) {
	f := cli.New("test", "[flags] FILE")
	f.Duration("git-timeout", time.Minute, "time for one git command")
	var out, errs bytes.Buffer
	if _, code, ok := f.Parse([]string{"--help"}, &out, &errs, func([]string) { t.Error("checked") }); ok || code != 0 || errs.Len() > 0 {
		t.Errorf("ok %v, code %d, stderr %s", ok, code, &errs)
	}
	for _, want := range []string{"usage: gitops-operator test [flags] FILE\n", "-git-timeout", "time for one git command (default 1m0s)", "GITOPS_OPERATOR_GIT_TIMEOUT"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help lacks %q:\n%s", want, &out)
		}
	}
}
