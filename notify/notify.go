// Package notify sends messages to Slack-format webhooks, in the background: a
// webhook that is slow, down or wrong delays nobody and fails nothing. It
// touches nothing but the URLs it is given. These are secrets: of them, it logs
// the host alone.
package notify

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/internal/repeat"
	"github.com/kainlite/gitops-operator/internal/text"
)

const (
	timeout = 10 * time.Second // of one try
	atOnce  = 8                // requests
	// maxWaiting bounds the messages that wait for all webhooks, and
	// maxPerWebhook those for one, so that a dead one leaves room for others.
	maxWaiting    = 10_000
	maxPerWebhook = 2_000
	// burst is how long no message may have been dropped before the next drop is
	// logged again.
	burst = time.Minute
)

// Options are what a Notifier is made with.
type Options struct {
	Timeout time.Duration // of one try; 0 means 10 s
	Log     *zap.Logger   // nil: none
	// Observe is told how a message ended: "delivered", "failed" or "dropped".
	// Nil: nobody is.
	Observe func(outcome string)
	// Wrap is put around the transport of the requests. Nil: nothing is.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Notifier sends messages. Its methods may be called from any goroutine.
type Notifier struct {
	client  *http.Client
	timeout time.Duration
	log     *zap.Logger
	observe func(outcome string)
	ctx     context.Context // of the background work
	cancel  context.CancelFunc
	slots   chan struct{}  // one for each request at once
	lanes   sync.WaitGroup // goroutines, one for each webhook that has messages

	mu       sync.Mutex
	closed   bool
	webhooks map[string]*webhook // those that have messages, by URL
	waiting  int                 // messages in all webhooks
	failures repeat.Filter       // by whom or what they are about
	dropped  int
	lastDrop time.Time
}

// webhook holds the messages for one URL. They are sent one after the other, so
// that they arrive in order, and so that a webhook that asks to be left alone
// is.
type webhook struct {
	url      *url.URL
	messages []Message
}

// New returns a Notifier. [Notifier.Close] ends it.
func New(opt Options) *Notifier {
	if opt.Timeout == 0 {
		opt.Timeout = timeout
	}
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	if opt.Observe == nil {
		opt.Observe = func(string) {}
	}
	var transport http.RoundTripper = http.DefaultTransport.(*http.Transport).Clone()
	if opt.Wrap != nil {
		transport = opt.Wrap(transport)
	}
	n := &Notifier{
		client: &http.Client{
			Transport: transport,
			// A redirect would carry the message to who knows where.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		timeout:  opt.Timeout,
		log:      opt.Log,
		observe:  opt.Observe,
		slots:    make(chan struct{}, atOnce),
		webhooks: make(map[string]*webhook),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// Send posts a message to a webhook's URL in the background. It does not block.
// What cannot be sent is logged and dropped: with too many messages waiting, or
// once the Notifier is closed.
func (n *Notifier) Send(webhookURL string, m Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch m.Kind {
	case KindSuccess:
		n.failures.Over(m.subject())
	case KindFailure:
		if isNew, _ := n.failures.Say(m.subject(), m.same()); !isNew {
			return
		}
	}
	u, err := url.Parse(webhookURL)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		n.failures.Undo(m.subject(), m.same())
		n.observe("failed")
		n.log.Warn("notification not sent: webhook URL is not an http or https URL", m.names()...)
		return
	}
	w := n.webhooks[webhookURL]
	if n.closed || n.waiting >= maxWaiting || w != nil && len(w.messages) >= maxPerWebhook {
		n.drop(m, u)
		return
	}
	n.waiting++
	if w != nil {
		w.messages = append(w.messages, m)
		return
	}
	w = &webhook{url: u, messages: []Message{m}}
	n.webhooks[webhookURL] = w
	n.lanes.Go(func() { n.sendAll(webhookURL, w) })
}

// Succeeded says that all is well with a Deployment, or with what several
// share, without a message: its next failure is sent, whatever was sent before.
func (n *Notifier) Succeeded(about string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failures.Over(about)
}

// Dropped counts the messages that were given up because too many were waiting
// or the Notifier was closed.
func (n *Notifier) Dropped() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dropped
}

// Close sends what is waiting for as long as ctx lasts, and drops the rest.
func (n *Notifier) Close(ctx context.Context) {
	n.mu.Lock()
	n.closed = true
	before := n.dropped
	n.mu.Unlock()
	stop := context.AfterFunc(ctx, n.cancel)
	n.lanes.Wait()
	stop()
	n.cancel()
	n.client.CloseIdleConnections()
	if dropped := n.Dropped() - before; dropped > 0 {
		n.log.Warn("notifications dropped: shutting down", zap.Int("dropped", dropped))
	}
}

// drop gives a message up, and logs the first of a burst; n.mu is held.
func (n *Notifier) drop(m Message, u *url.URL) {
	n.failures.Undo(m.subject(), m.same())
	n.observe("dropped")
	n.dropped++
	now := time.Now()
	if !n.closed && now.Sub(n.lastDrop) > burst {
		n.log.Warn("notifications dropped: too many are waiting", append(m.names(),
			zap.String("host", host(u)), zap.Int("waiting", n.waiting))...)
	}
	n.lastDrop = now
}

// sendAll sends a webhook's messages until there are none.
func (n *Notifier) sendAll(key string, w *webhook) {
	for {
		m, ok := n.next(key, w)
		if !ok {
			return
		}
		ctx := n.ctx
		if m.In != nil {
			ctx = m.In(ctx)
		}
		err := n.post(ctx, w.url, m.Text)
		if err == nil {
			n.observe("delivered")
			continue
		}
		n.mu.Lock()
		if n.ctx.Err() != nil {
			n.drop(m, w.url)
		} else {
			n.failures.Undo(m.subject(), m.same())
			n.observe("failed")
			n.log.Warn("notification not delivered", append(m.names(), zap.String("host", host(w.url)), zap.Error(err))...)
		}
		n.mu.Unlock()
	}
}

// names are the log fields of a message.
func (m Message) names() []zap.Field {
	namespace, name, _ := strings.Cut(m.About, "/")
	return []zap.Field{zap.String("deployment", name), zap.String("namespace", namespace)}
}

// next takes a webhook's next message, or puts the webhook away.
func (n *Notifier) next(key string, w *webhook) (Message, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(w.messages) == 0 {
		delete(n.webhooks, key)
		return Message{}, false
	}
	m := w.messages[0]
	w.messages = w.messages[1:]
	n.waiting--
	return m, true
}

// host is the part of a webhook's URL that is no secret.
func host(u *url.URL) string { return text.Line(u.Host, 200) }
