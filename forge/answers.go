package forge

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"io"
	"net/http"
)

// answerKey tells the answers of different credentials apart: what one may see
// another may not.
type answerKey struct {
	client [sha256.Size]byte
	url    string
}

// answer is one that a host gave, with the tag that it gave it. A host that is
// asked with the tag says whether the answer is the same, which costs none of
// the requests that GitHub allows.
type answer struct {
	etag string
	next http.Header // those that name the next page
	body []byte      // compressed: pull requests repeat themselves
}

// keep remembers an answer.
func (f *Forges) keep(key answerKey, r *http.Response) {
	etag := r.Header.Get("ETag")
	if r.StatusCode != http.StatusOK || etag == "" || len(etag) > 200 {
		return
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, flate.BestSpeed)
	w.Write(body) // to memory: cannot fail
	w.Close()
	a := answer{etag, make(http.Header), bytes.Clone(packed.Bytes())}
	cost := len(a.body) + len(key.url) + 500
	for _, name := range []string{"Link", "X-Next-Page", "Content-Type"} {
		if value := r.Header.Get(name); value != "" {
			a.next.Set(name, value)
			cost += len(value)
		}
	}
	f.answers.put(key, a, cost)
}

// response is the answer again.
func (a answer) response(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(flate.NewReader(bytes.NewReader(a.body)))
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status:        "200 OK",
		StatusCode:    http.StatusOK,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        a.next.Clone(),
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}, nil
}
