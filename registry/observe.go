package registry

import (
	"errors"
	"time"
)

// outcomes name the kinds of failure for whoever counts.
var outcomes = map[error]string{
	ErrInvalid:      "invalid",
	ErrUnauthorized: "unauthorized",
	ErrRateLimited:  "rate_limited",
	ErrUnavailable:  "unavailable",
	ErrUnexpected:   "unexpected",
	ErrNotFound:     "not_found",
	ErrTooMany:      "too_many",
}

// known names the answer to the question whether an image is there.
func known(there bool) string {
	if there {
		return "present"
	}
	return "absent"
}

// observe tells of a lookup: its answer, or a kind of failure, or "canceled".
func (c *Client) observe(begin time.Time, answer string, err error) {
	var e *Error
	switch {
	case errors.As(err, &e) && e.Kind != nil:
		answer = outcomes[e.Kind]
	case err != nil:
		answer = "canceled"
	}
	c.observer(answer, time.Since(begin))
}
