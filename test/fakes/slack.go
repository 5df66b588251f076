package fakes

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Slack is a fake of Slack's incoming webhooks: it takes messages at any path
// below /services/.
type Slack struct {
	Server
	mu       sync.Mutex
	messages []string
	arrived  chan struct{} // closed and replaced with every message
}

// NewSlack starts a fake on a free port of the loopback address.
func NewSlack() (*Slack, error) {
	s := &Slack{}
	return s, s.start(nil)
}

// ServeSlack starts a fake that takes its connections from l.
func ServeSlack(l net.Listener) *Slack {
	s := &Slack{}
	s.start(l) // cannot fail with a listener
	return s
}

func (s *Slack) start(l net.Listener) error {
	s.arrived = make(chan struct{})
	return s.serve(l, http.HandlerFunc(s.take))
}

// Webhook is the URL of a webhook. Like those of Slack, it is a secret.
func (s *Slack) Webhook() string { return s.URL() + "/services/T0000/B0000/c2VjcmV0LXdlYmhvb2s" }

// Messages are the texts that were taken, in order.
func (s *Slack) Messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// WaitFor waits until n messages were taken and returns all there are, with
// ctx's error if they did not come in time.
func (s *Slack) WaitFor(ctx context.Context, n int) ([]string, error) {
	for {
		s.mu.Lock()
		messages, arrived := slices.Clone(s.messages), s.arrived
		s.mu.Unlock()
		if len(messages) >= n {
			return messages, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return messages, ctx.Err()
		}
	}
}

// take answers as Slack does: "ok", or a word for what is wrong.
func (s *Slack) take(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/services/") {
		http.Error(w, "no_service", http.StatusNotFound)
		return
	}
	var message struct {
		Text string `json:"text"`
	}
	switch err := json.NewDecoder(r.Body).Decode(&message); {
	case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || err != nil:
		http.Error(w, "invalid_payload", http.StatusBadRequest)
	case message.Text == "":
		http.Error(w, "no_text", http.StatusBadRequest)
	default:
		s.mu.Lock()
		s.messages = append(s.messages, message.Text)
		close(s.arrived)
		s.arrived = make(chan struct{})
		s.mu.Unlock()
		io.WriteString(w, "ok")
	}
}
