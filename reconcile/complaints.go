package reconcile

import (
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/kainlite/gitops-operator/internal/repeat"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/notify"
)

const (
	// repeatAfter is when a failure that goes on is logged in full again.
	repeatAfter = time.Hour
	// forgetAfter is when one is forgotten that nobody has met again, for its
	// Deployment has gone.
	forgetAfter = 24 * time.Hour
)

// complain logs a text at the given level when it is new, and at debug level
// while it stays the same.
func (r *Reconciler) complain(log *zap.Logger, level zapcore.Level, about, same, text string, fields ...zap.Field) {
	loud, quiet := r.complaints.Say(about, same)
	if !loud {
		level = zapcore.DebugLevel
	}
	if quiet > 0 {
		fields = append(fields, zap.Int("repeated", quiet))
	}
	log.Log(level, text, fields...)
}

// sameFailure is what makes a failure of a deployment the same as the one before:
// its words, without what varies from time to time, and the tag that it wants.
func (d *deployment) sameFailure(text string) string {
	return repeat.Constant(text) + "\x00" + d.want
}

// What complaints are about.
func (d *deployment) failing() string { return "failure of " + d.target.Key() }
func (d *deployment) waiting() string { return "wait of " + d.target.Key() }
func (g *group) failing() string {
	return "manifests " + g.deployments[0].target.Spec.Group()
}
func (g *group) appFailing(ds []*deployment) string {
	return "application " + strings.Join([]string{ds[0].target.Spec.App.String(), ds[0].target.Spec.AppBranch, ds[0].target.Spec.AppSecret().String()}, "\x00")
}

// remote is a repository's branch, for people.
type remote struct{ repository, branch string }

// failTogether ends deployments with a failure that they have in common: each
// gets its result, but there is one log line, and one notification for each
// webhook.
func (g *group) failTogether(ds []*deployment, about string, of remote, err error) {
	if len(ds) <= 1 || g.stopping() {
		for _, d := range ds {
			g.fail(d, err)
		}
		return
	}
	text := fmt.Sprintf("%d Deployments failed: %s", len(ds), err)
	g.complain(g.Log, zapcore.WarnLevel, about, repeat.Constant(err.Error()), text,
		zap.String("repository", of.repository), zap.String("branch", of.branch), zap.Int("deployments", len(ds)), zap.Error(err))
	told := map[k8s.SecretRef][]*deployment{}
	for _, d := range ds {
		ref, wanted := d.target.Spec.NotificationsSecret()
		switch {
		case !wanted:
		case g.Policy.Allow(d.target.Namespace, ref) != nil:
			g.tell(d, notify.Failure(Failed(d.target, err).Message)) // says why it may not
		default:
			told[ref] = append(told[ref], d)
		}
	}
	for ref, ds := range told {
		m := notify.Failure(fmt.Sprintf("%s failed: %s", names(ds), err))
		m.Shared, m.Same = about+"\x00"+ref.String(), repeat.Constant(err.Error())
		g.tell(ds[0], m)
	}
	for _, d := range ds {
		d.reason = reasonOf(err)
		res := Failed(d.target, err)
		d.log().Debug(res.Message, append(d.about(), zap.Error(err))...)
		d.end(res, 0)
	}
}

// maxNames bounds the names in a message.
const maxNames = 5

// names lists deployments for people.
func names(ds []*deployment) string {
	if len(ds) == 1 {
		return "Deployment " + ds[0].target.Name
	}
	var list []string
	for _, d := range ds[:min(len(ds), maxNames)] {
		list = append(list, d.target.Key())
	}
	text := fmt.Sprintf("%d Deployments (%s", len(ds), strings.Join(list, ", "))
	if more := len(ds) - maxNames; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + ")"
}

// worksAgain says once that what deployments have in common has stopped failing.
func (g *group) worksAgain(ds []*deployment, about string, of remote) {
	since, was := g.complaints.Over(about)
	if !was {
		return
	}
	g.Log.Info(fmt.Sprintf("%s branch %s works again after %s", of.repository, of.branch, time.Since(since).Round(time.Second)),
		zap.String("repository", of.repository), zap.String("branch", of.branch))
	for _, d := range ds {
		if ref, wanted := d.target.Spec.NotificationsSecret(); wanted {
			g.Notify.Succeeded(about + "\x00" + ref.String())
		}
	}
}

// well ends what was remembered of a deployment's trouble. changed: its log line
// says that it is well.
func (g *group) well(d *deployment, changed bool) {
	key := d.target.Key()
	g.waits.forget(key)
	g.complaints.Over(d.waiting())
	if since, was := g.complaints.Over(d.failing()); was && !changed {
		d.log().Info(fmt.Sprintf("Deployment %s is well again after %s: up to date at %s", d.target.Name, time.Since(since).Round(time.Second), d.want), d.about()...)
	}
}
