package reconcile

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/patcher"
)

// manifest is one file of the manifests repository in a pass.
type manifest struct {
	path    string
	spots   []*spot                    // of the deployments that are written in it
	guests  []*spot                    // others, who have a say in it
	unknown map[string]patcher.Request // what was not looked for in it yet
	places  map[int][]claim            // who claims the place at an offset
	known   *file
	content []byte // nil until somebody needs it

	series *patcher.Series // the edits, once they are verified
	after  *file           // what is known of the file with them
	edited chan struct{}   // closed when the edits are done, or have failed
}

// changing returns where the file is to be changed.
func (f *manifest) changing() []*spot {
	var ss []*spot
	for _, s := range f.spots {
		if !s.ended && s.behind != nil && s.lacks() {
			ss = append(ss, s)
		}
	}
	return ss
}

// load reads the contents of the files that are to be changed.
func (g *group) load(ctx context.Context) error {
	var todo []*manifest
	var ids []string
	for _, f := range g.files {
		if f.content == nil && len(f.changing()) > 0 {
			todo, ids = append(todo, f), append(ids, f.known.ID)
		}
	}
	return g.mirror.Load(ctx, ids, func(i int, content []byte) { todo[i].content = content })
}

// changes edits the files and gives the commits to make, one per Deployment, in
// order. While a commit is being written, the files of the next ones are edited.
func (g *group) changes() iter.Seq[gitcli.Change] {
	return func(yield func(gitcli.Change) bool) {
		g.written = nil
		todo := g.settle()
		wait := g.editAll(todo)
		defer wait()
		for _, d := range g.open() {
			if d.behind == nil {
				continue
			}
			for _, s := range d.spots {
				if s.file.edited != nil {
					<-s.file.edited
				}
			}
			if s := d.broken(); s != nil {
				g.fail(d, g.inFile(d, s.file, s.err))
			} else if change := d.change(); len(change.Files) > 0 {
				g.written = append(g.written, d)
				if !yield(change) {
					return
				}
			}
		}
	}
}

// settle edits the files of the deployments that change several, until each of
// them can be changed in all of its files, or has failed and is changed in none.
// It returns the files that are left.
func (g *group) settle() (rest []*manifest) {
	linked := map[*manifest]bool{}
	for _, d := range g.open() {
		if d.behind != nil && len(d.spots) > 1 {
			for _, s := range d.spots {
				linked[s.file] = true
			}
		}
	}
	var todo []*manifest
	for _, f := range g.files {
		f.edited = nil
		switch {
		case len(f.changing()) == 0:
		case linked[f]:
			todo = append(todo, f)
		default:
			rest = append(rest, f)
		}
	}
	for len(todo) > 0 {
		g.editAll(todo)()
		again := map[*manifest]bool{}
		for _, d := range g.open() {
			if d.behind == nil || len(d.spots) < 2 {
				continue
			}
			if s := d.broken(); s != nil {
				g.fail(d, g.inFile(d, s.file, s.err))
				for _, other := range d.spots {
					again[other.file] = again[other.file] || other.steps > 0
				}
			}
		}
		todo = slices.DeleteFunc(todo, func(f *manifest) bool { return !again[f] })
	}
	return rest
}

// editAll edits files in the background, as many at once as there are processors.
// The function that it returns stops it, and waits for what has begun.
func (g *group) editAll(todo []*manifest) (wait func()) {
	for _, f := range todo {
		f.edited = make(chan struct{})
	}
	var next atomic.Int64
	var editors sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(todo)) {
		editors.Go(func() {
			for i := next.Add(1); i <= int64(len(todo)); i = next.Add(1) {
				g.edit(todo[i-1])
			}
		})
	}
	return editors.Wait
}

// change is the deployment's commit.
func (d *deployment) change() gitcli.Change {
	c := gitcli.Change{}
	for _, s := range d.spots {
		if s.steps == 0 {
			continue
		}
		if c.Files == nil {
			d.from = s.from
		}
		c.Files = append(c.Files, gitcli.File{Path: s.file.path, Mode: s.file.known.Mode, Content: s.file.series.Content(s.steps)})
	}
	if c.Files != nil {
		c.Message = d.message()
	}
	return c
}

// recoverSpots, deferred, makes a panic the failure of those who are written in a
// file.
func (g *group) recoverSpots(ss []*spot) {
	if v := recover(); v != nil {
		g.Log.Error("panic", zap.Any("value", v), zap.Stack("stack"))
		for _, s := range ss {
			s.err = fmt.Errorf("internal error, please report it: %v", v)
		}
	}
}

// edit makes the changes to one file. Where they cannot be verified together,
// those go that cannot be verified alone.
func (g *group) edit(f *manifest) {
	ss := f.changing()
	defer close(f.edited)
	defer g.recoverSpots(ss)
	for _, s := range f.spots {
		s.steps, s.err = 0, nil
	}
	f.series, f.after = nil, nil
	parsed, err := patcher.ParseFile(f.path, f.content)
	if err == nil {
		err = f.edit(parsed, ss)
	}
	if err != nil && len(ss) > 1 && parsed != nil {
		ss = slices.DeleteFunc(ss, func(s *spot) bool {
			alone := parsed.Series()
			if _, _, s.err = alone.EditEach(s.target.Spec.Request, s.version); s.err == nil {
				_, s.err = alone.Verify()
			}
			return s.err != nil
		})
		err = f.edit(parsed, ss)
	}
	if err != nil {
		for _, s := range ss {
			s.err = err
		}
	}
}

// edit makes a series of the changes, in their order.
func (f *manifest) edit(parsed *patcher.File, ss []*spot) error {
	f.series = parsed.Series()
	steps := 0
	for _, s := range ss {
		var changes bool
		s.steps, s.err = 0, nil
		if s.from, changes, s.err = f.series.EditEach(s.target.Spec.Request, s.version); changes {
			steps++
			s.steps = steps
		}
	}
	if steps == 0 {
		return nil
	}
	after, err := f.series.Verify()
	if err != nil {
		return err
	}
	f.after = &file{Entry: gitcli.Entry{Mode: f.known.Mode, ID: gitcli.ContentID(f.series.Content(steps), f.known.ID)}, used: f.known.used}
	for key, k := range f.known.findings {
		f.after.note(key, k.request, after, nil)
	}
	return nil
}

// remember takes down that the branch is at a commit with the edits.
func (g *group) remember(commit string) {
	g.memory.commit = commit
	for _, f := range g.files {
		if f.after != nil {
			g.memory.files[f.path] = f.after
		}
	}
}

// message is the commit's: a subject, and git trailers.
func (d *deployment) message() string {
	var b strings.Builder
	short := d.want
	if short == d.head {
		short = fmt.Sprintf("%.12s", short)
	}
	fmt.Fprintf(&b, "chore(refs): update %s to %s\n\n", d.target.Key(), short)
	for _, n := range d.target.Spec.Request.Images {
		fmt.Fprintf(&b, "Image: %s\n", n)
	}
	fmt.Fprintf(&b, "From: %s\nTo: %s\n", d.replaced(), d.want)
	for _, digest := range d.pins() {
		fmt.Fprintf(&b, "Digest: %s\n", digest)
	}
	if app := d.target.Spec.App.String(); app != "" {
		fmt.Fprintf(&b, "App-Repository: %s\n", app)
	}
	if !d.byHead() {
		fmt.Fprintln(&b, d.choice.Trailer())
	}
	return b.String()
}

// replaced is the tag that the first changed place had. A path may lead to
// anything, which is nobody's business.
func (d *deployment) replaced() string {
	switch {
	case d.from.Tag == "":
		return "latest" // what an image without a tag means
	case patcher.CheckTag(d.from.Tag) != nil:
		return "(no tag)"
	}
	return d.from.Tag
}
