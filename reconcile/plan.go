package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/patcher"
)

// manifest is one file of the manifests repository while changes are planned.
type manifest struct {
	mode    string
	content []byte
	parsed  *patcher.File // of content; nil until somebody asks
	err     error         // why it cannot be edited
}

func (f *manifest) find(name patcher.Name) ([]patcher.Image, error) {
	if f.parsed == nil && f.err == nil {
		f.parsed, f.err = patcher.Parse(f.content)
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.parsed.Find(name)
}

// place is where an image stands.
type place struct {
	path   string
	offset int
}

// plan reads the files at base and returns the changes that are still needed,
// one per Deployment that has one to make, in the order of open. Deployments
// that are up to date, whose image is not there, or that cannot be changed, end
// here.
func (g *group) plan(ctx context.Context, base string) ([]gitcli.Change, error) {
	files, err := g.read(ctx, base)
	if err != nil {
		return nil, err
	}
	images := map[*deployment][]patcher.Image{}
	for _, d := range g.open() {
		d.from = ""
		if images[d], err = files[d.path].find(d.image); err != nil {
			g.fail(d, g.inFile(d, err))
		}
	}
	g.refuseConflicts(images)

	behind := map[*deployment]string{}
	for _, d := range g.open() {
		if i := slices.IndexFunc(images[d], func(i patcher.Image) bool { return i.Tag != d.want }); i >= 0 {
			behind[d] = images[d][i].Ref
		} else {
			g.upToDate(d)
		}
	}
	g.gate(ctx, behind)
	g.holdTogether(images, behind)

	var changes []gitcli.Change
	for _, d := range g.open() {
		change, err := d.change(files[d.path])
		if err != nil {
			g.fail(d, g.inFile(d, err))
			continue
		}
		if change != nil {
			changes = append(changes, *change)
		}
	}
	return changes, nil
}

// read returns the wanted files of a commit.
func (g *group) read(ctx context.Context, base string) (map[string]*manifest, error) {
	files := map[string]*manifest{}
	var paths []string
	for _, d := range g.open() {
		if files[d.path] == nil {
			files[d.path] = &manifest{}
			paths = append(paths, d.path)
		}
	}
	blobs, err := g.mirror.Read(ctx, base, paths, patcher.MaxSize)
	if err != nil {
		return nil, err
	}
	for path, f := range files {
		b := blobs[path]
		f.mode, f.content, f.err = b.Mode, b.Content, b.Err
	}
	return files, nil
}

// refuseConflicts ends Deployments that want different tags for one image:
// whichever came last would win, in every pass anew.
func (g *group) refuseConflicts(images map[*deployment][]patcher.Image) {
	claims := map[place][]*deployment{}
	for _, d := range g.open() {
		for _, i := range images[d] {
			at := place{d.path, i.Offset}
			claims[at] = append(claims[at], d)
		}
	}
	rival := map[*deployment]*deployment{}
	for _, claimants := range claims {
		for _, d := range claimants {
			if i := slices.IndexFunc(claimants, func(r *deployment) bool { return r.want != d.want }); i >= 0 {
				rival[d] = claimants[i]
			}
		}
	}
	for _, d := range g.open() {
		if r := rival[d]; r != nil {
			g.fail(d, g.inFile(d, fmt.Errorf("image %s is also claimed by deployment %s, which wants tag %s where this one wants %s: give each a file or an image of its own",
				d.image, r.target.Key(), r.want, d.want)))
		}
	}
}

// change edits f for d and returns the commit to make, nil where an earlier
// change has done it already.
func (d *deployment) change(f *manifest) (*gitcli.Change, error) {
	images, err := f.find(d.image)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(images, func(i patcher.Image) bool { return i.Tag != d.want })
	if i < 0 {
		return nil, nil
	}
	content, err := f.parsed.SetTag(d.image, d.want)
	if err != nil {
		return nil, err
	}
	f.content, f.parsed = content, nil
	if d.from = images[i].Tag; d.from == "" {
		d.from = "latest" // what an image without a tag means
	}
	return &gitcli.Change{
		Message: d.message(),
		Files:   []gitcli.File{{Path: d.path, Mode: f.mode, Content: content}},
	}, nil
}

// message is the commit's: a subject, and git trailers.
func (d *deployment) message() string {
	var b strings.Builder
	fmt.Fprintf(&b, "chore(refs): update %s to %.12s\n\n", d.target.Key(), d.want)
	fmt.Fprintf(&b, "Image: %s\nFrom: %s\nTo: %s\nApp-Repository: %s\n", d.image, d.from, d.want, d.app)
	return b.String()
}

// inFile says where an error happened.
func (g *group) inFile(d *deployment, err error) error {
	if errors.Is(err, gitcli.ErrPathMissing) || errors.Is(err, gitcli.ErrNotRegular) {
		err = fmt.Errorf("%w: correct gitops.operator.deployment_path", err)
	}
	return fmt.Errorf("patch %s of %s branch %s: %w", d.path, g.manifests, g.branch, err)
}
