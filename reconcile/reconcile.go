// Package reconcile decides what happens to each Deployment of a group: the
// Deployments that share a manifests repository, branch and SSH key. It is
// where git, manifests, registries and Kubernetes meet; it starts no process
// and opens no connection itself.
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/kainlite/gitops-operator/builds"
	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/internal/repeat"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/notify"
	"github.com/kainlite/gitops-operator/patcher"
	"github.com/kainlite/gitops-operator/policy"
	"github.com/kainlite/gitops-operator/registry"
)

// Secrets reads Secrets by name, when they are used.
type Secrets interface {
	Secret(ctx context.Context, namespace, name string) (map[string][]byte, error)
}

// Reconciler moves image tags in git. It is safe for concurrent use, except
// that one group is worked on by one call at a time.
type Reconciler struct {
	Options
	heads      heads
	questions  questions
	lists      *registry.Lists
	waits      waits
	memories   memories
	views      views
	life       context.Context // of the look-ups
	end        context.CancelFunc
	complaints repeat.Filter
}

// Options are what a Reconciler works with. All are required but Workloads,
// Policy, DryRun, Patience, LogFields and Observer.
type Options struct {
	Git     *gitcli.Client
	Secrets Secrets
	// Workloads are all that there are. Nil: those that Group is given.
	Workloads Workloads
	Policy    k8s.SecretPolicy // which of them a Deployment may name
	Registry  *registry.Client
	// RegistryTags bounds the tags of one repository in a registry. Zero: 20,000.
	RegistryTags int
	Builds       *builds.Client
	Notify       *notify.Notifier
	Wait         Wait
	DryRun       bool // do everything but push, and tell nobody
	// Patience is how long a group waits without hearing of any app repository,
	// or of any image, until it goes on without those that have not answered.
	// Zero: 1.5 s.
	Patience time.Duration
	Log      *zap.Logger
	// LogFields are what a group's context adds to its log lines.
	LogFields func(context.Context) []zap.Field
	Observer  Observer
}

// New returns a Reconciler, which Close must end.
func New(opt Options) *Reconciler {
	if opt.LogFields == nil {
		opt.LogFields = func(context.Context) []zap.Field { return nil }
	}
	if opt.Observer == nil {
		opt.Observer = nobody{}
	}
	r := &Reconciler{Options: opt, complaints: repeat.Filter{Every: repeatAfter, Forget: forgetAfter}}
	r.lists = registry.NewLists(opt.Registry, opt.RegistryTags)
	r.Patience = cmp.Or(r.Patience, 1500*time.Millisecond)
	r.life, r.end = context.WithCancel(context.Background())
	return r
}

// Close ends what is still being asked. No Group may be running.
func (r *Reconciler) Close() {
	r.end()
	r.heads.running.Wait()
	r.questions.running.Wait()
}

// Job is one Deployment to bring up to date, with what was pushed before Since.
type Job struct {
	Target k8s.Target
	Since  time.Time
	// LogFields are added to the log lines about it.
	LogFields []zap.Field
	// Requested is when the newest request came, where the job has been put off
	// since; zero: as Since.
	Requested time.Time
}

// Group brings the Deployments of one group up to date and tells done of each, as
// soon as its outcome is known.
func (r *Reconciler) Group(ctx context.Context, jobs []Job, done Done) {
	if len(jobs) == 0 {
		return
	}
	g := &group{Reconciler: r, lists: r.lists.Pass(), began: time.Now(), stopping: func() bool { return ctx.Err() != nil }}
	g.Log = r.Log.With(r.LogFields(ctx)...)
	g.ctx = context.WithoutCancel(ctx)
	g.key = jobs[0].Target.Spec.Group()
	g.memory = r.memories.of(g.key, g.began)
	g.asked = make(map[k8s.Ref]bool, len(jobs))
	for i, j := range jobs {
		report := func(ctx context.Context, o Outcome) { done(ctx, i, o) }
		g.asked[j.Target.Ref] = true
		g.deployments = append(g.deployments, &deployment{group: g, job: j, target: j.Target, report: report})
	}
	slices.SortFunc(g.deployments, func(a, b *deployment) int {
		return cmp.Or(strings.Compare(a.target.Namespace, b.target.Namespace), strings.Compare(a.target.Name, b.target.Name))
	})

	var err error // the repository's
	defer func() {
		g.worked(err)
		g.notify(ctx)
		if g.mirror != nil {
			g.mirror.Renew()
			g.mirror.Release()
		}
		g.identities.release()
		if g.identity != nil {
			g.identity.Release()
		}
	}()
	if len(jobs) <= fewDeployments {
		for _, d := range g.deployments {
			d.begin()
		}
	}
	g.review(ctx, true)
	g.check()
	if len(g.open()) == 0 {
		return
	}
	g.manifests, g.branch = g.repository()
	if err = g.identify(ctx); err != nil {
		g.failAll(err)
		return
	}
	if g.mirror, err = r.Git.Mirror(g.manifests, g.branch, g.identity); err != nil {
		g.failAll(err)
		return
	}
	var base string
	if base, err = g.readHeads(ctx); err != nil {
		g.failAll(err)
		return
	}
	g.decide(ctx, g.open())
	if err = g.update(ctx, base); err != nil {
		g.failAll(err)
	}
}

// group is one call of Group.
type group struct {
	*Reconciler
	began       time.Time
	Log         *zap.Logger      // with the fields of this call
	ctx         context.Context  // what is told is told with it
	stopping    func() bool      // the operator is shutting down
	key         string           // Spec.Group of its Deployments
	asked       map[k8s.Ref]bool // whom it is about
	view        *view            // of all Deployments, when they were last looked at
	deployments []*deployment
	manifests   gitcli.Remote
	branch      string
	identity    *gitcli.Identity
	identities  identities
	mirror      *gitcli.Mirror
	memory      *memory
	files       []*manifest   // those that the deployments want
	written     []*deployment // those with a commit, in order
	secrets     memo[k8s.SecretRef, map[string][]byte]
	looks       asked[look, string]
	states      asked[commit, builds.State]
	tagged      asked[tagged, []policy.Tag]
	listed      asked[listed, []string]
	lists       *registry.Pass // of the registries' tags

	mu       sync.Mutex
	messages []message // to send when the results are out
}

// deployment is one job on its way.
type deployment struct {
	group   *group
	own     func(context.Context) context.Context // the observer's, once it has begun
	guest   bool                                  // it has a say, but no result: see invite
	job     Job
	target  k8s.Target
	head    string            // the app's commit, once it is known
	seen    time.Time         // when it was looked up
	asked   time.Time         // when that look-up began
	want    string            // the tag it asks for
	choice  policy.Choice     // where that is from
	due     time.Time         // when to look again at what it waits for
	spots   []*spot           // the files that it is written in
	digests map[string]string // of its images with the wanted tag, where it pins them
	behind  []string          // the images, with the wanted tag, that the files do not have
	later   bool              // it waits for the next attempt
	from    patcher.Version   // what it replaces
	reason  string            // of a failure
	report  func(context.Context, Outcome)
	ended   bool
	result  Result        // once ended
	again   time.Duration // with which it was put off
}

// end reports a deployment's result, or with again, that it has none yet.
func (d *deployment) end(res Result, again time.Duration) {
	res.Head, res.Want = d.head, d.want
	d.ended, d.result, d.again = true, res, again
	if d.guest {
		return
	}
	d.report(d.outcome(res, again))
}

// upToDate ends a deployment that has nothing to change.
func (g *group) upToDate(d *deployment) {
	g.well(d, false)
	g.memory.forget(d.target.Ref)
	g.Notify.Succeeded(d.target.Key())
	d.end(upToDate(d.target, d.want, d.saying()), 0)
}

// recovered, deferred in a goroutine, makes a panic the failure of its
// deployments: one that nobody foresaw must not end the operator.
func (g *group) recovered(ds ...*deployment) {
	v := recover()
	if v == nil {
		return
	}
	g.Log.Error("panic", zap.Any("value", v), zap.Stack("stack"))
	for _, d := range ds {
		if !d.ended {
			g.fail(d, fmt.Errorf("internal error, please report it: %v", v))
		}
	}
}

// open returns the deployments that have no result yet.
func (g *group) open() []*deployment {
	var open []*deployment
	for _, d := range g.deployments {
		if !d.ended {
			open = append(open, d)
		}
	}
	return open
}

func (g *group) fail(d *deployment, err error) {
	g.failWith(d, err, notify.Failure(Failed(d.target, err).Message))
}

// failWith ends a deployment with a failure that has a notification of its own.
func (g *group) failWith(d *deployment, err error, m notify.Message) {
	if g.stopping() && !errors.Is(err, gitcli.ErrPushUnknown) {
		d.reason = ReasonShutdown
		d.end(Failed(d.target, errors.New("the operator is shutting down; the next pass goes on from here")), 0)
		return
	}
	d.reason = reasonOf(err)
	res := Failed(d.target, err)
	if d.guest {
		d.end(res, 0)
		return
	}
	same := d.sameFailure(res.Message)
	if m.Kind == notify.KindFailure {
		m.Same = same
	}
	g.complain(d.log(), zapcore.WarnLevel, d.failing(), same, res.Message, append(d.about(), zap.Error(err))...)
	g.tell(d, m)
	d.end(res, 0)
}

func (g *group) failAll(err error) {
	g.failTogether(g.open(), g.failing(), remote{g.manifests.String(), g.branch}, err)
}

// succeeded ends the deployments whose changes were pushed, as these commits.
func (g *group) succeeded(commits []string) {
	for i, d := range g.written {
		res := d.patched()
		fields := append(d.about(), zap.String("from", d.replaced()), zap.String("to", d.want),
			zap.String("repository", g.manifests.String()), zap.String("branch", g.branch), zap.String("path", d.paths()))
		if !g.DryRun {
			res.Commit = commits[i]
			fields = append(fields, zap.String("commit", commits[i]))
		}
		d.log().Info(res.Message, fields...)
		g.well(d, true)
		g.memory.forget(d.target.Ref)
		g.tell(d, notify.Success(res.Message))
		d.end(res, 0)
	}
	for _, d := range g.open() {
		if !d.later { // done by the commit of another on the same file
			g.upToDate(d)
		}
	}
}

// log is for lines about the deployment, whose fields are about's; the group's
// names another request.
func (d *deployment) log() *zap.Logger { return d.group.Reconciler.Log }

// about are the log fields of a deployment.
func (d *deployment) about() []zap.Field {
	return append([]zap.Field{zap.String("deployment", d.target.Name), zap.String("namespace", d.target.Namespace)}, d.job.LogFields...)
}
