// Package retryafter reads the HTTP header Retry-After. It touches nothing.
package retryafter

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Parse returns for how long a server asks to be left alone: the header's
// seconds, or the time until its date. Zero: it does not say, or says nothing
// that can be read. The result is never negative and never more than most.
func Parse(h http.Header, now time.Time, most time.Duration) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		if n >= uint64(most/time.Second) {
			return most
		}
		return time.Duration(n) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, min(date.Sub(now), most))
}
