package httpapi

import "testing"

func TestMask(t *testing.T) {
	for text, want := range map[string]string{
		"git@github.com:kainlite/blog.git":         "git@github.com:kainlite/blog.git",
		"ssh://git@host:22/x.git":                  "ssh://git@host:22/x.git",
		"https://host/x@v1":                        "https://***@v1", // better too much
		"https://me:hunter2@host/x":                "https://***@host/x",
		"HTTPS://hunter2@host/x":                   "HTTPS://***@host/x",
		"https://me:hunt@er/2@host/x":              "https://***@host/x",
		"ssh://git:hunter2@host/x":                 "ssh://git:***@host/x",
		"git:hunter2@host:x":                       "git:***@host:x",
		`{"a":"https://me:hunter2@h/x","b":"a@b"}`: `{"a":"https://***@h/x","b":"a@b"}`,
		"https://index.docker.io/v1/":              "https://index.docker.io/v1/",
		"kainlite/blog":                            "kainlite/blog",
	} {
		if got := mask(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
