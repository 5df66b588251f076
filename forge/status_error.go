package forge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// statusError is an answer that is no success.
type statusError struct {
	status  int
	message string    // of the host, clean
	until   time.Time // of a rate limit
}

func newStatusError(r *http.Response, body []byte, secret string) *statusError {
	e := &statusError{status: r.StatusCode, message: clean(message(body), secret, 300)}
	if isLimit(r.StatusCode, r.Header, e.message) {
		e.until = limitEnd(r.Header, time.Now())
	}
	return e
}

func (e *statusError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("%d %s: %s", e.status, http.StatusText(e.status), e.message), ": ")
}

// kind is what the status says alone; drivers may know better.
func (e *statusError) kind() error {
	switch {
	case !e.until.IsZero():
		return ErrRateLimited
	case e.status >= 500:
		return ErrUnavailable
	}
	switch e.status {
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusForbidden:
		return ErrForbidden
	case http.StatusNotFound, http.StatusGone:
		return ErrNotFound
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity:
		return ErrInvalid
	}
	return ErrUnexpected
}

// detail is what the message says beyond the kind.
func (e *statusError) detail() string {
	switch e.kind() {
	case ErrRateLimited, ErrUnauthorized, ErrForbidden:
		return e.message
	case ErrNotFound:
		return ""
	}
	return e.Error()
}

// message finds what a host has to say in the JSON of a failure. All of these
// are in use:
//
//	{"message": "…", "errors": [{"message": "…"}, {"field": "…", "code": "…"}, "…"]}
//	{"message": ["…"]}, {"message": {"field": ["…"]}}
//	{"error": "…", "error_description": "…"}, {"error": {"message": "…"}}
func message(body []byte) string {
	var answer map[string]any
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	var parts []string
	for _, key := range []string{"message", "error", "error_description", "errors"} {
		for _, s := range texts(answer[key]) {
			if s != "" && !slices.Contains(parts, s) {
				parts = append(parts, s)
			}
		}
	}
	return strings.Join(parts, ": ")
}

func texts(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			all = append(all, texts(one)...)
		}
	case map[string]any:
		if s, ok := v["message"].(string); ok {
			return []string{s}
		}
		if field, ok := v["field"].(string); ok {
			return []string{strings.TrimSpace(fmt.Sprint(field, " ", v["code"]))}
		}
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			if t := texts(v[key]); len(t) > 0 {
				all = append(all, key+" "+strings.Join(t, ", "))
			}
		}
	}
	return all
}
