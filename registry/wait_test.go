package registry

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const image = "localhost:5000/owner/app:1"

// timed is a registry whose clock is the bubble's: real HTTP over pipes.
type timed struct {
	conns  chan net.Conn
	closed chan struct{}
	began  time.Time

	mu    sync.Mutex
	heads []time.Duration // since the beginning
}

// inBubble runs a test against a registry that answers its nth HEAD (from 1)
// with answer.
func inBubble(t *testing.T, opt Options, answer func(n int, w http.ResponseWriter, r *http.Request), test func(*testing.T, *Client, *timed)) {
	synctest.Test(t, func(t *testing.T) {
		r := &timed{conns: make(chan net.Conn), closed: make(chan struct{}), began: time.Now()}
		var serving sync.WaitGroup // with the handlers
		server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: manifests(func(w http.ResponseWriter, req *http.Request) {
			serving.Add(1)
			defer serving.Done()
			r.mu.Lock()
			r.heads = append(r.heads, time.Since(r.began))
			n := len(r.heads)
			r.mu.Unlock()
			answer(n, w, req)
		})}
		serving.Go(func() { server.Serve(r) })
		c := New(opt)
		c.transport.DialContext = r.dial
		test(t, c, r)
		c.Close()
		server.Close()
		serving.Wait()
	})
}

func (r *timed) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case r.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *timed) Accept() (net.Conn, error) {
	select {
	case conn := <-r.conns:
		return conn, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

func (r *timed) Close() error   { close(r.closed); return nil }
func (r *timed) Addr() net.Addr { return &net.TCPAddr{} }

// gaps are the times between the HEADs.
func (r *timed) gaps() (gaps []time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 1; i < len(r.heads); i++ {
		gaps = append(gaps, r.heads[i]-r.heads[i-1])
	}
	return gaps
}

func failing(status int, retryAfter string, times int) func(int, http.ResponseWriter, *http.Request) {
	return func(n int, w http.ResponseWriter, r *http.Request) {
		if n > times {
			found(w, r)
			return
		}
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
	}
}

func TestTriesAgainAfterAShortWait(t *testing.T) {
	core, logged := observer.New(zap.DebugLevel)
	inBubble(t, Options{Log: zap.New(core)}, failing(500, "", 2), func(t *testing.T, c *Client, r *timed) {
		equal(t, "there", exists(t, c, image, nil), true)
		gaps := r.gaps()
		equal(t, "waits", len(gaps), 2)
		// backoff spreads its waits by half to both sides.
		if gaps[0] < firstWait/2 || gaps[0] > firstWait*3/2 || gaps[1] < firstWait || gaps[1] > firstWait*3 {
			t.Errorf("waits are %v", gaps)
		}
	})
	equal(t, "log lines", logged.Len(), 2)
	equal(t, "level", logged.All()[0].Level, zap.DebugLevel)
	equal(t, "error", logged.All()[0].ContextMap()["error"],
		any("check image "+image+" in registry localhost:5000: registry not available: 500 Internal Server Error (check that it runs and can be reached from here)"))
}

func TestGivesUpAfterThreeTries(t *testing.T) {
	inBubble(t, Options{}, failing(500, "", 3), func(t *testing.T, c *Client, r *timed) {
		fails(t, c, image, nil, ErrUnavailable)
		equal(t, "waits", len(r.gaps()), 2)
	})
}

func TestWaitsAsLongAsTheRegistryAsks(t *testing.T) {
	for _, status := range []int{429, 503} {
		inBubble(t, Options{}, failing(status, "7", 2), func(t *testing.T, c *Client, r *timed) {
			equal(t, "there", exists(t, c, image, nil), true)
			for _, gap := range r.gaps() {
				equal(t, "wait", gap, 7*time.Second)
			}
		})
	}
}

func TestWaitsUntilTheDateTheRegistryGives(t *testing.T) {
	answer := func(n int, w http.ResponseWriter, r *http.Request) {
		date := time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat)
		failing(429, date, 1)(n, w, r)
	}
	inBubble(t, Options{}, answer, func(t *testing.T, c *Client, r *timed) {
		equal(t, "there", exists(t, c, image, nil), true)
		equal(t, "wait", r.gaps()[0], 9*time.Second)
	})
}

func TestLeavesARegistryAloneThatAsksForLonger(t *testing.T) {
	for after, want := range map[string]time.Duration{
		"11":                            11 * time.Second,
		"3600":                          time.Hour,
		"99999999999999999999999999":    365 * 24 * time.Hour,
		"Fri, 31 Dec 2999 23:59:59 GMT": 365 * 24 * time.Hour,
	} {
		inBubble(t, Options{}, failing(429, after, 3), func(t *testing.T, c *Client, r *timed) {
			_, err := c.Exists(t.Context(), image, nil)
			equal(t, "message", err.Error(), "check image "+image+
				" in registry localhost:5000: rate limit reached: 429 Too Many Requests (wait, or use credentials with a higher limit)")
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, ErrRateLimited) {
				t.Fatalf("error is a %T", err)
			}
			equal(t, "wait asked for", e.RetryAfter, want)
			equal(t, "further tries", len(r.gaps()), 0)
		})
	}
}

func TestIgnoresARetryAfterThatIsNone(t *testing.T) {
	for _, after := range []string{"soon", "-5", "0", "1.5", "Mon, 01 Jan 1990 00:00:00 GMT"} {
		inBubble(t, Options{}, failing(429, after, 2), func(t *testing.T, c *Client, r *timed) {
			equal(t, "there", exists(t, c, image, nil), true)
			for _, gap := range r.gaps() {
				if gap > 3*firstWait {
					t.Errorf("Retry-After %q: waited %s", after, gap)
				}
			}
		})
	}
}

// hang never answers, or not before the client has gone.
func hang(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestARegistryThatNeverAnswers(t *testing.T) {
	inBubble(t, Options{}, hang, func(t *testing.T, c *Client, r *timed) {
		equal(t, "message", fails(t, c, image, nil, ErrUnavailable), "check image "+image+
			" in registry localhost:5000: registry not available: no answer within 10s (check that it runs and can be reached from here)")
		if took := time.Since(r.began); took < 3*defaultTimeout || took > 3*defaultTimeout+5*firstWait {
			t.Errorf("took %s", took)
		}
	})
}

func TestARegistryThatAcceptsAndSaysNothing(t *testing.T) {
	for _, host := range []string{"localhost:5000", "ghcr.io"} {
		inBubble(t, Options{Timeout: 20 * time.Second}, hang, func(t *testing.T, c *Client, r *timed) {
			c.transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				context.AfterFunc(t.Context(), func() { there.Close() })
				return here, nil
			}
			equal(t, "message", fails(t, c, host+"/owner/app:1", nil, ErrUnavailable), "check image "+host+"/owner/app:1 in registry "+host+
				": registry not available: no answer within 20s (check that it runs and can be reached from here)")
		})
	}
}

func TestARegistryThatIsSlow(t *testing.T) {
	slow := func(_ int, w http.ResponseWriter, r *http.Request) {
		time.Sleep(9 * time.Second)
		found(w, r)
	}
	inBubble(t, Options{}, slow, func(t *testing.T, c *Client, r *timed) {
		equal(t, "there", exists(t, c, image, nil), true)
		equal(t, "tries", len(r.heads), 1)
	})
}

// An answer that drips does not outlast the time of a try either.
func TestARegistryThatDrips(t *testing.T) {
	drip := func(_ int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		for r.Method == http.MethodGet && r.Context().Err() == nil {
			io.WriteString(w, " ")
			http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
		}
	}
	inBubble(t, Options{}, drip, func(t *testing.T, c *Client, r *timed) {
		equal(t, "message", fails(t, c, image, nil, ErrUnavailable), "check image "+image+
			" in registry localhost:5000: registry not available: no answer within 10s (check that it runs and can be reached from here)")
	})
}

func TestTheCallersTimeBoundsAllTries(t *testing.T) {
	t.Run("no answer", func(t *testing.T) {
		inBubble(t, Options{}, hang, func(t *testing.T, c *Client, r *timed) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			_, err := c.Exists(ctx, image, nil)
			equal(t, "message", err.Error(), "check image "+image+
				" in registry localhost:5000: registry not available: no answer in time (check that it runs and can be reached from here)")
			equal(t, "unavailable", errors.Is(err, ErrUnavailable), true)
			equal(t, "the context's", errors.Is(err, context.DeadlineExceeded), true)
			equal(t, "time", time.Since(r.began), 4*time.Second)
		})
	})
	t.Run("a failure, then no answer", func(t *testing.T) {
		answer := func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				hang(n, w, r)
				return
			}
			w.WriteHeader(500)
		}
		inBubble(t, Options{}, answer, func(t *testing.T, c *Client, r *timed) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			_, err := c.Exists(ctx, image, nil)
			equal(t, "message", err.Error(), "check image "+image+
				" in registry localhost:5000: registry not available: 500 Internal Server Error (check that it runs and can be reached from here)")
			equal(t, "the context's", errors.Is(err, context.DeadlineExceeded), true)
			equal(t, "time", time.Since(r.began), 4*time.Second)
		})
	})
	t.Run("no time for another try", func(t *testing.T) {
		inBubble(t, Options{}, failing(429, "8", 3), func(t *testing.T, c *Client, r *timed) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			_, err := c.Exists(ctx, image, nil)
			equal(t, "rate limited", errors.Is(err, ErrRateLimited), true)
			equal(t, "time", time.Since(r.began), 0)
		})
	})
	t.Run("cancelled while waiting", func(t *testing.T) {
		inBubble(t, Options{}, failing(503, "9", 3), func(t *testing.T, c *Client, r *timed) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(2*time.Second, cancel)
			_, err := c.Exists(ctx, image, nil)
			equal(t, "message", err.Error(), "check image "+image+" in registry localhost:5000: context canceled")
			equal(t, "the context's", errors.Is(err, context.Canceled), true)
			equal(t, "unavailable", errors.Is(err, ErrUnavailable), false)
			equal(t, "time", time.Since(r.began), 2*time.Second)
		})
	})
	t.Run("over before the call", func(t *testing.T) {
		inBubble(t, Options{}, failing(500, "", 3), func(t *testing.T, c *Client, r *timed) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := c.Exists(ctx, image, nil)
			equal(t, "the context's", errors.Is(err, context.Canceled), true)
			equal(t, "tries", len(r.heads), 0)
		})
	})
}
