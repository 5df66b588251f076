package forgeserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kainlite/gitops-operator/test/fakes"
)

// server is what both hosts have in common.
type server struct {
	fakes.Server
	mu      sync.Mutex
	token   string
	counted int       // answers that would count against a limit
	clock   time.Time // of changes; a second for each
	number  int64     // the last one that was given
}

// Token makes everything private: only who sends this token sees anything.
func (s *server) Token(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

// Counted is the number of answers that count against GitHub's limit: all but
// those that say that nothing has changed.
func (s *server) Counted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counted
}

// tick returns the time of a change.
func (s *server) tick() time.Time {
	if s.clock.IsZero() {
		s.clock = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	s.clock = s.clock.Add(time.Second)
	return s.clock
}

func (s *server) next() int64 { s.number++; return s.number }

// handler adds what all answers have: one at a time, authorization, tags.
func (s *server) handler(mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.counted++
		app := strings.Contains(r.URL.Path, "/installation") // a JWT is looked at there
		if s.token != "" && !app && r.Header.Get("Authorization") != "Bearer "+s.token {
			writeJSON(w, http.StatusUnauthorized, map[string]string{"message": "Bad credentials"})
			return
		}
		if r.Method != http.MethodGet {
			mux.ServeHTTP(w, r)
			return
		}
		r = r.Clone(r.Context())
		r.Header.Set(askedPath, r.URL.EscapedPath()) // handlers may see another one
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, r)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		if answer.Code == http.StatusOK {
			sum := sha256.Sum256(append(answer.Body.Bytes(), answer.Header().Get("Link")...))
			tag := `W/"` + hex.EncodeToString(sum[:]) + `"`
			w.Header().Set("ETag", tag)
			if r.Header.Get("If-None-Match") == tag {
				s.counted--
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	})
}

// askedPath is a header with the path that was asked for.
const askedPath = "X-Test-Path"

// page cuts a list as the query asks for, and says where the next page is, in
// both hosts' ways.
func page[T any](w http.ResponseWriter, r *http.Request, all []T) []T {
	query := r.URL.Query()
	size, at := min(number(query.Get("per_page"), 30), 100), number(query.Get("page"), 1)
	from, to := min((at-1)*size, len(all)), min(at*size, len(all))
	if to < len(all) {
		query.Set("page", strconv.Itoa(at+1))
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?%s>; rel="next"`, r.Host, r.Header.Get(askedPath), query.Encode()))
		w.Header().Set("X-Next-Page", strconv.Itoa(at+1))
	}
	if from == to {
		return []T{} // not null
	}
	return all[from:to]
}

func number(s string, usual int) int {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return n
	}
	return usual
}

func read(r *http.Request, v any) bool {
	var body bytes.Buffer
	if _, err := body.ReadFrom(r.Body); err != nil {
		return false
	}
	return json.Unmarshal(body.Bytes(), v) == nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
