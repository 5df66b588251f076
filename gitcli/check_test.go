package gitcli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/gitcli"
)

// Every git since 2.39 answers `fast-import -h` in its own way.
func TestStartsWithEveryGitThatHasFastImport(t *testing.T) {
	const usage = "usage: git fast-import [--date-format=<f>]"
	for _, tt := range []struct {
		name, script string
		want         string // of the error; empty: accepted
	}{
		{"2.39 to 2.48", "echo '" + usage + "' >&2; exit 129", ""},
		{"2.49 to 2.55", "echo '" + usage + "'; exit 129", ""},
		{"later", "echo '" + usage + "'; exit 0", ""},
		{"usage on standard error, success", "echo '" + usage + "' >&2; exit 0", ""},
		{"a warning before the usage", "echo 'warning: something is deprecated' >&2; echo '" + usage + "' >&2; exit 129", ""},
		{"without fast-import", `echo "git: 'fast-import' is not a git command. See 'git --help'." >&2; exit 1`,
			"check git: GIT cannot run fast-import, which writes the commits: install the whole git package: git fast-import: git failed: git: 'fast-import' is not a git command. See 'git --help'."},
		{"nothing said", "exit 1", "install the whole git package: git fast-import: git failed: exit status 1"},
		{"broken, with the usage of git itself", "echo 'usage: git [-v | --version]'; exit 129", "install the whole git package"},
		{"usage, but it fails", "echo '" + usage + "'; exit 127", "install the whole git package"},
		{"hung up on", "exit 129", "install the whole git package"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			git := filepath.Join(dir, "git")
			script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in 'fast-import -h'|'-c '*' fast-import -h') ;; *) exit 99;; esac\n%s\n", tt.script)
			if err := os.WriteFile(git, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
			c, err := gitcli.New(t.Context(), gitcli.Options{CacheDir: t.TempDir()})
			if err == nil {
				c.Close()
			}
			switch want := strings.ReplaceAll(tt.want, "GIT", git); {
			case want == "" && err != nil:
				t.Error(err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}
