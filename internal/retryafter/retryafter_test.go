package retryafter_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/internal/retryafter"
)

func TestParse(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"7":                             7 * time.Second,
		" 7 ":                           7 * time.Second,
		"59":                            59 * time.Second,
		"60":                            time.Minute,
		"3600":                          time.Minute,
		"99999999999999999999999999":    time.Minute,
		"-5":                            0,
		"1.5":                           0,
		"soon":                          0,
		"Fri, 01 May 2026 12:00:30 GMT": 30 * time.Second,
		"Fri, 01 May 2026 13:00:00 GMT": time.Minute,
		"Fri, 01 May 2026 11:59:00 GMT": 0,
	} {
		if got := retryafter.Parse(http.Header{"Retry-After": {value}}, now, time.Minute); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	if got := retryafter.Parse(nil, now, time.Minute); got != 0 {
		t.Error(got)
	}
}
