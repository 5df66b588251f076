package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

const listPath = "/v2/owner/app/tags/list"

// Many who ask in one pass cost one list, and a failure is shared too.
func TestOnePassListsOnce(t *testing.T) {
	for _, test := range []struct {
		name     string
		answer   http.HandlerFunc
		requests int
	}{
		{"there", pages(25, 10, `<%s>; rel="next"`), 3},
		{"forbidden", manifests(refuse(403, "")), 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := serve(t, test.answer)
			lists := NewLists(newClient(t, Options{}), 0)
			for passes := 1; passes <= 2; passes++ {
				pass := lists.Pass()
				var wg sync.WaitGroup
				results := make([]string, 100)
				for i := range results {
					wg.Go(func() {
						got, err := pass.Tags(t.Context(), f.host+"/owner/app", nil)
						results[i] = fmt.Sprint(got, err)
					})
				}
				wg.Wait()
				for _, r := range results {
					equal(t, "result", r, results[0])
				}
				equal(t, "requests", strings.Count(f.requests(), listPath), passes*test.requests)
			}
		})
	}
}

// What one Secret may see is not shown to another.
func TestAListIsSharedOnlyByWhoShowsTheSame(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		switch {
		case u != user || p != password:
			challenge(`Basic realm="x"`, refuse(401, ""))(w, r)
		case r.URL.Path == listPath:
			w.Header().Set("ETag", `"1"`)
			pages(3, 10, "")(w, r)
		}
	})
	lists := NewLists(newClient(t, Options{}), 0)
	for range 2 {
		pass := lists.Pass()
		right, again, wrong := credentials(t, f.host, user, password), credentials(t, f.host, user, password), credentials(t, f.host, user, "wrong")
		for i, c := range []*Credentials{right, wrong, nil, again} {
			got, err := pass.Tags(t.Context(), f.host+"/owner/app", c)
			if denied := c == wrong || c == nil; denied != errors.Is(err, ErrUnauthorized) || denied == (len(got) == 3) {
				t.Errorf("%d: got %v, %v", i, got, err)
			}
		}
	}
}

// A registry with ETags is only asked whether something has changed.
func TestAListThatHasNotChangedIsNotSentAgain(t *testing.T) {
	size, sent, spared := 25, 0, 0
	f := serve(t, manifests(func(w http.ResponseWriter, r *http.Request) {
		etag := fmt.Sprintf(`"%s-%d"`, r.URL.Query().Get("last"), size/10)
		if size >= 30 && r.URL.Query().Get("last") == "" {
			etag = `"first"`
		}
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			spared++
			w.WriteHeader(http.StatusNotModified)
			return
		}
		sent++
		pages(size, 10, `<%s>; rel="next"`)(w, r)
	}))
	lists := NewLists(newClient(t, Options{}), 0)
	for _, step := range []struct{ size, tags, sent, spared int }{
		{25, 25, 3, 0}, {25, 25, 0, 3}, {35, 35, 4, 0}, {35, 35, 0, 4}, {28, 28, 3, 0},
	} {
		size, sent, spared = step.size, 0, 0
		got, err := lists.Pass().Tags(t.Context(), f.host+"/owner/app", nil)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "outcome", fmt.Sprint(len(got), sent, spared), fmt.Sprint(step.tags, step.sent, step.spared))
	}
}

func TestWhatIsKeptOfListsIsBounded(t *testing.T) {
	f := serve(t, manifests(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		refuse(200, `{"tags":["1","2","3"]}`)(w, r)
	}))
	lists := NewLists(newClient(t, Options{}), 4)
	for i := range 50 {
		if _, err := lists.Pass().Tags(t.Context(), fmt.Sprintf("%s/owner/app%d", f.host, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "lists kept", len(lists.kept), 10)
	for key := range lists.kept {
		if key.repository < f.host+"/owner/app40" {
			t.Errorf("%s is kept, though others were used since", key.repository)
		}
	}
}

// When the one who fetches gives up, another takes over.
func TestAnotherTakesOverAListing(t *testing.T) {
	first, cancel := context.WithCancel(t.Context())
	begun, waiting := make(chan bool, 1), make(chan bool)
	var once sync.Once
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		held := false
		if r.URL.Path == listPath {
			once.Do(func() { held = true })
		}
		if held {
			begun <- true
			<-r.Context().Done()
			return
		}
		pages(3, 10, "")(w, r)
	})
	pass := NewLists(newClient(t, Options{}), 0).Pass()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := pass.Tags(first, f.host+"/owner/app", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
	})
	<-begun
	wg.Go(func() {
		close(waiting)
		if got, err := pass.Tags(t.Context(), f.host+"/owner/app", nil); err != nil || len(got) != 3 {
			t.Errorf("the second: %v, %v", got, err)
		}
	})
	<-waiting
	gone, end := context.WithCancel(t.Context())
	end()
	if _, err := pass.Tags(gone, f.host+"/owner/app", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("one that does not wait: %v", err)
	}
	cancel()
	wg.Wait()
}
