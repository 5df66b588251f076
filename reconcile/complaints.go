package reconcile

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

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

// complaints remembers what was logged about whom, so that a failure that goes
// on does not fill the log, pass by pass.
type complaints struct {
	mu    sync.Mutex
	known map[string]*complaint
	swept time.Time
}

type complaint struct {
	text   string
	since  time.Time
	logged time.Time // when it was last logged in full
	last   time.Time
	quiet  int // how often it was not, since then
}

// add says whether a text is to be logged in full: it is new, or it was not for
// long. quiet is how often it was not meanwhile.
func (c *complaints) add(about, text string, now time.Time) (loud bool, quiet int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(now)
	known := c.known[about]
	if known == nil || known.text != text {
		since := now
		if known != nil {
			since = known.since // another failure, but no good news between
		}
		c.known[about] = &complaint{text: text, since: since, logged: now, last: now}
		return true, 0
	}
	known.last = now
	if now.Sub(known.logged) < repeatAfter {
		known.quiet++
		return false, 0
	}
	quiet = known.quiet
	known.logged, known.quiet = now, 0
	return true, quiet
}

// over ends a complaint, and says since when there was one.
func (c *complaints) over(about string) (since time.Time, was bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.known[about]
	if known == nil {
		return time.Time{}, false
	}
	delete(c.known, about)
	return known.since, true
}

// sweep forgets what nobody meets any more; c.mu is held.
func (c *complaints) sweep(now time.Time) {
	if c.known == nil {
		c.known = map[string]*complaint{}
	}
	if now.Sub(c.swept) < repeatAfter {
		return
	}
	c.swept = now
	for about, known := range c.known {
		if now.Sub(known.last) > forgetAfter {
			delete(c.known, about)
		}
	}
}

// complain logs a text at the given level when it is new, and at debug level
// while it stays the same.
func (r *Reconciler) complain(log *zap.Logger, level zapcore.Level, about, same, text string, fields ...zap.Field) {
	loud, quiet := r.complaints.add(about, same, time.Now())
	if !loud {
		level = zapcore.DebugLevel
	}
	if quiet > 0 {
		fields = append(fields, zap.Int("repeated", quiet))
	}
	log.Log(level, text, fields...)
}

// What complaints are about.
func (d *deployment) failing() string { return "failure of " + d.target.Key() }
func (d *deployment) waiting() string { return "wait of " + d.target.Key() }
func (g *group) failing() string {
	return "manifests " + g.deployments[0].target.Spec.Group()
}
func (g *group) appFailing(ds []*deployment) string {
	return "application " + strings.Join([]string{ds[0].target.Spec.App.String(), g.branch, g.identity.ID()}, "\x00")
}

// failTogether ends deployments with a failure that they have in common: each
// gets its result, but there is one log line, and one notification for each
// webhook.
func (g *group) failTogether(ds []*deployment, about, repository string, err error) {
	if len(ds) <= 1 || g.stopping() {
		for _, d := range ds {
			g.fail(d, err)
		}
		return
	}
	text := fmt.Sprintf("%d Deployments failed: %s", len(ds), err)
	g.complain(g.Log, zapcore.WarnLevel, about, err.Error(), text,
		zap.String("repository", repository), zap.String("branch", g.branch), zap.Int("deployments", len(ds)), zap.Error(err))
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
		m.Shared, m.Same = about+"\x00"+ref.String(), err.Error()
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
func (g *group) worksAgain(ds []*deployment, about, repository string) {
	since, was := g.complaints.over(about)
	if !was {
		return
	}
	g.Log.Info(fmt.Sprintf("%s branch %s works again after %s", repository, g.branch, time.Since(since).Round(time.Second)),
		zap.String("repository", repository), zap.String("branch", g.branch))
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
	g.complaints.over(d.waiting())
	if since, was := g.complaints.over(d.failing()); was && !changed {
		d.log().Info(fmt.Sprintf("Deployment %s is well again after %s: up to date at %s", d.target.Name, time.Since(since).Round(time.Second), d.want), d.about()...)
	}
}
