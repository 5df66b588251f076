package notify

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/test/fakes"
)

// routes sends the requests for some addresses elsewhere.
func routes(f fixture, elsewhere map[string]*fakes.Pipe) {
	transport := f.notifier.client.Transport.(*http.Transport)
	usual := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if pipe, ok := elsewhere[address]; ok {
			return pipe.DialContext(ctx, network, address)
		}
		return usual(ctx, network, address)
	}
}

const notDelivered = "notification not delivered deployment=blog namespace=default host=localhost:80 error="

func TestServerErrorsAndBrokenConnectionsAreTriedThreeTimes(t *testing.T) {
	for name, test := range map[string]struct {
		fault fakes.Fault
		want  string
	}{
		"500":     {fakes.Fault{Status: 500, Body: "rollup_error"}, "webhook answered 500 Internal Server Error: rollup_error"},
		"503":     {fakes.Fault{Status: 503}, "webhook answered 503 Service Unavailable"},
		"limited": {fakes.Fault{Status: 429, Body: "rate_limited"}, "webhook answered 429 Too Many Requests: rate_limited"},
		"cut":     {fakes.Fault{Cut: true}, "EOF"},
		"silent":  {fakes.Fault{Hang: true}, "no answer within 10s"},
		"no HTTP": {fakes.Fault{Raw: "220 mail.example ESMTP\r\n"}, `net/http: HTTP/1.x transport connection broken: malformed HTTP status code "mail.example"`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.slack.Next(test.fault, test.fault, test.fault)
				f.send(about(blog, Success("lost")))
				f.wantMessages()
				equal(t, "requests", len(f.slack.Requests()), 3)
				f.wantLogs(notDelivered + test.want)

				f.slack.Next(test.fault, test.fault)
				f.send(about(blog, Success("patched")))
				f.wantMessages("patched")
				equal(t, "requests", len(f.slack.Requests()), 6)
				f.wantLogs()
			})
		})
	}
}

func TestOtherAnswersAreFinal(t *testing.T) {
	for name, test := range map[string]struct {
		fault fakes.Fault
		want  string
	}{
		"revoked":  {fakes.Fault{Status: 404, Body: "no_service\n"}, "webhook answered 404 Not Found: no_service"},
		"archived": {fakes.Fault{Status: 410, Body: "channel_is_archived"}, "webhook answered 410 Gone: channel_is_archived"},
		"HTML":     {fakes.Fault{Status: 403, Body: "<html>\n\t<p>Forbidden\x1b[31m"}, "webhook answered 403 Forbidden: <html>  <p>Forbidden[31m"},
		"long":     {fakes.Fault{Status: 400, Body: strings.Repeat("long ", 1e6)}, "webhook answered 400 Bad Request: " + strings.Repeat("long ", maxExcerpt/5) + "..."},
		"redirect": {fakes.Fault{Status: 302, Header: map[string]string{"Location": "http://localhost/services/elsewhere"}}, "webhook answered 302 Found"},
		"moved":    {fakes.Fault{Status: 308, Header: map[string]string{"Location": "http://localhost/services/elsewhere"}}, "webhook answered 308 Permanent Redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.slack.Next(test.fault)
				f.send(about(blog, Success("patched")))
				f.wantMessages()
				equal(t, "requests", len(f.slack.Requests()), 1)
				f.wantLogs(notDelivered + test.want)
			})
		})
	}
}

func TestAWebhookThatNeverAnswersBlocksNobody(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.slack.Always(fakes.Fault{Hang: true})
		begin := time.Now()
		f.send(about(blog, Success("patched")))
		equal(t, "time that Send took", time.Since(begin), 0)
		f.flush()
		if took := time.Since(begin); took < 3*timeout+3*firstWait/2 || took > 3*timeout+9*firstWait/2 {
			t.Errorf("took %v, want three tries of 10s with about 1s and 2s between", took)
		}
		f.wantLogs(notDelivered + "no answer within 10s")
	})
}

func TestRetryAfterIsHonouredInBounds(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"7":                             7 * time.Second,
		"60":                            time.Minute,
		"86400":                         longestAsk,
		"9000000000000000000":           longestAsk,
		"Sat, 01 Jan 2000 00:00:30 GMT": 30 * time.Second,
		"Sat, 01 Jan 2050 00:00:30 GMT": longestAsk,
	} {
		t.Run(value, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.slack.Next(fakes.Fault{Status: 429, Header: map[string]string{"Retry-After": value}})
				begin := time.Now()
				f.send(about(blog, Success("patched")))
				f.wantMessages("patched")
				equal(t, "wait", time.Since(begin), want)
			})
		})
	}
	for _, value := range []string{"0", "-1", "soon", "Sat, 01 Jan 1990 00:00:00 GMT"} {
		t.Run(value, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.slack.Next(fakes.Fault{Status: 503, Header: map[string]string{"Retry-After": value}})
				begin := time.Now()
				f.send(about(blog, Success("patched")))
				f.wantMessages("patched")
				if wait := time.Since(begin); wait < firstWait/2 || wait > 3*firstWait/2 {
					t.Errorf("waited %v, want about %v", wait, firstWait)
				}
			})
		})
	}
}

func TestOnlyHTTPIsPostedTo(t *testing.T) {
	for _, url := range []string{
		"", "hooks.slack.com/services/s3cr3t", "ftp://localhost/s3cr3t", "file:///s3cr3t", "http://", "https:///s3cr3t",
		"http:s3cr3t", "http://localhost/s3cr3t\x00", "http://s3cr3t%zz/",
	} {
		t.Run(url, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.notifier.Send(url, about(blog, Failure("registry down")))
				f.flush()
				f.wantLogs("notification not sent: webhook URL is not an http or https URL deployment=blog namespace=default")
				equal(t, "requests", len(f.slack.Requests()), 0)
				f.send(about(blog, Failure("registry down")))
				f.wantMessages(":x: registry down")
			})
		})
	}
}

func TestTheWebhookAppearsInNoLog(t *testing.T) {
	const url = "http://us3rname:p4ssword@localhost/services/T0000/B0000/c2VjcmV0%20/?key=qu3rysecret"
	echo := "POST " + url + ` failed: /services/T0000/B0000/c2VjcmV0%20/?key=qu3rysecret, \/services\/T0000\/B0000\/c2VjcmV0 , c2VjcmV0%20, qu3rysecret, ` +
		"p4ssw\x00ord, us3rname"
	for name, fault := range map[string]fakes.Fault{
		"echoed":   {Status: 404, Body: echo},
		"limited":  {Status: 429, Body: echo},
		"cut":      {Cut: true},
		"silent":   {Hang: true},
		"redirect": {Status: 302, Header: map[string]string{"Location": "http://localhost/services/c2VjcmV0"}, Body: echo},
		"nonsense": {Raw: "220 c2VjcmV0 ESMTP\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f fixture) {
				f.slack.Always(fault)
				f.notifier.Send(url, about(blog, Failure("registry down")))
				f.flush()
				logs := f.logs.All()
				equal(t, "log entries", len(logs), 1)
				for _, entry := range logs {
					line := entry.Message
					for _, value := range entry.ContextMap() {
						line += " " + value.(string)
					}
					if !strings.Contains(line, "localhost") {
						t.Errorf("no host in %q", line)
					}
					for _, secret := range []string{"c2VjcmV0", "qu3ry", "p4ssword", "us3rname"} {
						if strings.Contains(line, secret) {
							t.Errorf("%s in %q", secret, line)
						}
					}
				}
			})
		})
	}
}

func TestAnUnreachableWebhookIsLogged(t *testing.T) {
	bubble(t, func(t *testing.T, f fixture) {
		f.slack.Close()
		f.send(about(blog, Success("patched")))
		f.flush()
		f.wantLogs(notDelivered + "dial pipe: use of closed network connection")
	})
}
