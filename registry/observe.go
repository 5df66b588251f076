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
}

// observe tells of a look-up: "present", "absent", a kind of failure, or
// "canceled".
func (c *Client) observe(begin time.Time, there bool, err error) {
	outcome := "absent"
	var e *Error
	switch {
	case there:
		outcome = "present"
	case errors.As(err, &e) && e.Kind != nil:
		outcome = outcomes[e.Kind]
	case err != nil:
		outcome = "canceled"
	}
	c.observer(outcome, time.Since(begin))
}
