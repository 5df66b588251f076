package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// module writes a Go module whose packages pass, skip, fail, panic and do not
// compile.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"go.mod":              "module example.com/m\n\ngo 1.26\n",
		"none/none.go":        "package none\n",
		"pass/pass_test.go":   "package pass\nimport \"testing\"\nfunc TestPass(t *testing.T) { t.Log(\"of no interest\") }\nfunc TestSkip(t *testing.T) { t.Run(\"sub\", func(t *testing.T) { t.Skip(\"no chromium here\") }) }\n",
		"fail/fail_test.go":   "package fail\nimport \"testing\"\nfunc TestFail(t *testing.T) { t.Error(\"what went wrong\") }\nfunc TestPass(t *testing.T) { t.Log(\"of no interest\") }\n",
		"panic/panic_test.go": "package panic\nimport \"testing\"\nfunc TestPanic(t *testing.T) { t.Log(\"said before\"); panic(\"out of order\") }\n",
		"build/build_test.go": "package build\nfunc Test( {\n",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSkipsAreListedAtTheEnd(t *testing.T) {
	dir := module(t)
	var left omissions
	var out strings.Builder
	err := runStages(t.Context(), []stage{
		{name: "first", dir: dir, packages: []string{"./pass", "./none"}, vet: false},
		{name: "second", dir: dir, command: []string{"echo", "fuzzing"}},
	}, nil, &left, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	const end = "left out:\n  first: example.com/m/pass TestSkip/sub: pass_test.go:4: no chromium here\n"
	if !strings.HasSuffix(out.String(), end) {
		t.Errorf("does not end with %q:\n%s", end, &out)
	}
	for _, want := range []string{"--- first\n", "ok  \texample.com/m/pass\t", "--- second\nfuzzing\n", "--- times\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "of no interest") {
		t.Errorf("too much is printed:\n%s", &out)
	}
}

func TestFailuresAreToldAndTheOtherStagesRun(t *testing.T) {
	dir := module(t)
	for name, want := range map[string][]string{
		"./fail":  {"what went wrong", "--- FAIL: TestFail", "FAIL\texample.com/m/fail"},
		"./panic": {"said before", "panic: out of order", "FAIL\texample.com/m/panic"},
		"./build": {"build_test.go:2:", "FAIL\texample.com/m/build"},
	} {
		var left omissions
		var out strings.Builder
		err := runStages(t.Context(), []stage{
			{name: "first", dir: dir, packages: []string{name}},
			{name: "second", dir: dir, packages: []string{"./pass"}},
			{name: "third", dir: dir, command: []string{"false"}},
		}, nil, &left, &out)
		if err == nil || err.Error() != "failed: first, third" {
			t.Errorf("%s: error %v", name, err)
		}
		for _, want := range append(want, "ok  \texample.com/m/pass") {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is missing in:\n%s", name, want, &out)
			}
		}
		if strings.Contains(out.String(), "of no interest") {
			t.Errorf("%s: too much is printed:\n%s", name, &out)
		}
	}
}

// A machine without apt-get is told what it lacks, and CI fails.
func TestWithoutApt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("TEST_REQUIRE_NEWEST", "")
	var left omissions
	stages, err := fullStages(t.Context(), &left)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stages {
		if strings.Contains(s.name, "git") {
			t.Errorf("stage %s", s.name)
		}
	}
	if got, want := left.String(), "newest git and OpenSSH: every suite: build the newest git and OpenSSH: no apt-get here"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	t.Setenv("TEST_REQUIRE_NEWEST", "1")
	if _, err := fullStages(t.Context(), &left); err == nil {
		t.Error("no failure although TEST_REQUIRE_NEWEST is set")
	}
}

// Interrupted, no further stage begins.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var left omissions
	var out strings.Builder
	if err := runStages(ctx, []stage{{name: "first", command: []string{"true"}}, {name: "second", command: []string{"true"}}}, nil, &left, &out); err != context.Canceled {
		t.Errorf("error %v", err)
	}
	if strings.Contains(out.String(), "second") {
		t.Errorf("went on:\n%s", &out)
	}
}

// A package whose tests run git must not be missing where git is the newest.
func TestPackagesWithGitAreRunWithTheNewest(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.Imports}} {{.TestImports}} {{.XTestImports}}{{end}}", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/kainlite/gitops-operator"
	helpers := regexp.MustCompile(regexp.QuoteMeta(module) + `/(test/(world|gitserver|gitrepo|sshd)|gitcli)\b`)
	found := 0
	for line := range strings.Lines(string(out)) {
		path, imports, _ := strings.Cut(line, " ")
		dir := "." + strings.TrimPrefix(path, module)
		if !helpers.MatchString(imports) || dir == "./cli" || dir == "./test/bench" || dir == "./test/gitea" || dir == "./forge" {
			continue // cli only wires, the bench measures, and Gitea has a stage of its own
		}
		found++
		if !slices.Contains(gitPackages, dir) {
			t.Errorf("%s is missing", dir)
		}
	}
	if found < 5 {
		t.Errorf("only %d packages use git:\n%s", found, out)
	}
}
