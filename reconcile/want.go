package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/policy"
	"github.com/kainlite/gitops-operator/registry"
)

// promotionAgain is when a promotion is looked at again that waits for something
// without a known time, such as a rollout.
const promotionAgain = 30 * time.Second

// listed and tagged are questions for lists of tags: of a registry, of a
// repository.
type (
	listed struct{ image, credentials string }
	tagged struct{ url, identity string }
)

// knownTags are the tags of one list, for as long as it stays the same: they
// remember what was chosen of them.
type knownTags struct {
	list []policy.Tag
	tags *policy.Tags
	used time.Time
}

// tagsOf returns the tags of a list; key says which.
func (m *memory) tagsOf(key string, list []policy.Tag, now time.Time) *policy.Tags {
	k := m.tags[key]
	if k == nil || !slices.Equal(k.list, list) {
		k = &knownTags{list: list, tags: policy.NewTags(list)}
		m.tags[key] = k
	}
	k.used = now
	return k.tags
}

// byHead says whether the wanted tag is made of the head of the application's
// branch.
func (d *deployment) byHead() bool { return d.target.Spec.Tag.Source() == policy.Branch }

// at takes over the head of the application's branch, and what tag it makes.
func (d *deployment) at(head string) error {
	c, err := d.target.Spec.Tag.Choose(policy.Known{Head: head})
	d.head = head
	d.choose(c)
	return err
}

func (d *deployment) choose(c policy.Choice) {
	d.choice, d.want = c, c.Tag
	if c.Commit != "" {
		d.head = c.Commit
	}
}

// decide finds out which tags are wanted where that is no matter of a branch's
// head. Who cannot be decided on ends here.
func (g *group) decide(ctx context.Context, ds []*deployment) {
	p := newPatience(g.Patience)
	defer p.stop()
	reading := make(chan struct{}, secretsAtOnce)
	var wg sync.WaitGroup
	for _, d := range ds {
		if d.ended || d.byHead() {
			continue
		}
		wg.Go(func() {
			defer g.recovered(d)
			server, c, err := g.choice(ctx, d, p, reading)
			if err == nil {
				d.choose(c)
				return
			}
			if !d.guest {
				g.undecided(d, server, err)
			}
		})
	}
	wg.Wait()
}

// undecided ends a deployment of which it is not known what it wants.
func (g *group) undecided(d *deployment, server string, err error) {
	wait, waits := errors.AsType[*policy.Wait](err)
	switch {
	case errors.Is(err, errUnanswered):
		g.goOn(d, server)
	case isNotAsked(err):
		g.leaveOut(d, err)
	case waits:
		d.due = wait.Until
		if d.due.IsZero() {
			d.due = time.Now().Add(promotionAgain)
		}
		res := Pending(d.target)
		res.Message = "Deployment " + d.target.Name + " " + wait.Reason
		d.end(res, 0)
	default:
		g.fail(d, because(reasonTag(err), err))
	}
}

func reasonTag(err error) string {
	if errors.Is(err, policy.ErrNoTag) || errors.Is(err, policy.ErrNotWatched) || errors.Is(err, policy.ErrImage) || errors.Is(err, policy.ErrFormat) {
		return reasonNoTag
	}
	return reasonOther
}

// choice asks the policy of a deployment with what it needs to know. server is
// who has to be asked for that.
func (g *group) choice(ctx context.Context, d *deployment, p *patience, reading chan struct{}) (server string, c policy.Choice, err error) {
	tag, known := d.target.Spec.Tag, policy.Known{}
	switch tag.Source() {
	case policy.GitTags:
		server = d.target.Spec.App.String()
		known.Tags, err = g.gitTags(d.in(ctx), d, p)
	case policy.Registry:
		server = "registry " + g.registryOf(d)
		known.Tags, err = g.registryTags(d.in(ctx), d, p, reading)
	case policy.Promotion:
		self := policy.Workload{Namespace: d.target.Namespace, Name: d.target.Name}
		if err := g.view.cycles[self]; err != nil {
			return "", c, fmt.Errorf("gitops.operator.%w", err)
		}
		image := d.target.Spec.Image
		known.Observed, known.Image, known.Now = g.view.observed(tag.From()), image.String(), time.Now()
		known.Same = func(reference string) (string, bool) { return image.TagOf(reference) }
	}
	if err != nil {
		return server, c, err
	}
	c, err = tag.Choose(known)
	return server, c, err
}

// gitTags returns the tags of a deployment's application.
func (g *group) gitTags(ctx context.Context, d *deployment, p *patience) (*policy.Tags, error) {
	app := d.target.Spec.App
	if d.guest && d.target.Spec.SSHKey() != g.open()[0].target.Spec.SSHKey() {
		return nil, errUnanswered // its own group finds out
	}
	id, err := g.appIdentity(ctx, d.target)
	if err != nil {
		return nil, err
	}
	key := tagged{app.String(), id.ID()}
	list, err := answer(ctx, p, &g.tagged, g.memory.tagged, key, d.since(), func() *question[[]policy.Tag] {
		id.Hold()
		return pose(g.outliving(ctx), &g.questions, "git "+app.String(), silentGit, func(ctx context.Context) ([]policy.Tag, error) {
			tags, err := g.Git.Tags(ctx, app, id)
			list := make([]policy.Tag, len(tags))
			for i, t := range tags {
				list[i] = policy.Tag(t)
			}
			return list, err
		}, id.Release)
	})
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.tagsOf("git "+key.url, list, g.began), nil
}

func silentGit(err error) bool { return errors.Is(err, gitcli.ErrTimeout) }

// registryOf returns the registry whose tags are listed.
func (g *group) registryOf(d *deployment) string { return registry.Host(d.target.Spec.Repository()) }

// registryTags returns the tags of a deployment's image.
func (g *group) registryTags(ctx context.Context, d *deployment, p *patience, reading chan struct{}) (*policy.Tags, error) {
	reading <- struct{}{}
	credentials, from, _, err := g.credentials(ctx, d.target)
	<-reading
	if err != nil {
		return nil, because(reasonSecret, err)
	}
	image := d.target.Spec.Repository()
	key := listed{image, from}
	names, err := answer(ctx, p, &g.listed, g.memory.listed, key, d.since(), func() *question[[]string] {
		return pose(g.outliving(ctx), &g.questions, "registry "+registry.Host(image), registry.IsSilent, func(ctx context.Context) ([]string, error) {
			return g.lists.Tags(ctx, image, credentials)
		})
	})
	if err != nil {
		return nil, err
	}
	list := make([]policy.Tag, len(names))
	for i, name := range names {
		list[i].Name = name
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.memory.tagsOf(strings.Join([]string{"registry", image, from}, "\x00"), list, g.began), nil
}

// saying is the wanted tag, and where it is from, unless that is the usual: the
// head of the application's branch.
func (d *deployment) saying() string {
	if d.byHead() || d.choice.Why == "" {
		return d.want
	}
	return d.choice.Why
}
