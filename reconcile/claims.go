package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kainlite/gitops-operator/internal/repository"
	"github.com/kainlite/gitops-operator/k8s"
)

// A claim is judged over all tracked Deployments, since an edit is for all who
// share the image. Those that this call of Group is not about, or is done with,
// are its guests: they take part in the judging and in the gate, and nothing is
// told of them.

// app is a branch of an application, whatever its URL.
type app struct {
	repository repository.Key
	branch     string
}

func appOf(s *k8s.Spec) app { return app{s.App.Key(), s.AppBranch} }

// invite adds the guests to the files that are looked at.
func (g *group) invite() {
	files := map[string]*manifest{}
	paths := map[string]bool{}
	for _, f := range g.files {
		files[f.path], paths[f.path] = f, true
		f.guests = nil
	}
	open := map[k8s.Ref]bool{}
	for _, d := range g.open() {
		open[d.target.Ref] = true
	}
	for _, t := range g.view.on(branch{g.manifests.Key(), g.branch}, paths) {
		if open[t.Ref] || t.Spec.RequestKey == "" {
			continue
		}
		if !t.Spec.Holds() && (t.Invalid() != nil || g.allowed(*t) != nil) {
			continue // it can change nothing
		}
		d := &deployment{group: g, guest: true, target: *t}
		for _, path := range t.Spec.Files {
			if f := files[path]; f != nil {
				s := &spot{deployment: d, file: f}
				f.guests, d.spots = append(f.guests, s), append(d.spots, s)
			}
		}
	}
}

// share finds out who shares an image with whom.
func (g *group) share() (contested []*deployment) {
	known := map[*deployment]bool{}
	for _, f := range g.files {
		f.places = map[int][]claim{}
		if f.known.Err != nil || len(f.spots)+len(f.guests) < 2 {
			continue
		}
		for _, s := range f.spots {
			if !s.ended {
				for _, p := range s.places {
					f.places[p.Offset] = append(f.places[p.Offset], claim{s.deployment, p})
				}
			}
		}
		for _, s := range f.guests {
			s.places = f.known.find(s.target.Spec.RequestKey).places
			for _, p := range s.places {
				at := f.places[p.Offset]
				if at == nil {
					continue
				}
				f.places[p.Offset] = append(at, claim{s.deployment, p})
				if !known[s.deployment] {
					known[s.deployment] = true
					contested = append(contested, s.deployment)
				}
			}
		}
	}
	return contested
}

// judge ends the deployments that want another tag for an image than somebody
// else does: whichever came last would win, in every pass anew.
func (g *group) judge(ctx context.Context) {
	contested := g.share()
	g.adopt(contested)
	g.hear(ctx, contested)
	rivals := map[*deployment]*deployment{}
	for _, f := range g.files {
		for _, claimants := range f.places {
			var first []*deployment // the first of each tag that is wanted
			for _, c := range claimants {
				d := c.deployment
				if d.want != "" && !slices.ContainsFunc(first, func(o *deployment) bool { return o.want == d.want }) {
					first = append(first, d)
				}
			}
			for _, c := range claimants {
				d := c.deployment
				i := slices.IndexFunc(first, func(o *deployment) bool { return o.want != d.want })
				if i < 0 || d.guest || d.want == "" {
					continue
				}
				if r := rivals[d]; r == nil || first[i].target.Key() < r.target.Key() {
					rivals[d] = first[i]
				}
			}
		}
	}
	for _, d := range g.open() {
		if r := rivals[d]; r != nil {
			f, image := d.shared(r)
			g.fail(d, g.inFile(d, f, fmt.Errorf("image %s is also claimed by deployment %s, which wants tag %s where this one wants %s: give each a file or an image of its own",
				image, r.target.Key(), r.want, d.want)))
		}
	}
}

// adopt takes over a newer head of the same application that another group has
// looked up, where an image is shared with it: else the older head could win.
func (g *group) adopt(contested []*deployment) {
	apps := map[app]bool{}
	for _, d := range contested {
		if d.byHead() {
			apps[appOf(d.target.Spec)] = true
		}
	}
	if len(apps) == 0 {
		return
	}
	for _, d := range g.open() {
		a := appOf(d.target.Spec)
		if !apps[a] || !d.byHead() {
			continue
		}
		if k, known := g.heads.latest(a); known && k.asked.After(d.asked) && k.head != d.head {
			d.seen, d.asked = k.asked, k.asked
			d.at(k.head) // a commit makes a tag as good as the one before
		}
	}
}

// hear finds out what the guests want. Whose application is also that of
// somebody here wants its head; of others, the last head that was seen counts
// where it agrees, and only who seems to disagree is looked up.
func (g *group) hear(ctx context.Context, contested []*deployment) {
	here := map[app]string{}
	for _, d := range g.deployments {
		if d.head != "" && d.byHead() {
			here[appOf(d.target.Spec)] = d.head
		}
	}
	g.decide(ctx, slices.DeleteFunc(slices.Clone(contested), func(d *deployment) bool { return d.target.Spec.Holds() }))
	unsure := map[app]*deployment{}
	for _, d := range contested {
		a := appOf(d.target.Spec)
		if d.target.Spec.Holds() || !d.byHead() {
			continue // it wants what is there, or was decided on above
		}
		if head, known := here[a]; known {
			d.at(head)
			continue
		}
		if k, known := g.heads.latest(a); known {
			d.at(k.head)
			if g.agrees(d) {
				continue
			}
		}
		if unsure[a] == nil && !g.asked[d.target.Ref] {
			unsure[a] = d
		}
	}
	if len(unsure) == 0 {
		return
	}
	g.ask(ctx, unsure)
	for _, d := range contested {
		a := appOf(d.target.Spec)
		if k, known := g.heads.latest(a); known && unsure[a] != nil && d.byHead() && !d.target.Spec.Holds() {
			d.at(k.head)
		}
	}
}

func (g *group) agrees(d *deployment) bool {
	for other := range d.sharing {
		if other.want != "" && other.want != d.want {
			return false
		}
	}
	return true
}

// ask looks the guests' heads up, and waits no longer than for anybody's. A guest
// whose application does not answer wants what it wanted last; that it fails is
// told when it is asked for itself.
func (g *group) ask(ctx context.Context, guests map[app]*deployment) {
	ctx, cancel := context.WithTimeout(ctx, g.Patience)
	defer cancel()
	var lookups []*lookup
	for _, d := range guests {
		spec := d.target.Spec
		id, err := g.appIdentity(ctx, d.target)
		if err != nil {
			continue
		}
		key := headKey{spec.App.String(), spec.AppBranch, id.ID()}
		if g.heads.hangs(key, time.Now().Add(-g.Patience)) {
			continue
		}
		lookups = append(lookups, g.lookUp(ctx, key, spec, id, g.began))
	}
	for _, l := range lookups {
		select {
		case <-l.done:
		case <-ctx.Done():
			return
		}
	}
}

// hold ends the deployments that are behind and share an image with one that is
// to stay as it is.
func (g *group) hold() {
	for _, d := range g.open() {
		if d.behind == nil {
			continue
		}
		for other := range d.sharing {
			if other.guest && other.target.Spec.Holds() {
				why := "disabled (gitops.operator.enabled=false)"
				if !other.target.Disabled() {
					why = "neither enabled nor disabled (its gitops.operator.enabled is invalid)"
				}
				f, image := d.shared(other)
				g.fail(d, g.inFile(d, f, fmt.Errorf("image %s is also that of deployment %s, which is %s: the tag stays as it is; enable that one, or give each a file or an image of its own",
					image, other.target.Key(), why)))
				break
			}
		}
	}
}

// witnesses are the guests whose gate the deployments that are behind must pass
// too.
func witnesses(behind []*deployment) []*deployment {
	var list []*deployment
	for _, d := range behind {
		for other := range d.sharing {
			if other.guest && other.behind == nil && other.want == d.want {
				other.behind = other.images(false)
				list = append(list, other)
			}
		}
	}
	return list
}

// waitKey names what a deployment waits for; a guest's waiting is the group's own.
func (d *deployment) waitKey() string {
	if !d.guest {
		return d.target.Key()
	}
	return strings.Join([]string{"guest", d.group.key, d.target.Key()}, "\x00")
}
