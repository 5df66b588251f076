package gitcli

import (
	"strings"
	"testing"
	"time"
)

func TestWhatIsTooMuch(t *testing.T) {
	now := time.Now()
	mirror := func(name string, age time.Duration, size int64) entry {
		return entry{dir: name, last: now.Add(-age), size: size}
	}
	busy := func(e entry) entry { e.busy = true; return e }
	for name, c := range map[string]struct {
		all  []entry
		want string
	}{
		"nothing":                {nil, ""},
		"within":                 {[]entry{mirror("a", time.Hour, 50), mirror("b", 23*time.Hour, 50)}, ""},
		"a day":                  {[]entry{mirror("a", time.Hour, 1), mirror("b", 25*time.Hour, 1)}, "b"},
		"a day, busy":            {[]entry{busy(mirror("a", 25*time.Hour, 1))}, ""},
		"the oldest first":       {[]entry{mirror("a", 1, 60), mirror("b", 3, 60), mirror("c", 2, 20)}, "b"},
		"one after the other":    {[]entry{mirror("a", 1, 60), mirror("b", 3, 60), mirror("c", 2, 60)}, "b c"},
		"busy counts and stays":  {[]entry{busy(mirror("a", 3, 90)), mirror("b", 2, 5), mirror("c", 1, 10)}, "b"},
		"one that is too large":  {[]entry{mirror("a", 1, 101)}, "a"},
		"age makes enough space": {[]entry{mirror("a", 1, 60), mirror("b", 25*time.Hour, 60)}, "b"},
	} {
		var got []string
		for _, e := range tooMuch(c.all, 100, now) {
			got = append(got, e.dir)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v goes, want %s", name, got, c.want)
		}
	}
}

func TestHostPatterns(t *testing.T) {
	for _, c := range []struct {
		line string
		want bool
	}{
		{"git.example.com ssh-ed25519 AAAA", true},
		{"GIT.Example.com ssh-ed25519 AAAA", true},
		{"a,git.example.com,b ssh-ed25519 AAAA", true},
		{"[git.example.com]:2222 ssh-ed25519 AAAA", true},
		{"*.example.com ssh-ed25519 AAAA", true},
		{"g?t.*e.com\tssh-ed25519 AAAA", true},
		{"* ssh-ed25519 AAAA", true},
		{"@revoked git.example.com ssh-ed25519 AAAA", true},
		{"@cert-authority  *.example.com ssh-ed25519 AAAA", true},
		{"[git.example.com]:22 ssh-ed25519 AAAA", false},
		{"[git.example.com]:2223 ssh-ed25519 AAAA", false},
		{"git.example.co ssh-ed25519 AAAA", false},
		{"xgit.example.com ssh-ed25519 AAAA", false},
		{"@revoked other ssh-ed25519 AAAA", false},
		{"# git.example.com ssh-ed25519 AAAA", false},
		{"|1|bad|hash ssh-ed25519 AAAA", false},
		{"", false},
	} {
		if got := len(hostLines([]byte(c.line), "git.example.com", "2222")) > 0; got != c.want {
			t.Errorf("%q: %v", c.line, got)
		}
	}
}

func FuzzHostLines(f *testing.F) {
	f.Add("@revoked *.example.com,!x ssh-ed25519 AAAA\n|1|YQ==|YQ== ssh-rsa B\n", "git.example.com", "2222")
	f.Fuzz(func(t *testing.T, known, host, port string) {
		if got := hostLines([]byte(known), host, port); len(got) > len(known)+1 {
			t.Errorf("%q became %q", known, got)
		}
	})
}
