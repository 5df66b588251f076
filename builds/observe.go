package builds

import (
	"errors"
	"time"
)

// outcomes name the kinds of failure for whoever counts.
var outcomes = map[error]string{
	ErrRateLimited:  "rate_limited",
	ErrUnauthorized: "unauthorized",
	ErrNotVisible:   "not_visible",
	ErrUnavailable:  "unavailable",
	ErrUnexpected:   "unexpected",
}

// observe tells of a look-up: the state, a kind of failure, "invalid" or
// "canceled".
func (c *Client) observe(begin time.Time, state State, canceled bool, err error) {
	outcome := state.String()
	var e *Error
	switch {
	case errors.As(err, &e):
		outcome = outcomes[e.Kind]
	case canceled:
		outcome = "canceled"
	case err != nil:
		outcome = "invalid"
	}
	c.observer(outcome, time.Since(begin))
}
