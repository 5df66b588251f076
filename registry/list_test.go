package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// tags lists in a pass of its own.
func tags(t *testing.T, c *Client, limit int, image string, cred *Credentials) []string {
	t.Helper()
	got, err := NewLists(c, limit).Pass().Tags(t.Context(), image, cred)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// unlisted wants a failure of a kind and returns its text.
func unlisted(t *testing.T, c *Client, limit int, image string, cred *Credentials, kind error) string {
	t.Helper()
	got, err := NewLists(c, limit).Pass().Tags(t.Context(), image, cred)
	if err == nil || got != nil {
		t.Fatalf("got %d tags, %v; want a failure", len(got), err)
	}
	if !errors.Is(err, kind) {
		t.Errorf("error %q is not %q", err, kind)
	}
	return err.Error()
}

// A real registry's list comes in pages, with and without logging in to it.
func TestListsTheTagsOfARealRegistry(t *testing.T) {
	const many = 1100
	for _, authentication := range []string{"none", "basic", "token"} {
		t.Run(authentication, func(t *testing.T) {
			r := start(t, authentication, "", nil)
			c := newClient(t, Options{})
			cred := credentials(t, r.addr(), user, password)
			repository := r.addr() + "/private/app"
			push(t, c, repository+":first", false)
			want := []string{"first"}
			if authentication == "none" {
				want = append(want, tagMany(t, c, repository, many)...)
			}
			got := tags(t, c, 0, repository, cred)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got %d tags, want %d", len(got), len(want))
			}
			if authentication == "none" {
				equal(t, "message", unlisted(t, c, 1000, repository, cred, ErrTooMany), "list tags of "+repository+
					" in registry "+r.addr()+": too many tags: more than 1000 (delete old tags, or allow more)")
				return
			}
			unlisted(t, c, 0, repository, nil, ErrUnauthorized)
			unlisted(t, c, 0, repository, credentials(t, r.addr(), user, "wrong"), ErrUnauthorized)
		})
	}
}

// tagMany gives one image many tags.
func tagMany(t *testing.T, c *Client, repository string, n int) (all []string) {
	t.Helper()
	image, err := random.Image(16, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		ref, err := name.NewTag(fmt.Sprintf("%s:1.%d.0", repository, i))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			err = remote.Write(ref, image, remote.WithTransport(c.transport))
		} else {
			err = remote.Tag(ref, image, remote.WithTransport(c.transport), remote.WithAuth(authn.Anonymous))
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ref.TagStr())
	}
	return all
}

func TestARepositoryThatARealRegistryDoesNotKnow(t *testing.T) {
	r := start(t, "none", "", nil)
	got := unlisted(t, newClient(t, Options{}), 0, r.addr()+"/no/app", nil, ErrNotFound)
	equal(t, "message", got, "list tags of "+r.addr()+"/no/app in registry "+r.addr()+
		": repository not found: 404 Not Found, NAME_UNKNOWN: repository name not known to registry (check that the repository exists and that the credentials may see it)")
}

// The digest is that of what a pull would get: of several platforms, the index.
func TestDigestsOfARealRegistry(t *testing.T) {
	r := start(t, "basic", "", nil)
	c := newClient(t, Options{})
	cred := credentials(t, r.addr(), user, password)
	auth := remote.WithAuth(authn.FromConfig(authn.AuthConfig{Username: user, Password: password}))
	for _, index := range []bool{false, true} {
		image := fmt.Sprintf("%s/owner/app:index-%t", r.addr(), index)
		push(t, c, image, index)
		ref, err := name.NewTag(image)
		if err != nil {
			t.Fatal(err)
		}
		want, err := remote.Get(ref, auth, remote.WithTransport(c.transport)) // computes it from the content
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Digest(t.Context(), image, cred)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "digest", got, want.Digest.String())
	}
	got, err := c.Digest(t.Context(), r.addr()+"/owner/app:none", cred)
	if got != "" || err != nil {
		t.Errorf("of what is not there: %q, %v", got, err)
	}
	_, err = c.Digest(t.Context(), r.addr()+"/owner/app:none", nil)
	if !errors.Is(err, ErrUnauthorized) || !strings.HasPrefix(err.Error(), "check image "+r.addr()+"/owner/app:none in registry ") {
		t.Errorf("without credentials: %v", err)
	}
}

// pages serves a repository with this many tags, size in each page, and links
// as format says, in which %s is path and query.
func pages(n, size int, format string) http.HandlerFunc {
	return manifests(func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("last"))
		to := min(n, from+size)
		list := []string{}
		for i := from; i < to; i++ {
			list = append(list, fmt.Sprint("v", i))
		}
		if to < n {
			next := fmt.Sprintf("%s?last=%d&n=%d", r.URL.Path, to, size)
			w.Header().Set("Link", strings.ReplaceAll(format, "%s", next))
		}
		json.NewEncoder(w).Encode(map[string]any{"name": "owner/app", "tags": list})
	})
}

func TestFollowsLinksOnTheSameHostOnly(t *testing.T) {
	elsewhere := serve(t, pages(1, 1, ""))
	for _, test := range []struct{ name, link, wrong string }{
		{"relative", `<%s>; rel="next"`, ""},
		{"without quotes", `<%s>; rel=next`, ""},
		{"without rel", `<%s>`, ""},
		{"absolute", `<http://HOST%s>; rel="next"`, ""},
		{"another scheme, as behind a proxy", `<https://HOST%s>; rel="next"`, ""},
		{"without scheme", `<//HOST%s>; rel="next"`, ""},
		{"among others", `<http://` + elsewhere.host + `/first>; rel="first", <%s>; rel="next"`, ""},
		{"another host", `<http://` + elsewhere.host + `%s>; rel="next"`, "its link to the next page of tags leads to another host, " + elsewhere.host},
		{"another port", `<http://127.0.0.1:1%s>; rel="next"`, "its link to the next page of tags leads to another host, 127.0.0.1:1"},
		{"no host", `<file:///etc/passwd>; rel="next"`, "its link to the next page of tags leads to another host,"},
		{"no URL", "<%zz>; rel=next", "its link to the next page of tags is no URL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var f *fake
			f = serve(t, func(w http.ResponseWriter, r *http.Request) {
				pages(25, 10, strings.ReplaceAll(test.link, "HOST", f.host))(w, r)
			})
			c := newClient(t, Options{})
			if test.wrong != "" {
				got := unlisted(t, c, 0, f.host+"/owner/app", credentials(t, f.host, user, password), ErrUnexpected)
				if !strings.Contains(got, ": "+test.wrong+" (check that ") {
					t.Errorf("message %q lacks %q", got, test.wrong)
				}
			} else if got := tags(t, c, 0, f.host+"/owner/app", nil); len(got) != 25 || got[24] != "v24" {
				t.Errorf("got %d tags: %v", len(got), got)
			}
			equal(t, "asked elsewhere", elsewhere.requests(), "")
		})
	}
}

func TestListsThatAreNone(t *testing.T) {
	answer := func(body string) http.HandlerFunc { return manifests(refuse(200, body)) }
	circle := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=%t>; rel="next"`, r.URL.Path, r.URL.Query().Get("page") != "true"))
		io.WriteString(w, `{"tags":["a"]}`)
	}
	n := 0
	endless := func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, n))
		io.WriteString(w, `{"tags":[]}`)
	}
	flood := func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, n))
		fmt.Fprintf(w, `{"tags":[%q]}`, strings.Repeat("x", 1<<20))
	}
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		kind   error
		want   string
	}{
		{"a web page", answer("<html>"), ErrUnexpected, `its list of tags is not the JSON of one: {"tags": ["…"]} (check that HOST is a container registry)`},
		{"other JSON", answer(`{"children":[]}`), ErrUnexpected, `its list of tags has no "tags" (check that HOST is a container registry)`},
		{"numbers", answer(`{"tags":[1]}`), ErrUnexpected, `its list of tags is not the JSON of one: {"tags": ["…"]} (check that HOST is a container registry)`},
		{"nothing", answer(""), ErrUnexpected, `its list of tags is not the JSON of one: {"tags": ["…"]} (check that HOST is a container registry)`},
		{"a circle", manifests(circle), ErrUnexpected, "its list of tags goes round in circles: page 3 leads back to an earlier one (check that HOST is a container registry)"},
		{"without end", manifests(endless), ErrUnexpected, "its list of tags has no end: 21 pages held 0 tags (check that HOST is a container registry)"},
		{"megabytes", answer(`{"tags":["` + strings.Repeat("x", 5<<20) + `"]}`), ErrUnexpected, "its list of up to 100 tags has more than 4 MiB (check that HOST is a container registry)"},
		{"megabytes in pages", manifests(flood), ErrUnexpected, "its list of up to 100 tags has more than 4 MiB (check that HOST is a container registry)"},
		{"too many at once", pages(101, 1000, ""), ErrTooMany, "more than 100 (delete old tags, or allow more)"},
		{"too many in pages", pages(1e9, 30, `<%s>; rel="next"`), ErrTooMany, "more than 100 (delete old tags, or allow more)"},
		{"forbidden", manifests(refuse(403, `{"errors":[{"code":"DENIED","message":"no"}]}`)), ErrUnauthorized, "403 Forbidden, DENIED: no (" + anonymous + ")"},
		{"too busy", manifests(refuse(429, "")), ErrRateLimited, "429 Too Many Requests (wait, or use credentials with a higher limit)"},
		{"broken", manifests(refuse(500, "")), ErrUnavailable, "500 Internal Server Error (" + reachable + ")"},
		{"not changed, though nobody asked", manifests(refuse(304, "")), ErrUnexpected, "304 Not Modified (check that HOST is a container registry)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := serve(t, test.answer)
			got := unlisted(t, newClient(t, Options{}), 100, f.host+"/owner/app", nil, test.kind)
			equal(t, "message", got, "list tags of "+f.host+"/owner/app in registry "+f.host+": "+
				test.kind.Error()+": "+strings.ReplaceAll(test.want, "HOST", f.host))
		})
	}
}

func TestListsThatAreEmptyOrHoldWhatCannotBePulled(t *testing.T) {
	for body, want := range map[string]string{
		`{"tags":null}`: "[]",
		`{"tags":[]}`:   "[]",
		`{"tags":["1","-no","a b","","` + strings.Repeat("x", 129) + `","a\nb","über","2"]}`: "[1 2]",
	} {
		f := serve(t, manifests(refuse(200, body)))
		equal(t, body, fmt.Sprint(tags(t, newClient(t, Options{}), 0, f.host+"/owner/app", nil)), want)
	}
}

// A page that fails is asked for again, and only that one.
func TestATryGoesOnWhereTheLastOneStopped(t *testing.T) {
	failures := 0
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("last") == "20" && failures < 2 {
			failures++
			w.WriteHeader(502)
			return
		}
		pages(25, 10, `<%s>; rel="next"`)(w, r)
	})
	equal(t, "tags", len(tags(t, newClient(t, Options{}), 0, f.host+"/owner/app", nil)), 25)
	equal(t, "requests", strings.ReplaceAll(f.requests(), "GET /v2/owner/app/tags/list", "LIST"),
		"GET /v2/, LIST, LIST, LIST, GET /v2/, LIST, GET /v2/, LIST")
}

func TestListsOfWhatIsNoName(t *testing.T) {
	for image, want := range map[string]string{
		"app:1": `list tags of "app:1": invalid image reference: it has a tag or a digest (it must be NAME or HOST/NAME, without a tag)`,
		"App":   `list tags of "App": invalid image reference: repository name (library/App) must be lowercase (it must be NAME or HOST/NAME, without a tag)`,
	} {
		equal(t, image, unlisted(t, newClient(t, Options{}), 0, image, nil, ErrInvalid), want)
	}
}

func TestAListIsGivenUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := serve(t, manifests(func(http.ResponseWriter, *http.Request) { cancel() }))
	_, err := NewLists(newClient(t, Options{}), 0).Pass().Tags(ctx, f.host+"/owner/app", nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzParseTags(f *testing.F) {
	for _, seed := range []string{`{"tags":["1.0","x"]}`, `{"tags":null}`, `{}`, `[]`, `{"tags":[1]}`, `{"TAGS":["a"]}`} {
		f.Add([]byte(seed), `</v2/a/tags/list?last=x>; rel="next"`)
	}
	here, _ := http.NewRequest("GET", "https://registry.example.com/v2/a/tags/list", nil)
	f.Fuzz(func(t *testing.T, body []byte, link string) {
		tags, err := parseTags(body)
		if err != nil && tags != nil {
			t.Error("tags and an error")
		}
		for _, tag := range tags {
			if !validTag.MatchString(tag) {
				t.Errorf("tag %q", tag)
			}
		}
		if next, err := nextPage(here.URL, []string{link}); err == nil && next != "" && !strings.HasPrefix(next, "https://registry.example.com") {
			t.Errorf("next %q", next)
		}
	})
}
