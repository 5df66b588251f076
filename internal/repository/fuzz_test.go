package repository_test

import (
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/kainlite/gitops-operator/internal/repository"
)

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// mustBePlain holds an error to what messages promise: printable and bounded.
func mustBePlain(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); len(text) > 2000 || !utf8.ValidString(text) || strings.ContainsFunc(text, unprintable) {
		t.Fatalf("the error is not a bounded printable line: %.3000q", text)
	}
}

// FuzzParse: whatever is accepted cannot be taken for an option, another
// transport or a password, reads the same again, and is what url.Parse sees.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"git@github.com:kainlite/blog.git", "ssh://git@host:2222/x%20y.git", "ssh://git@[::1]:22/x", "git@[::1]:x", "ssh://git@h/~me/x", "https://me:secret@host/x?y=z",
		"ext::sh -c x", "-oProxyCommand=x@h:y", "ssh://-o@h/x", "ssh://a:b@h/x", "a@b:-c", "ssh://git@h:0/x", "ssh://git@h/%2dx", "ssh://git@h/%00", "a@b:c\u202e", "a@b:\xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := repository.Parse(s)
		if err != nil {
			mustBePlain(t, err)
			return
		}
		again, err := repository.Parse(r.String())
		if r.String() != s || err != nil || again != r || !r.Same(again) {
			t.Fatalf("%q became %q, then %q, %v", s, r, again, err)
		}
		for what, part := range map[string]string{"URL": s, "host": r.Host(), "path": r.Path()} {
			if strings.HasPrefix(part, "-") || what != "path" && strings.ContainsFunc(part, unprintable) || strings.ContainsFunc(part, unicode.IsControl) {
				t.Fatalf("%q has the %s %q", s, what, part)
			}
		}
		if r.Host() == "" || r.Path() == "" && !strings.HasSuffix(s, "/") || strings.ContainsAny(r.Host(), " /@%'\"$`;|&\\") {
			t.Fatalf("%q has the host %q and the path %q", s, r.Host(), r.Path())
		}
		rest, isURL := strings.CutPrefix(s, "ssh://")
		if strings.Contains(s, "://") && !isURL {
			t.Fatalf("%q is another transport", s)
		}
		user, _, _ := strings.Cut(rest, "@")
		if strings.ContainsAny(user, ":/%- ") && (strings.HasPrefix(user, "-") || strings.ContainsAny(user, ":/% ")) {
			t.Fatalf("%q has the user %q", s, user)
		}
		if !isURL {
			return
		}
		u, err := url.Parse(s)
		if err != nil {
			return // not all that ssh takes is a URL for Go
		}
		if _, password := u.User.Password(); password || strings.ToLower(u.Hostname()) != r.Host() || u.User.Username() != user {
			t.Fatalf("%q: url.Parse sees user %q, host %q", s, u.User, u.Hostname())
		}
	})
}

// FuzzCheckBranch: whatever is accepted can be part of a refspec and of a
// command line, and means one branch.
func FuzzCheckBranch(f *testing.F) {
	for _, s := range []string{"master", "feature/x", "-x", "a..b", "a@{1}", "a b", "a:b", "a*", "x.lock", "/x", "x/", ".x", "HEAD", "ünïcode", "x\u202e", "\xff", "+x", "^x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if err := repository.CheckBranch(s); err != nil {
			mustBePlain(t, err)
			return
		}
		if s == "" || len(s) > 240 || strings.HasPrefix(s, "-") || !utf8.ValidString(s) || strings.ContainsFunc(s, unprintable) || strings.ContainsAny(s, " ~^:?*[\\") ||
			strings.Contains(s, "..") || strings.Contains(s, "@{") || path.Clean(s) != s || path.IsAbs(s) {
			t.Fatalf("%q was accepted", s)
		}
	})
}

// FuzzCheckPath: the result stays below the repository's top folder and out of
// .git, and is its own canonical form.
func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"a.yaml", "a/b.yaml", "../x", "a/../../x", "/etc/passwd", ".git/config", "a/.GIT/x", "./a//b/", "..", ".", "a\x00b", "a\u202eb", "\xff", "-x", "a/..", "*.yaml"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		clean, err := repository.CheckPath(s)
		if err != nil {
			mustBePlain(t, err)
			return
		}
		again, err := repository.CheckPath(clean)
		if err != nil || again != clean {
			t.Fatalf("%q became %q, then %q, %v", s, clean, again, err)
		}
		if below := path.Join("/top", clean); !strings.HasPrefix(below, "/top/") || clean == "" || path.IsAbs(clean) || path.Clean(clean) != clean {
			t.Fatalf("%q became %q, which is %q", s, clean, below)
		}
		for part := range strings.SplitSeq(clean, "/") {
			if part == "" || part == "." || part == ".." || strings.EqualFold(part, ".git") || strings.ContainsFunc(part, unprintable) {
				t.Fatalf("%q became %q", s, clean)
			}
		}
	})
}
