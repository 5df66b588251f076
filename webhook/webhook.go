// Package webhook reads what git hosts send when somebody has pushed: GitHub,
// GitLab, Gitea and Forgejo. It checks that the sender knows the secret, and
// says which branch of which repository was pushed. It touches nothing, and
// knows nothing of Deployments.
package webhook

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-github/v60/github"

	"github.com/kainlite/gitops-operator/internal/repository"
)

// What errors.Is finds when a request is no webhook.
var (
	ErrUnsigned  = errors.New("not signed with the secret")
	ErrMalformed = errors.New("not a webhook of GitHub, GitLab, Gitea or Forgejo")
)

// Event is what a host sent.
type Event struct {
	// Push is the push; nil if the event is none that brought a branch forward.
	Push *Push
	// Ignored says what it is instead.
	Ignored string
}

// Push is a branch that was pushed.
type Push struct {
	Branch string
	// Repository is its name for messages, such as github.com/owner/repo.
	Repository string

	identities map[string]bool
}

// Of says whether the push was to a repository, given by its URL. How that is
// written does not count: over SSH or HTTPS, user, port, .git at the end, upper
// and lower case.
func (p Push) Of(url string) bool {
	id, ok := repository.Loose(url)
	return ok && p.identities[id]
}

// CheckHeader says what the headers tell alone, so that a body which cannot be
// accepted need not be read. The error is ErrUnsigned.
func CheckHeader(h http.Header, secret string) error {
	if token := h.Get("X-Gitlab-Token"); token != "" {
		x, y := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(secret))
		if secret == "" || subtle.ConstantTimeCompare(x[:], y[:]) != 1 {
			return fmt.Errorf("%w: X-Gitlab-Token is wrong", ErrUnsigned)
		}
		return nil
	}
	if signature(h) == "" {
		return fmt.Errorf("%w: there is neither a signature nor a token: set the secret in the webhook's settings", ErrUnsigned)
	}
	return nil
}

// Read checks a request and says what it is. The error is ErrUnsigned or
// ErrMalformed.
func Read(h http.Header, body []byte, secret string) (Event, error) {
	if err := CheckHeader(h, secret); err != nil {
		return Event{}, err
	}
	gitlab := h.Get("X-Gitlab-Token") != ""
	if !gitlab {
		// An empty secret would let everybody sign, and other hashes are not sent.
		if s := signature(h); secret == "" || !strings.HasPrefix(s, "sha256=") || github.ValidateSignature(s, body, []byte(secret)) != nil {
			return Event{}, fmt.Errorf("%w: the signature is wrong", ErrUnsigned)
		}
	}
	text, err := payloadText(h, body)
	if err != nil {
		return Event{}, err
	}
	var p payload
	if err := json.Unmarshal(text, &p); err != nil {
		return Event{}, fmt.Errorf("%w: the body is not its JSON", ErrMalformed)
	}
	kind := p.ObjectKind // in GitLab's, also where a system hook sends it
	if !gitlab {
		kind = cmp.Or(h.Get("X-Forgejo-Event"), h.Get("X-Gitea-Event"), h.Get("X-GitHub-Event"))
	}
	switch {
	case kind == "":
		return Event{}, fmt.Errorf("%w: it does not say which event it is", ErrMalformed)
	case kind != "push":
		return Event{Ignored: fmt.Sprintf("the event is %.40q: only a push starts a pass", kind)}, nil
	}
	return p.push()
}

// signature returns the signature in GitHub's form, "" if there is none.
func signature(h http.Header) string {
	if s := h.Get("X-Hub-Signature-256"); s != "" {
		return s
	}
	if s := cmp.Or(h.Get("X-Forgejo-Signature"), h.Get("X-Gitea-Signature")); s != "" {
		return "sha256=" + s
	}
	return ""
}

// payloadText returns the JSON: the body, or a field of the form that it is.
func payloadText(h http.Header, body []byte) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/json":
		return body, nil
	case err == nil && kind == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, fmt.Errorf("%w: the form cannot be read", ErrMalformed)
		}
		return []byte(form.Get("payload")), nil
	}
	return nil, fmt.Errorf("%w: the content type is neither application/json nor a form", ErrMalformed)
}

// payload is what is needed of a push event. GitLab has its own names.
type payload struct {
	ObjectKind string    `json:"object_kind"`
	Ref        string    `json:"ref"`
	After      string    `json:"after"`
	Deleted    bool      `json:"deleted"`
	Repository addresses `json:"repository"`
	Project    addresses `json:"project"`
}

type addresses struct {
	SSH     string `json:"ssh_url"`
	Clone   string `json:"clone_url"`
	HTML    string `json:"html_url"`
	GitSSH  string `json:"git_ssh_url"`
	GitHTTP string `json:"git_http_url"`
	Web     string `json:"web_url"`
}

func (p payload) push() (Event, error) {
	branch, ok := strings.CutPrefix(p.Ref, "refs/heads/")
	switch {
	case p.Ref == "":
		return Event{}, fmt.Errorf("%w: it names no branch", ErrMalformed)
	case !ok || branch == "":
		return Event{Ignored: fmt.Sprintf("%.200q is not a branch", p.Ref)}, nil
	case p.Deleted || p.After != "" && strings.Trim(p.After, "0") == "":
		return Event{Ignored: fmt.Sprintf("the branch %.200q was deleted", branch)}, nil
	}
	push := &Push{Branch: branch, identities: map[string]bool{}}
	for _, r := range []addresses{p.Repository, p.Project} {
		for _, u := range []string{r.Clone, r.GitHTTP, r.HTML, r.Web, r.SSH, r.GitSSH} {
			if id, ok := repository.Loose(u); ok {
				push.identities[id] = true
				push.Repository = cmp.Or(push.Repository, id)
			}
		}
	}
	if len(push.identities) == 0 {
		return Event{}, fmt.Errorf("%w: it names no repository", ErrMalformed)
	}
	return Event{Push: push}, nil
}
