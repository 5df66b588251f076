package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/kainlite/gitops-operator/internal/repeat"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/notify"
)

// notifyTime bounds the reading of the webhooks' Secrets; sending is the
// notifier's.
const (
	notifyTime     = 10 * time.Second
	lastNotifyTime = 2 * time.Second // at shutdown
)

// message is a notification for one Deployment's webhook.
type message struct {
	deployment *deployment // of several, one
	secret     k8s.SecretRef
	notify.Message
}

// tell keeps a notification until the results are out.
func (g *group) tell(d *deployment, m notify.Message) {
	ref, wanted := d.target.Spec.NotificationsSecret()
	if !wanted || g.DryRun || d.guest {
		return
	}
	if err := g.Policy.Allow(d.target.Namespace, ref); err != nil {
		g.notSent(d, err)
		return
	}
	d.begin()
	m.About, m.In = d.target.Key(), d.own
	g.mu.Lock()
	defer g.mu.Unlock()
	g.messages = append(g.messages, message{d, ref, m})
}

// notify sends what tell kept. Whatever goes wrong is logged and no more.
func (g *group) notify(ctx context.Context) {
	limit := notifyTime
	if g.stopping() {
		limit = lastNotifyTime
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	for _, m := range g.messages {
		secret, err := g.secret(ctx, m.secret)
		if err != nil {
			g.notSent(m.deployment, err)
			continue
		}
		url := strings.TrimSpace(string(secret["webhook-url"]))
		if url == "" {
			g.notSent(m.deployment, fmt.Errorf("secret %s has no key webhook-url", m.secret))
			continue
		}
		g.Notify.Send(url, m.Message)
	}
}

// notSent logs that a notification cannot be sent.
func (g *group) notSent(d *deployment, err error) {
	g.complain(d.log(), zapcore.WarnLevel, "notifications of "+d.target.Key(), repeat.Constant(err.Error()), "notification not sent: "+err.Error(), append(d.about(), zap.Error(err))...)
}

// secret reads a Secret once for the whole group.
func (g *group) secret(ctx context.Context, ref k8s.SecretRef) (map[string][]byte, error) {
	return g.secrets.get(ref, func() (map[string][]byte, error) { return g.Secrets.Secret(ctx, ref.Namespace, ref.Name) })
}
