package repository_test

import (
	"testing"

	"github.com/kainlite/gitops-operator/internal/repository"
)

func parse(t *testing.T, s string) repository.URL {
	t.Helper()
	u, err := repository.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestKeyIsTheSameHoweverAURLIsWritten(t *testing.T) {
	for _, c := range []struct {
		key       repository.Key
		same, not []string
	}{
		{key: "git.example/kainlite/blog",
			same: []string{
				"git@git.example:kainlite/blog.git", "git@Git.EXAMPLE:kainlite/blog", "ssh://git@git.example/kainlite/blog.git/", "ssh://git@git.example:22/kainlite//blog.git",
				"ssh://git@git.example:0022/kainlite/blog", "other@git.example:/kainlite/./blog.git", "ssh://git@git.example/kainlite/%62log", "git@git.example.:kainlite/blog",
			},
			not: []string{
				"git@git.example:kainlite/blog-api.git", "git@other.example:kainlite/blog.git", "ssh://git@git.example:2222/kainlite/blog.git", "git@git.example:kainlite/Blog",
				"ssh://git@git.example:443/kainlite/blog", "git@git.example:kainlite/blog.gitx",
			}},
		{key: "github.com/kainlite/blog", // which tells no upper from lower case, and takes SSH in two ways
			same: []string{"git@github.com:kainlite/blog.git", "git@github.com:Kainlite/BLOG", "ssh://git@ssh.github.com:443/kainlite/blog.git"},
			not:  []string{"ssh://git@ssh.github.com/kainlite/blog.git", "ssh://git@github.com:443/kainlite/blog.git"}},
		{key: "::1/blog", same: []string{"git@[::1]:blog", "ssh://git@[0:0:0:0:0:0:0:1]/blog.git"}},
		{key: "git.example:2222/blog", same: []string{"ssh://git@git.example:2222/blog.git", "ssh://a@GIT.example:2222/blog"}},
	} {
		for _, s := range c.same {
			if got := parse(t, s).Key(); got != c.key {
				t.Errorf("%s has the key %q, want %q", s, got, c.key)
			}
		}
		for _, s := range c.not {
			if got := parse(t, s).Key(); got == c.key {
				t.Errorf("%s has the key %q too", s, got)
			}
		}
	}
}

func TestURLTellsItsParts(t *testing.T) {
	u := parse(t, "ssh://deploy@ssh.GitHub.com:443/kainlite/a%20b.git")
	if u.String() != "ssh://deploy@ssh.GitHub.com:443/kainlite/a%20b.git" || u.Scheme() != repository.SSH || u.User() != "deploy" || u.Host() != "ssh.github.com" ||
		u.Port() != "443" || u.Path() != "kainlite/a b.git" || u.Site() != "github.com" {
		t.Errorf("got %q %q %q %q %q %q %q", u, u.Scheme(), u.User(), u.Host(), u.Port(), u.Path(), u.Site())
	}
}

func TestLooseComparesWhatHostsSayWithWhatPeopleWrite(t *testing.T) {
	for a, b := range map[string]string{
		"ssh://git@ssh.github.com:443/kainlite/blog.git": "https://github.com/kainlite/blog",
		"git@altssh.gitlab.com:kainlite/blog.git":        "https://gitlab.com/kainlite/blog",
		"git@[::1]:kainlite/blog.git":                    "http://[::1]:8080/kainlite/blog",
		"ssh://git@git.example:2222/Kainlite/blog":       "git.example:kainlite/Blog.git",
	} {
		x, _ := repository.Loose(a)
		if y, ok := repository.Loose(b); !ok || x != y {
			t.Errorf("%q and %q", x, y)
		}
	}
	for _, s := range []string{"", "/", "blog", "ssh://[::", "https://git.example", "git.example:"} {
		if id, ok := repository.Loose(s); ok {
			t.Errorf("%q is %q", s, id)
		}
	}
}
