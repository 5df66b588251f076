package repository_test

import (
	"os/exec"
	"strings"
	"testing"
	"unicode"

	"github.com/kainlite/gitops-operator/internal/repository"
)

func TestParseAcceptsSSHOnly(t *testing.T) {
	for _, good := range []string{
		"git@github.com:kainlite/blog.git",
		"git@host.example:blog",
		"git@[::1]:owner/repo.git",
		"ssh://git@host.example/owner/repo.git",
		"ssh://git@host.example:2222/owner/repo.git",
		"ssh://deploy_user@127.0.0.1:22/~me/repo%20with%20space.git",
		"ssh://git@[fe80::1]:22/repo",
		"org-123@github.com:org/repo.git",
	} {
		r, err := repository.Parse(good)
		if err != nil {
			t.Errorf("%s: %s", good, err)
		}
		if r.String() != good {
			t.Errorf("%s became %s", good, r)
		}
	}
	const use = "use git@host:owner/repo.git or ssh://user@host:port/path"
	for bad, want := range map[string]string{
		"":                                      `repository URL "" is not an SSH URL: ` + use,
		"https://github.com/kainlite/blog":      `repository URL "https://github.com/kainlite/blog" is not an SSH URL: ` + use,
		"https://me:hunter2@host/x":             `repository URL "https://***@host/x" is not an SSH URL: ` + use,
		"ssh://git:hunter2@host/x":              `repository URL "ssh://git:***@host/x" carries a password: ` + use + ", with a key",
		"HTTPS://me:hunter2@host/x":             `repository URL "HTTPS://***@host/x" is not an SSH URL: ` + use,
		"https://me:hunt/er2@host/x":            `repository URL "https://***@host/x" is not an SSH URL: ` + use,
		"https://hunter2@host/x":                `repository URL "https://***@host/x" is not an SSH URL: ` + use,
		"https://host/x?token=hunter2":          `repository URL "https://host/x?***" is not an SSH URL: ` + use,
		"me:hunter2@host/x":                     `repository URL "me:***@host/x" is not an SSH URL: ` + use,
		"git@host:" + strings.Repeat("x", 1024): `repository URL "git@host:` + strings.Repeat("x", 191) + `..." is longer than 1024 bytes: ` + use,
		"file:///etc":                           `repository URL "file:///etc" is not an SSH URL: ` + use,
		"ext::sh -c touch% /tmp/x":              `repository URL "ext::sh -c touch% /tmp/x" is not an SSH URL: ` + use,
		"/srv/git/blog.git":                     `repository URL "/srv/git/blog.git" is not an SSH URL: ` + use,
		"github.com:kainlite/blog.git":          `repository URL "github.com:kainlite/blog.git" is not an SSH URL: ` + use,
		"ssh://host/x":                          `repository URL "ssh://host/x" is not an SSH URL: ` + use,
		"-oProxyCommand=x@host:y":               `repository URL "-oProxyCommand=x@host:y" has an invalid user name: ` + use,
		"git@-oProxyCommand=x:y":                `repository URL "git@-oProxyCommand=x:y" has an invalid host name: ` + use,
		"ssh://git@-oProxyCommand=x/y":          `repository URL "ssh://git@-oProxyCommand=x/y" has an invalid host name: ` + use,
		"git@host:-x":                           `repository URL "git@host:-x" has a path that begins with a hyphen: ` + use,
		"ssh://git@host:99999/x":                `repository URL "ssh://git@host:99999/x" has an invalid port: ` + use,
		"ssh://git@host/x%0ay":                  `repository URL "ssh://git@host/x%0ay" has a bad percent-encoding in its path`,
		"git@host:x\ny":                         "repository URL has unprintable characters: " + use,
		"git@host:x\x00y":                       "repository URL has unprintable characters: " + use,
		"git@ho st:x":                           `repository URL "git@ho st:x" has an invalid host name: ` + use,
		"git@host$(id):x":                       `repository URL "git@host$(id):x" has an invalid host name: ` + use,
		"ssh://git@[::1 -oProxyCommand=x]/y":    `repository URL "ssh://git@[::1 -oProxyCommand=x]/y" has an invalid host name: ` + use,
	} {
		_, err := repository.Parse(bad)
		if err == nil {
			t.Errorf("%q was accepted", bad)
		} else if err.Error() != want {
			t.Errorf("%q:\n got  %s\n want %s", bad, err, want)
		}
	}
}

// git takes what does not show, or shows as something else.
func TestCheckBranchWantsWhatIsPrintable(t *testing.T) {
	for _, name := range []string{"master\u202e", "mas\u200bter", "\ufeffmaster", "mas\u00a0ter", "x\u009b31m"} {
		if err := repository.CheckBranch(name); err == nil || strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

// What git itself says about a branch name is the truth here.
func TestCheckBranchAgreesWithGit(t *testing.T) {
	names := []string{
		"master", "main", "feature/x", "a.b", "v1.0", "ünïcode", "x@y", "@x", "a-b", "wip#1", "x{y}", "%41", "$(id)", "a;b", "'", `"`, "refs/heads/x",
		"", "-x", "--upload-pack=x", "a..b", "a@{b", "@", ".x", "x.", "x/.y", "x//y", "/x", "x/", "x.lock", "x.lock/y", "x y", "x~y", "x^y", "x:y", "x?y",
		"x*y", "x[y", `x\y`, "x\ty", "x\ny", "x\x7fy", "HEAD",
	}
	for _, name := range names {
		err := repository.CheckBranch(name)
		git := exec.Command("git", "check-ref-format", "--branch", name).Run()
		if (err == nil) != (git == nil) {
			t.Errorf("branch %q: we say %v, git says %v", name, err, git)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\t") {
			t.Errorf("branch %q: message has control characters: %q", name, err)
		}
	}
}

func TestCheckPathStaysInside(t *testing.T) {
	for in, want := range map[string]string{
		"app.yaml": "app.yaml", "./a//b.yaml": "a/b.yaml", "a/../b.yaml": "b.yaml", "-x": "-x", ":(top)x": ":(top)x", "a*b [c].yaml": "a*b [c].yaml", "ünï.yaml": "ünï.yaml",
	} {
		if got, err := repository.CheckPath(in); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":              "path is empty",
		".":             "path is empty",
		"/etc/passwd":   `path "/etc/passwd" is absolute: give it from the repository's top folder`,
		"../x":          `path "../x" leaves the repository`,
		"a/../../x":     `path "a/../../x" leaves the repository`,
		"..":            `path ".." leaves the repository`,
		"a\nb":          `path "a\nb" has unprintable characters`,
		"a\x00b":        `path "a\x00b" has unprintable characters`,
		".git/config":   `path ".git/config" leads into .git`,
		"a/.GIT/config": `path "a/.GIT/config" leads into .git`,
	} {
		if _, err := repository.CheckPath(in); err == nil || err.Error() != want {
			t.Errorf("%q:\n got  %v\n want %s", in, err, want)
		}
	}
}
