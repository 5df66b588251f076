package reconcile

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/patcher"
)

// place is where an image stands.
type place struct {
	path   string
	offset int
}

// plan looks at the files at base and marks the deployments that are behind
// with the image to change. Those that are up to date, whose image is not
// there, or that cannot be changed, end here.
func (g *group) plan(ctx context.Context, base string) error {
	if err := g.read(ctx, base); err != nil {
		return err
	}
	g.invite()
	if err := g.find(ctx); err != nil {
		return err
	}
	for _, d := range g.open() {
		d.behind, d.step, d.err, d.images = "", 0, d.file.known.Err, nil
		if d.err == nil {
			k := d.file.known.find(d.target.Spec.Image)
			d.images, d.err = k.images, k.err
		}
		if d.err != nil {
			g.fail(d, g.inFile(d, d.err))
		}
	}
	g.judge(ctx)

	for _, d := range g.open() {
		if i := slices.IndexFunc(d.images, func(i patcher.Image) bool { return i.Tag != d.want }); i >= 0 {
			d.behind = d.images[i].Ref
		} else {
			g.upToDate(d)
		}
	}
	g.hold()
	behind := g.open()
	behind = append(behind, witnesses(behind)...)
	g.gate(ctx, behind)
	g.holdTogether(behind)
	return nil
}

// read brings what is remembered of the wanted files up to a commit. What has
// not changed since the commit before is not looked at.
func (g *group) read(ctx context.Context, base string) error {
	if err := g.compare(ctx, base); err != nil {
		return err
	}
	g.files = nil
	byPath := map[string]*manifest{}
	var missing []string
	for _, d := range g.open() {
		f := byPath[d.target.Spec.Path]
		if f == nil {
			f = &manifest{path: d.target.Spec.Path, known: g.memory.files[d.target.Spec.Path]}
			byPath[d.target.Spec.Path] = f
			g.files = append(g.files, f)
			if f.known == nil || f.known.ID == "" || f.known.stale {
				missing = append(missing, d.target.Spec.Path)
			} else {
				f.known.used = g.began
			}
		}
		f.deployments = append(f.deployments, d)
		d.file = f
	}
	entries, err := g.mirror.List(ctx, base, missing, patcher.MaxSize)
	if err != nil {
		return err
	}
	for path, e := range entries {
		f := byPath[path]
		if f.known == nil || f.known.ID != e.ID {
			f.known = &file{}
			g.memory.files[path] = f.known
		}
		f.known.Entry, f.known.stale, f.known.used = e, false, g.began
	}
	g.memory.sweep(g.began)
	return nil
}

// compare marks what may have changed since the commit that is remembered.
func (g *group) compare(ctx context.Context, base string) error {
	m := g.memory
	if m.commit == base {
		return nil
	}
	changed, err := map[string]bool(nil), error(nil)
	if m.commit != "" {
		// It fails where the mirror is a new one, without that commit.
		if changed, err = g.mirror.Changed(ctx, m.commit, base); ctx.Err() != nil {
			return err
		}
	}
	for path, f := range m.files {
		if m.commit == "" || err != nil || changed[path] {
			f.stale = true
		}
	}
	m.commit = base
	return nil
}

// find looks for the images in the files, where that is not known yet.
func (g *group) find(ctx context.Context) error {
	names := map[*manifest][]patcher.Name{}
	var todo []*manifest
	var ids []string
	for _, f := range g.files {
		if f.known.Err != nil {
			continue
		}
		for _, d := range slices.Concat(f.deployments, f.guests) {
			if f.known.find(d.target.Spec.Image) == nil && !slices.Contains(names[f], d.target.Spec.Image) {
				names[f] = append(names[f], d.target.Spec.Image)
			}
		}
		if names[f] != nil {
			todo, ids = append(todo, f), append(ids, f.known.ID)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	// A syntax tree is large: there are only as many as can be worked on.
	loaded := make(chan *manifest)
	var readers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(todo)) {
		readers.Go(func() {
			for f := range loaded {
				g.note(f, names[f])
			}
		})
	}
	err := g.mirror.Load(ctx, ids, func(i int, content []byte) {
		todo[i].content = content
		loaded <- todo[i]
	})
	close(loaded)
	readers.Wait()
	return err
}

// note takes down where the images are in a file, whose content stays only if
// one of them is to be changed.
func (g *group) note(f *manifest, names []patcher.Name) {
	defer g.recovered(f.deployments...)
	parsed, err := patcher.Parse(f.content)
	for _, name := range names {
		f.known.note(name, parsed, err)
	}
	behind := func(d *deployment) bool {
		return slices.ContainsFunc(f.known.find(d.target.Spec.Image).images, func(i patcher.Image) bool { return i.Tag != d.want })
	}
	if !slices.ContainsFunc(f.deployments, behind) {
		f.content = nil
	}
}

// inFile says where an error happened.
func (g *group) inFile(d *deployment, err error) error {
	if errors.Is(err, gitcli.ErrPathMissing) || errors.Is(err, gitcli.ErrNotRegular) {
		err = fmt.Errorf("%w: correct gitops.operator.deployment_path", err)
	}
	return because(reasonManifest, fmt.Errorf("patch %s of %s branch %s: %w", d.target.Spec.Path, g.manifests, g.branch, err))
}
