package builds

import "testing"

func TestNewChecksTheURLOfTheAPI(t *testing.T) {
	for _, test := range []struct{ api, base, want string }{
		{"", "https://api.github.com/", ""},
		{"https://api.github.com", "https://api.github.com/", ""},
		{"https://ghe.example.com/api/v3", "https://ghe.example.com/api/v3/", ""},
		{"https://ghe.example.com/api/v3/", "https://ghe.example.com/api/v3/", ""},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/", ""},
		{"http://localhost:8080/x", "http://localhost:8080/x/", ""},
		{"http://[::1]:8080", "http://[::1]:8080/", ""},
		{"http://ghe.example.com", "", `parse GitHub API URL "http://ghe.example.com": want https, as the token would be sent in clear`},
		{"http://127.0.0.1.example.com", "", `parse GitHub API URL "http://127.0.0.1.example.com": want https, as the token would be sent in clear`},
		{"ftp://ghe.example.com", "", `parse GitHub API URL "ftp://ghe.example.com": want https://HOST[/PATH]`},
		{"api.github.com", "", `parse GitHub API URL "api.github.com": want https://HOST[/PATH]`},
		{"https://", "", `parse GitHub API URL "https:": want https://HOST[/PATH]`},
		{"https:///api/v3", "", `parse GitHub API URL "https:///api/v3": want https://HOST[/PATH]`},
		{"https://user:password@ghe.example.com", "", "parse GitHub API URL: it may hold a host and a path only"},
		{"https://ghe.example.com?access_token=x", "", "parse GitHub API URL: it may hold a host and a path only"},
		{"https://ghe.example.com#x", "", "parse GitHub API URL: it may hold a host and a path only"},
		{"https://user:pass word@ghe\x00", "", "parse GitHub API URL: it is not a URL"},
	} {
		t.Run(test.api, func(t *testing.T) {
			c, err := New(Options{API: test.api})
			if err != nil {
				equal(t, "error", err.Error(), test.want)
				return
			}
			equal(t, "error", "", test.want)
			equal(t, "base URL", c.api.String(), test.base)
		})
	}
}

func TestRepositoryNamesThoseThatTheAPIServes(t *testing.T) {
	const hub, ghe, cloud, local = "", "https://ghe.example.com/api/v3", "https://api.acme.ghe.com", "http://127.0.0.1:8080"
	for _, test := range []struct{ api, host, path, want string }{
		{hub, "github.com", "kainlite/blog.git", "kainlite/blog"},
		{hub, "github.com", "/kainlite/blog", "kainlite/blog"},
		{hub, "github.com", "/kainlite/blog.git/", "kainlite/blog"},
		{hub, "GitHub.com", "Kainlite/Blog.git", "Kainlite/Blog"},
		{hub, "github.com:22", "kainlite/blog.git", "kainlite/blog"},
		{hub, "ssh.github.com", "kainlite/blog.git", "kainlite/blog"},
		{hub, "ssh.github.com:443", "kainlite/my.blog.git", "kainlite/my.blog"},
		{hub, "github.com", "acme_emu/.github", "acme_emu/.github"},
		{hub, "gitlab.com", "kainlite/blog.git", ""},
		{hub, "github.com.example.com", "kainlite/blog.git", ""},
		{hub, "notgithub.com", "kainlite/blog.git", ""},
		{hub, "127.0.0.1", "kainlite/blog.git", ""},
		{hub, "localhost", "kainlite/blog.git", ""},
		{hub, "", "kainlite/blog.git", ""},
		{hub, "github.com", "blog.git", ""},
		{hub, "github.com", "a/b/c.git", ""},
		{hub, "github.com", "kainlite/.git", ""},
		{hub, "github.com", "kainlite/..", ""},
		{hub, "github.com", "../blog", ""},
		{hub, "github.com", "kainlite/bl og", ""},
		{hub, "github.com", "kainlite/blog%2f..", ""},
		{hub, "github.com", "~kainlite/blog", ""},
		{hub, "github.com", "", ""},
		{ghe, "ghe.example.com", "kainlite/blog.git", "kainlite/blog"},
		{ghe, "github.com", "kainlite/blog.git", "kainlite/blog"},
		{ghe, "example.com", "kainlite/blog.git", ""},
		{ghe, "localhost", "kainlite/blog.git", ""},
		{cloud, "acme.ghe.com", "kainlite/blog.git", "kainlite/blog"},
		{cloud, "other.ghe.com", "kainlite/blog.git", ""},
		{local, "127.0.0.1", "kainlite/blog.git", "kainlite/blog"},
		{local, "127.0.0.1:2222", "kainlite/blog.git", "kainlite/blog"},
		{local, "localhost", "kainlite/blog.git", "kainlite/blog"},
		{local, "::1", "kainlite/blog.git", "kainlite/blog"},
		{local, "[::1]:2222", "kainlite/blog.git", "kainlite/blog"},
		{local, "github.com", "kainlite/blog.git", "kainlite/blog"},
		{local, "ghe.example.com", "kainlite/blog.git", ""},
		{"http://localhost:8080/", "127.0.0.1", "kainlite/blog.git", "kainlite/blog"},
	} {
		t.Run(test.api+" "+test.host+" "+test.path, func(t *testing.T) {
			c, err := New(Options{API: test.api})
			if err != nil {
				t.Fatal(err)
			}
			owner, name, ok := c.Repository(test.host, test.path)
			equal(t, "ok", ok, test.want != "")
			got := owner + "/" + name
			if !ok {
				equal(t, "names beside not ok", got, "/")
				return
			}
			equal(t, "repository", got, test.want)
		})
	}
}
