package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// ErrNotFound is a repository that the registry does not know, or does not show.
var ErrNotFound = errors.New("repository not found")

// ErrTooMany is a list of tags that is longer than allowed. Nothing is to be
// concluded from its beginning: registries list in an order of their own.
var ErrTooMany = errors.New("too many tags")

const (
	pageSize = 1000 // what distribution and most others allow at most
	// tagRoom is what a tag may take in an answer: 128 bytes, and what some
	// registries tell about each.
	tagRoom = 192
)

// bytesFor is what a list of tags may have.
func bytesFor(limit int) int64 { return max(maxBody, int64(limit)*tagRoom) }

// validTag is the OCI distribution specification's.
var validTag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// page is one answer of a registry about the tags of a repository.
type page struct {
	url, next string // next is empty for the last one
	etag      string
	tags      []string
}

// listing is one repository whose tags are listed.
type listing struct {
	*question
	limit  int             // tags
	before map[string]page // by URL, of an earlier listing; their ETags hold
	pages  []page          // so far; a try goes on where the one before stopped
	count  int             // tags in pages
	left   int64           // bytes that may still come
}

func (c *Client) newListing(image string, cred *Credentials, limit int) (*listing, error) {
	const op = "list tags of"
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, invalid(op, image, strings.TrimPrefix(err.Error(), reference.ErrReferenceInvalidFormat.Error()+": "), wantName)
	}
	if !reference.IsNameOnly(named) {
		return nil, invalid(op, image, "it has a tag or a digest", wantName)
	}
	q, err := c.newQuestion(op, image, named, cred, wantName)
	if err != nil {
		return nil, err
	}
	return &listing{question: q, limit: limit, before: map[string]page{}, left: bytesFor(limit)}, nil
}

// run lists until all is there, with up to three tries.
func (l *listing) run(ctx context.Context) error {
	return l.ask(ctx, func() *Error { return l.try(ctx) })
}

// try reads the pages that are missing. Each has the client's timeout for
// itself; the whole has the caller's.
func (l *listing) try(ctx context.Context) *Error {
	w, rt, failed := l.login(ctx)
	if failed != nil {
		return failed
	}
	w.most = func() int64 { return max(l.left, 1) }
	client := &http.Client{Transport: rt}
	for next := l.first(); next != ""; next = l.pages[len(l.pages)-1].next {
		p, err := l.read(ctx, client, next)
		if err != nil {
			return l.unlisted(w, err)
		}
		l.pages = append(l.pages, p)
		l.count += len(p.tags)
		if err := l.sane(p); err != nil {
			return err
		}
	}
	return nil
}

func (l *listing) login(ctx context.Context) (*wire, http.RoundTripper, *Error) {
	ctx, cancel := context.WithTimeout(ctx, l.client.timeout)
	defer cancel()
	return l.connect(ctx)
}

// first is the URL to begin with: the one after what is there already.
func (l *listing) first() string {
	if n := len(l.pages); n > 0 {
		return l.pages[n-1].next
	}
	u := url.URL{
		Scheme: l.repository.Scheme(), Host: l.repository.RegistryStr(),
		Path: "/v2/" + l.repository.RepositoryStr() + "/tags/list", RawQuery: "n=" + strconv.Itoa(pageSize),
	}
	return u.String()
}

// sane stops at lists that are too long or without end.
func (l *listing) sane(p page) *Error {
	e := &Error{Op: l.op, Image: l.image, Registry: l.host, final: true}
	switch {
	case l.count > l.limit:
		e.Kind, e.Detail = ErrTooMany, fmt.Sprintf("more than %d", l.limit)
		e.Hint = "delete old tags, or allow more"
		return e
	case len(l.pages) > l.limit/10+10:
		e.Kind, e.Detail = ErrUnexpected, fmt.Sprintf("its list of tags has no end: %d pages held %d tags", len(l.pages), l.count)
	case p.next != "" && l.seen(p.next):
		e.Kind, e.Detail = ErrUnexpected, fmt.Sprintf("its list of tags goes round in circles: page %d leads back to an earlier one", len(l.pages))
	default:
		return nil
	}
	e.Hint = l.hint(e.Kind)
	return e
}

func (l *listing) seen(u string) bool {
	for _, p := range l.pages {
		if p.url == u {
			return true
		}
	}
	return false
}

// read fetches one page, or learns that it is as it was.
func (l *listing) read(ctx context.Context, client *http.Client, u string) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, l.client.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return page{}, err
	}
	req.Header.Set("Accept", "application/json")
	old, known := l.before[u]
	if known {
		req.Header.Set("If-None-Match", old.etag)
	}
	resp, err := client.Do(req)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	if known && resp.StatusCode == http.StatusNotModified {
		return old, nil
	}
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return page{}, err
	}
	body, err := io.ReadAll(resp.Body)
	l.left -= int64(len(body))
	if err != nil {
		return page{}, err
	}
	p := page{url: u, etag: resp.Header.Get("ETag")}
	if p.tags, err = parseTags(body); err != nil {
		return page{}, err
	}
	p.next, err = nextPage(req.URL, resp.Header.Values("Link"))
	return p, err
}

// parseTags reads a page. What is no valid tag, and so cannot be pulled, is
// left out.
func parseTags(body []byte) ([]string, error) {
	var answer struct {
		Tags *[]string `json:"tags"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, errors.New(`its list of tags is not the JSON of one: {"tags": ["…"]}`)
	}
	if answer.Tags == nil { // null is how some say that there are none
		var key map[string]json.RawMessage
		if json.Unmarshal(body, &key) != nil || key["tags"] == nil {
			return nil, errors.New(`its list of tags has no "tags"`)
		}
		return nil, nil
	}
	tags := (*answer.Tags)[:0]
	for _, tag := range *answer.Tags {
		if validTag.MatchString(tag) {
			tags = append(tags, tag)
		}
	}
	return tags, nil
}

// nextPage returns where a Link header says that the list goes on, or nothing.
// It never leads to another host, since the request carries credentials; the
// scheme stays too, whatever a registry behind a proxy believes to be its own.
func nextPage(here *url.URL, links []string) (string, error) {
	for rest := strings.Join(links, ","); ; {
		_, link, found := strings.Cut(rest, "<")
		target, after, closed := strings.Cut(link, ">")
		if !found || !closed {
			return "", nil
		}
		parameters, _, _ := strings.Cut(after, "<")
		if rest = after; !isNext(strings.TrimRight(parameters, ", ")) {
			continue
		}
		u, err := here.Parse(target)
		if err != nil || target == "" || u.Opaque != "" {
			return "", errors.New("its link to the next page of tags is no URL")
		}
		if !strings.EqualFold(u.Host, here.Host) && !strings.EqualFold(u.Host, strings.TrimSuffix(here.Host, ":443")) {
			return "", fmt.Errorf("its link to the next page of tags leads to another host, %s", u.Host)
		}
		u.Scheme, u.Host, u.User, u.Fragment = here.Scheme, here.Host, nil, ""
		return u.String(), nil
	}
}

// isNext says whether a link's parameters have rel="next", or no rel at all.
func isNext(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(strings.TrimSpace(key), "rel") {
			return strings.EqualFold(strings.Trim(strings.TrimSpace(value), `"`), "next")
		}
	}
	return true
}

// unlisted says what went wrong with a page.
func (l *listing) unlisted(w *wire, err error) *Error {
	e := l.failure(w, err)
	var status *transport.Error
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &status) && status.StatusCode == http.StatusNotFound:
		e.Kind = ErrNotFound
		e.Hint = "check that the repository exists and that the credentials may see it"
	case errors.As(err, &tooBig):
		e.Detail = fmt.Sprintf("its list of up to %d tags has more than %d MiB", l.limit, max(maxBody, int64(l.limit)*tagRoom)>>20)
	}
	return e
}
