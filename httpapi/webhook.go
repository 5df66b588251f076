package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/internal/text"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/webhook"
)

// A push event lists its commits, of which a host sends up to 2,048: most are
// far below 1 MiB. Bodies are read before it is known who sent them, so few at
// once.
const (
	maxWebhook       = 4 << 20 // bytes
	webhooksAtOnce   = 8
	webhookTurnAfter = 10 * time.Second
)

// webhook reconciles the Deployments whose application was pushed, and does not
// wait for that.
func (a *API) webhook(w http.ResponseWriter, req *http.Request) {
	if a.WebhookSecret == nil {
		fail(w, http.StatusNotFound, "webhooks are off: start the operator with --webhook-secret-file")
		return
	}
	secret, err := a.WebhookSecret.Value()
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "the operator cannot read its webhook secret: no webhook is taken")
		return
	}
	if err := webhook.CheckHeader(req.Header, secret); err != nil {
		fail(w, http.StatusUnauthorized, err.Error())
		return
	}
	event, ok := a.readWebhook(w, req, secret)
	if !ok {
		return
	}
	if event.Push == nil {
		accept(w, 0, event.Ignored)
		return
	}
	if !a.operator.Ready() {
		fail(w, http.StatusServiceUnavailable, a.operator.Starting())
		return
	}
	targets, why := pushed(a.operator.List(req.Context()), *event.Push)
	if len(targets) == 0 {
		a.log.Debug("webhook: nothing to do: " + text.Printable(why))
		accept(w, 0, why)
		return
	}
	a.log.Info(fmt.Sprintf("webhook: %s was pushed: Deployments to reconcile: %d", text.Printable(event.Push.Repository), len(targets)),
		zap.String("branch", event.Push.Branch))
	if err := a.operator.PassInBackground(req.Context(), "webhook", targets); err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	accept(w, len(targets), "")
}

// readWebhook reads and checks an event. If it cannot, it answers, and returns
// false.
func (a *API) readWebhook(w http.ResponseWriter, req *http.Request, secret string) (webhook.Event, bool) {
	turn, cancel := context.WithTimeout(req.Context(), webhookTurnAfter)
	defer cancel()
	select {
	case a.webhooks <- struct{}{}:
		defer func() { <-a.webhooks }()
	case <-turn.Done():
		fail(w, http.StatusServiceUnavailable, "too many webhooks at once")
		return webhook.Event{}, false
	}
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	body, ok := readBody(w, req, maxWebhook)
	if !ok {
		return webhook.Event{}, false
	}
	event, err := webhook.Read(req.Header, body, secret)
	switch {
	case errors.Is(err, webhook.ErrUnsigned):
		fail(w, http.StatusUnauthorized, err.Error())
	case err != nil:
		fail(w, http.StatusBadRequest, err.Error())
	}
	return event, err == nil
}

// pushed returns the Deployments whose application is on the pushed branch. If
// there are none, it says why.
func pushed(s k8s.Snapshot, push webhook.Push) (targets []k8s.Target, why string) {
	var branches []string
	disabled := 0
	for _, t := range s.Targets {
		switch {
		case !push.Of(t.Spec.AppRepository):
		case t.Spec.AppBranch != push.Branch:
			if !slices.Contains(branches, t.Spec.AppBranch) {
				branches = append(branches, t.Spec.AppBranch)
			}
		case t.Disabled():
			disabled++
		default:
			targets = append(targets, t)
		}
	}
	switch {
	case disabled > 0:
		why = fmt.Sprintf("disabled Deployments of %s, branch %s: %d", push.Repository, push.Branch, disabled)
	case branches != nil:
		why = fmt.Sprintf("branch %s was pushed; the Deployments of %s observe %s", push.Branch, push.Repository, strings.Join(branches, ", "))
	default:
		why = fmt.Sprintf("no Deployment has the app_repository %s", push.Repository)
	}
	return targets, why
}

// accept answers how many Deployments a webhook sets going and, if there are
// none, why.
func accept(w http.ResponseWriter, deployments int, why string) {
	answer := struct {
		Deployments int    `json:"deployments"`
		Reason      string `json:"reason,omitempty"`
	}{deployments, why}
	writeJSON(w, http.StatusAccepted, answer)
}
