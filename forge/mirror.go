package forge

import (
	"context"
	"strings"
	"sync"
	"time"
)

const (
	maxMirrors  = 500           // repositories that are remembered for each client
	resyncAfter = 6 * time.Hour // when everything is read again
	newsSize    = 30            // of a page of what has changed: mostly, nothing has
	maxNews     = 10            // such pages; with more, everything is read again
	maxOpen     = 60            // pages of open pull requests
	maxClosed   = 4             // pages for one branch, at hosts that cannot list those of one
	maxSeen     = 20_000        // pull requests that are known not to have changed
)

// mirror is what is known of a repository's pull requests. It is read as a
// whole once; after that, only what has changed since is asked for, and one
// answer of the host says that nothing has.
type mirror struct {
	turn chan struct{} // holds one token: who has it may ask for what has changed

	mu    sync.Mutex
	known known
	notes []PullRequest // of what was written while everything was read
}

// known is the contents of a mirror.
type known struct {
	ours    map[int64]PullRequest // by number: those of BranchPrefix
	seen    map[int64]time.Time   // all that were listed, and when each had changed
	checked map[string]bool       // branches whose closed requests are known too
	merging map[int64]string      // requests that the host will merge, at that commit
	full    time.Time             // when everything was read
	all     bool                  // everything, and not only what was open then
}

func newKnown() known {
	return known{
		ours:    make(map[int64]PullRequest),
		seen:    make(map[int64]time.Time),
		checked: make(map[string]bool),
		merging: make(map[int64]string),
	}
}

func newMirror() *mirror { return &mirror{turn: make(chan struct{}, 1), known: newKnown()} }

func (c *Client) mirror(r Repository) *mirror {
	return c.mirrors.getOrPut(strings.ToLower(r.path()), 1, newMirror)
}

// note takes down what the host has just said of a pull request. It does not
// count as seen: the host lists it once more as changed.
func (m *mirror) note(p PullRequest) {
	if p.Number == 0 || !p.ours() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known.ours[p.Number] = p
	m.notes = append(m.notes, p)
}

// willMerge takes down that the host merges a request by itself; not all of
// them tell.
func (m *mirror) willMerge(p PullRequest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known.merging[p.Number] = p.HeadSHA
}

// take adds a page and says whether it held anything new.
func (k *known) take(page []PullRequest) (news bool) {
	for _, p := range page {
		if at, ok := k.seen[p.Number]; ok && at.Equal(p.Updated) {
			continue
		}
		news = true
		k.seen[p.Number] = p.Updated
		if p.ours() {
			k.ours[p.Number] = p
		}
	}
	return news
}

// get returns a request as it is known.
func (k *known) get(number int64) PullRequest {
	p := k.ours[number]
	if sha, ok := k.merging[number]; ok && sha == p.HeadSHA {
		p.AutoMerge = true
	}
	return p
}

// Open looks up the open pull requests of a repository whose branches begin
// with BranchPrefix, by branch. While nothing has changed, it costs one
// request; at GitHub that one does not count against the limit.
func (c *Client) Open(ctx context.Context, r Repository) (map[string]PullRequest, error) {
	m := c.mirror(r)
	if err := c.do(ctx, r, askPulls, func(c2 call) error { return m.refresh(c2, c.driver) }); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	open := make(map[string]PullRequest)
	for number, p := range m.known.ours {
		// The newest, should a branch have several, to several bases.
		if p.State == Open && number > open[p.Head].Number {
			open[p.Head] = m.known.get(number)
		}
	}
	return open, nil
}

var askPulls = question{action: "pulls", doing: "ask %[1]s for the pull requests of %[2]s", need: readPulls}

// Latest looks up the newest pull request of a branch, in whatever state. ok is
// false if there has been none. After Open it costs a request for each branch
// once, and none later.
func (c *Client) Latest(ctx context.Context, r Repository, branch string) (p PullRequest, ok bool, err error) {
	m := c.mirror(r)
	if p, ok, sure := m.latest(branch); sure {
		return p, ok, nil
	}
	if err := c.do(ctx, r, askPulls, func(c2 call) error { return m.readBranch(c2, c.driver, branch) }); err != nil {
		return PullRequest{}, false, err
	}
	p, ok, _ = m.latest(branch)
	return p, ok, nil
}

// latest returns the newest request of a branch, and whether it is sure to be
// that: only if the mirror is kept, and the branch was asked for once.
func (m *mirror) latest(branch string) (p PullRequest, ok, sure bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for number, one := range m.known.ours {
		if one.Head == branch && number > p.Number {
			p, ok = m.known.get(number), true
		}
	}
	return p, ok, (m.known.all || m.known.checked[branch]) && !m.known.full.IsZero()
}

// refresh asks for what has changed.
func (m *mirror) refresh(c call, d driver) error {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	m.mu.Lock()
	m.notes = nil
	again := time.Since(m.known.full) >= resyncAfter || len(m.known.seen) > maxSeen
	m.mu.Unlock()
	for page := 1; !again; page++ {
		list, more, err := d.pulls(c, filter{page: page, size: newsSize})
		if err != nil {
			return err
		}
		m.mu.Lock()
		news := m.known.take(list)
		m.mu.Unlock()
		if !news || !more {
			return nil
		}
		again = page == maxNews
	}
	return m.readAll(c, d)
}

// readAll reads what is open. The first page of what has changed is read before,
// so that nothing falls between the two. What was known stays in use until all
// is read.
func (m *mirror) readAll(c call, d driver) error {
	next := newKnown()
	list, more, err := d.pulls(c, filter{page: 1, size: newsSize})
	if err != nil {
		return err
	}
	next.take(list)
	next.all = !more
	for page := 1; more; page++ {
		if page > maxOpen {
			return &refined{kind: ErrUnsupported, detail: "too many pull requests are open", hint: "close some"}
		}
		list, more, err = d.pulls(c, filter{open: true, page: page, size: perPage})
		if err != nil {
			return err
		}
		next.take(list)
	}
	next.full = time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	next.merging = m.known.merging
	for number := range next.merging {
		if next.ours[number].State != Open {
			delete(next.merging, number)
		}
	}
	for _, p := range m.notes {
		next.ours[p.Number] = p
	}
	m.known = next
	return nil
}

// readBranch reads the pull requests of a branch.
func (m *mirror) readBranch(c call, d driver, branch string) error {
	found := false
	for page := 1; page <= maxClosed && !found; page++ {
		list, more, err := d.pulls(c, filter{head: branch, page: page, size: perPage})
		if err != nil {
			return err
		}
		m.mu.Lock()
		for _, p := range list {
			if p.Head == branch && p.ours() {
				m.known.ours[p.Number] = p
				found = true
			}
		}
		m.mu.Unlock()
		if !more {
			break
		}
	}
	m.mu.Lock()
	m.known.checked[branch] = true
	m.mu.Unlock()
	return nil
}
