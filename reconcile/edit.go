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

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/patcher"
)

// manifest is one file of the manifests repository in a pass.
type manifest struct {
	path        string
	deployments []*deployment         // whose image it has
	guests      []*deployment         // others, who have a say in it
	places      map[int][]*deployment // who claims the image at an offset, where that is more than one
	known       *file
	content     []byte // nil until somebody needs it

	series *patcher.Series // the edits, once they are verified
	after  *file           // what is known of the file with them
	edited chan struct{}   // closed when the edits are done, or have failed
}

// changing returns the deployments that have something to change in the file.
func (f *manifest) changing() []*deployment {
	var ds []*deployment
	for _, d := range f.deployments {
		if !d.ended && d.behind != "" {
			ds = append(ds, d)
		}
	}
	return ds
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
		var todo []*manifest
		for _, f := range g.files {
			if len(f.changing()) > 0 {
				f.edited = make(chan struct{})
				todo = append(todo, f)
			}
		}
		var next atomic.Int64
		var editors sync.WaitGroup
		defer editors.Wait()
		defer next.Store(int64(len(todo)))
		for range min(runtime.GOMAXPROCS(0), len(todo)) {
			editors.Go(func() {
				for i := next.Add(1); i <= int64(len(todo)); i = next.Add(1) {
					g.edit(todo[i-1])
				}
			})
		}
		for _, d := range g.open() {
			if d.behind == "" {
				continue
			}
			<-d.file.edited
			switch {
			case d.ended: // its editor panicked
			case d.err != nil:
				g.fail(d, g.inFile(d, d.err))
			case d.step > 0:
				change := gitcli.Change{
					Message: d.message(),
					Files:   []gitcli.File{{Path: d.target.Spec.Path, Mode: d.file.known.Mode, Content: d.file.series.Content(d.step)}},
				}
				g.written = append(g.written, d)
				if !yield(change) {
					return
				}
			}
		}
	}
}

// edit makes the changes to one file. Where they cannot be verified together,
// those go that cannot be verified alone.
func (g *group) edit(f *manifest) {
	ds := f.changing()
	defer close(f.edited)
	defer g.recovered(ds...)
	parsed, err := patcher.Parse(f.content)
	if err == nil {
		err = f.edit(parsed, ds)
	}
	if err != nil && len(ds) > 1 && parsed != nil {
		ds = slices.DeleteFunc(ds, func(d *deployment) bool {
			_, d.err = parsed.SetTag(d.target.Spec.Image, d.want)
			return d.err != nil
		})
		err = f.edit(parsed, ds)
	}
	if err != nil {
		for _, d := range ds {
			d.err = err
		}
	}
	f.content = nil // the series has it
}

// edit makes a series of the deployments' changes, in their order.
func (f *manifest) edit(parsed *patcher.File, ds []*deployment) error {
	f.series = parsed.Series()
	steps := 0
	for _, d := range ds {
		var changes bool
		d.step, d.err = 0, nil
		if d.from, changes, d.err = f.series.Set(d.target.Spec.Image, d.want); changes {
			steps++
			d.step = steps
			if d.from == "" {
				d.from = "latest" // what an image without a tag means
			}
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
	for _, k := range f.known.findings {
		f.after.note(k.name, after, nil)
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
	fmt.Fprintf(&b, "Image: %s\nFrom: %s\nTo: %s\n", d.target.Spec.Image, d.from, d.want)
	if app := d.target.Spec.App.String(); app != "" {
		fmt.Fprintf(&b, "App-Repository: %s\n", app)
	}
	if !d.byHead() {
		fmt.Fprintln(&b, d.choice.Trailer())
	}
	return b.String()
}
