package reconcile

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/patcher"
)

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
		d.behind, d.digests = nil, nil
		if err := d.locate(); err != nil {
			g.fail(d, err)
		}
	}
	g.judge(ctx)
	pinned := g.pin(ctx)

	for _, d := range g.open() {
		if d.behind = d.images(false); d.behind == nil {
			g.upToDate(d)
		}
	}
	g.hold()
	behind := g.open()
	behind = append(behind, witnesses(behind)...)
	g.gate(ctx, slices.DeleteFunc(slices.Clone(behind), func(d *deployment) bool { return d.target.Spec.PinDigest }))
	g.holdTogether(append(behind, pinned...))
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
		d.spots = nil
		for _, path := range d.target.Spec.Files {
			f := byPath[path]
			if f == nil {
				f = &manifest{path: path, known: g.memory.files[path]}
				byPath[path] = f
				g.files = append(g.files, f)
				if f.known == nil || f.known.ID == "" || f.known.stale {
					missing = append(missing, path)
				} else {
					f.known.used = g.began
				}
			}
			s := &spot{deployment: d, file: f}
			f.spots, d.spots = append(f.spots, s), append(d.spots, s)
		}
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
	var todo []*manifest
	var ids []string
	for _, f := range g.files {
		if f.known.Err != nil {
			continue
		}
		f.unknown = nil
		for _, s := range slices.Concat(f.spots, f.guests) {
			if spec := s.target.Spec; f.known.findings[spec.RequestKey] == nil {
				if f.unknown == nil {
					f.unknown = map[string]patcher.Request{}
				}
				f.unknown[spec.RequestKey] = spec.Request
			}
		}
		if f.unknown != nil {
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
				g.note(f)
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
func (g *group) note(f *manifest) {
	defer func() {
		if v := recover(); v != nil {
			g.Log.Error("panic", zap.Any("value", v), zap.Stack("stack"))
			for key, r := range f.unknown {
				f.known.note(key, r, nil, fmt.Errorf("internal error, please report it: %v", v))
			}
		}
	}()
	parsed, err := patcher.ParseFile(f.path, f.content)
	for key, r := range f.unknown {
		f.known.note(key, r, parsed, err)
	}
	behind := func(s *spot) bool {
		return slices.ContainsFunc(f.known.find(s.target.Spec.RequestKey).places, func(p patcher.Place) bool { return !p.Has(patcher.Version{Tag: s.want}) })
	}
	if !slices.ContainsFunc(f.spots, behind) {
		f.content = nil
	}
}
