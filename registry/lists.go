package registry

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// DefaultTags is how many tags a repository may have unless NewLists is told
// otherwise.
const DefaultTags = 20_000

// keptLists bounds what is kept from pass to pass, in lists of full length.
const keptLists = 10

// Lists gives lists of tags. Whoever asks in one Pass shares what it fetches;
// from pass to pass it keeps those lists that the registry marks with an ETag,
// and asks whether they have changed. It is safe for concurrent use.
type Lists struct {
	client *Client
	limit  int

	mu   sync.Mutex
	kept map[listKey]*keptList
	turn int // counts uses
}

// listKey is a repository as somebody sees it: who may not see it must not be
// given what another one was shown.
type listKey struct {
	repository string
	shown      [sha256.Size]byte
}

type keptList struct {
	pages []page
	tags  int
	used  int // the turn
}

// NewLists returns Lists of at most limit tags each; 0 means DefaultTags.
func NewLists(c *Client, limit int) *Lists {
	if limit <= 0 {
		limit = DefaultTags
	}
	return &Lists{client: c, limit: limit, kept: map[listKey]*keptList{}}
}

// Pass begins a pass: within it, each repository is listed once, however many
// ask, and whatever the answer is. It need not be ended.
func (l *Lists) Pass() *Pass { return &Pass{lists: l, asked: map[listKey]*shared{}} }

// Pass is what one pass has learnt. It is safe for concurrent use.
type Pass struct {
	lists *Lists
	mu    sync.Mutex
	asked map[listKey]*shared
}

// shared is one listing and those who wait for it.
type shared struct {
	done chan struct{}
	tags []string
	err  error
	// givenUp says that the context of whoever did it ended.
	givenUp bool
}

// Tags returns the tags of image, a name without a tag, in the registry's
// order; each can be pulled by its form. They are shared: do not change them.
// Nil credentials ask anonymously, or with the Client's Identity.
//
// A list that is longer than allowed is an *Error with ErrTooMany; it and all
// other failures are as with Client.Exists, and ErrNotFound where the registry
// knows no such repository. Each of its pages has the Client's timeout; bound
// the whole with ctx. One caller fetches; when its ctx ends first, another that
// waits takes over.
func (p *Pass) Tags(ctx context.Context, image string, cred *Credentials) ([]string, error) {
	begin := time.Now()
	c := p.lists.client
	list, err := c.newListing(image, cred, p.lists.limit)
	if err != nil {
		c.observe(begin, "", err)
		return nil, err
	}
	key := list.key()
	for {
		s, mine := p.join(key)
		if mine {
			p.lead(ctx, key, s, list)
			c.observe(begin, "listed", s.err)
			return s.tags, s.err
		}
		select {
		case <-s.done:
		case <-ctx.Done():
			return nil, list.ended(ctx.Err(), nil)
		}
		if !s.givenUp {
			return s.tags, s.err
		}
	}
}

// join returns the listing of a key, and whether it is the caller's to do.
func (p *Pass) join(key listKey) (s *shared, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s = p.asked[key]; s != nil {
		return s, false
	}
	s = &shared{done: make(chan struct{})}
	p.asked[key] = s
	return s, true
}

// lead does a listing and tells those who wait for it.
func (p *Pass) lead(ctx context.Context, key listKey, s *shared, list *listing) {
	s.givenUp = true // unless it gets to its end
	defer func() {
		if s.givenUp {
			p.mu.Lock()
			delete(p.asked, key)
			p.mu.Unlock()
		}
		close(s.done)
	}()
	s.tags, s.err = p.lists.fetch(ctx, key, list)
	s.givenUp = s.err != nil && ctx.Err() != nil
}

func (l *listing) key() listKey {
	shown, err := l.auth.Authorization()
	if err != nil {
		shown = &authn.AuthConfig{}
	}
	return listKey{l.repository.Name(), sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q",
		shown.Username, shown.Password, shown.Auth, shown.IdentityToken, shown.RegistryToken))}
}

// fetch lists, on top of what is kept.
func (l *Lists) fetch(ctx context.Context, key listKey, list *listing) ([]string, error) {
	l.mu.Lock()
	if kept := l.kept[key]; kept != nil {
		for _, p := range kept.pages {
			list.before[p.url] = p
		}
	}
	l.mu.Unlock()
	if err := list.run(ctx); err != nil {
		return nil, err
	}
	l.keep(key, list)
	tags := make([]string, 0, list.count)
	for _, p := range list.pages {
		tags = append(tags, p.tags...)
	}
	return tags, nil
}

// keep keeps the pages that have an ETag, and drops what was not used for the
// longest time where that is too much.
func (l *Lists) keep(key listKey, list *listing) {
	k := &keptList{}
	for _, p := range list.pages {
		if p.etag != "" {
			k.pages = append(k.pages, p)
			k.tags += len(p.tags)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.kept, key)
	if len(k.pages) == 0 {
		return
	}
	l.turn++
	k.used = l.turn
	l.kept[key] = k
	for total := l.total(); total > keptLists*l.limit; total = l.total() {
		var oldest listKey
		least := l.turn + 1
		for key, k := range l.kept {
			if k.used < least {
				oldest, least = key, k.used
			}
		}
		delete(l.kept, oldest)
	}
}

func (l *Lists) total() int {
	n := 0
	for _, k := range l.kept {
		n += k.tags + len(k.pages) // so that empty ones count too
	}
	return n
}
