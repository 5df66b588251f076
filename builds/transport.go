package builds

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxAnswer bounds an answer, in bytes; 100 runs take about one million.
const maxAnswer = 16 << 20

var errTooLarge = fmt.Errorf("answer is larger than %d MiB", maxAnswer>>20)

// guard stands between go-github and the network. It sends requests, and the
// token, to the API's host only, wherever redirects lead: go-github would send
// it along. It reads answers whole, so that a connection that breaks and an
// answer that is nonsense can be told apart.
type guard struct {
	next  http.RoundTripper
	api   *url.URL
	token string
}

// redirectError says where the API wanted to send us.
type redirectError struct{ to string }

func (e redirectError) Error() string { return "redirect to another host, " + e.to + ", not followed" }

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != g.api.Scheme || !strings.EqualFold(r.URL.Host, g.api.Host) {
		return nil, redirectError{r.URL.Scheme + "://" + r.URL.Host}
	}
	if g.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+g.token)
	}
	response, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, errTooLarge
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}
