package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/kainlite/gitops-operator/patcher"
)

// patching is what the command patch is asked for.
type patching struct {
	request patcher.Request
	version patcher.Version
	write   bool
}

// patched is one of its files.
type patched struct {
	name          string
	mode          os.FileMode
	before, after []byte
	parsed        *patcher.File
	err           error
}

// Patch is the command patch: it shows, or writes, what the operator would change
// in files, and returns the exit code.
func Patch(args []string, stdout, stderr io.Writer) int {
	p, files, code, ok := readPatching(args, stdout, stderr)
	if !ok {
		return code
	}
	all := make([]patched, len(files))
	for i, name := range files {
		all[i] = p.file(name)
	}
	if missing := p.missing(all); missing != "" {
		fmt.Fprintf(stderr, "gitops-operator patch: none of the files has the image %s: nothing is changed; correct the image name, or add its file\n", missing)
		return ExitFailed
	}
	for _, f := range all {
		if f.err == nil {
			f.err = p.apply(f, stdout)
		}
		switch {
		case f.err != nil:
			fmt.Fprintf(stderr, "%s: %s\n", f.name, f.err)
			code = ExitFailed
		case bytes.Equal(f.before, f.after):
			fmt.Fprintf(stderr, "%s: nothing to change, %s is at %s\n", f.name, p.subject(), p.version)
		case p.write:
			fmt.Fprintf(stderr, "%s: written, %s is now at %s\n", f.name, p.subject(), p.version)
		}
	}
	return code
}

// readPatching reads the flags.
func readPatching(args []string, stdout, stderr io.Writer) (p patching, files []string, code int, ok bool) {
	fs := New("patch", "--image NAME --tag TAG [--digest DIGEST] [--path EXPR] [--write] FILE ...")
	var images, paths []string
	fs.List(&images, "image", "image `NAME`, without tag (repeatable: images that carry the same tag)")
	fs.List(&paths, "path", "where the tag is, as a yq path `EXPR`, instead of wherever the image is (repeatable)")
	fs.StringVar(&p.version.Tag, "tag", "", "new `TAG`")
	fs.StringVar(&p.version.Digest, "digest", "", "the tag's `DIGEST`, sha256:…, which is written too")
	fs.BoolVar(&p.write, "write", false, "write the files instead of showing a diff")
	check := func(files []string) {
		for _, image := range p.images(images, paths) {
			name, err := patcher.ParseName(image, true)
			if err != nil {
				fs.Faultf("--image: %s", err)
			}
			p.request.Images = append(p.request.Images, name)
		}
		if err := patcher.CheckTag(p.version.Tag); err != nil {
			fs.Faultf("--tag: %s", err)
		}
		if p.request.Pin = p.version.Digest != ""; p.request.Pin {
			if err := patcher.CheckDigest(p.version.Digest); err != nil {
				fs.Faultf("--digest: %s", err)
			}
		}
		for _, path := range paths {
			e, err := patcher.ParseExpression(path)
			if err != nil {
				fs.Faultf("--path: %s", err)
			}
			p.request.Paths = append(p.request.Paths, e)
		}
		if len(files) == 0 {
			fs.Faultf("FILE is missing")
		}
	}
	files, code, ok = fs.Parse(args, stdout, stderr, check)
	return p, files, code, ok
}

// images returns the names that are to be checked: where there is none, and no path
// that could do without, an empty one, for its fault.
func (p *patching) images(images, paths []string) []string {
	if len(images) == 0 && len(paths) == 0 {
		return []string{""}
	}
	return images
}

// subject is what messages say has the version.
func (p *patching) subject() string {
	var names []string
	for _, n := range p.request.Images {
		names = append(names, n.String())
	}
	if len(names) == 0 {
		for _, e := range p.request.Paths {
			names = append(names, e.String())
		}
	}
	return strings.Join(names, ", ")
}

// file reads a file and edits it in memory.
func (p *patching) file(name string) patched {
	f := patched{name: name}
	st, err := os.Lstat(name)
	switch {
	case err != nil:
		f.err = err
		return f
	case !st.Mode().IsRegular():
		f.err = errors.New("not a regular file")
		return f
	}
	f.mode = st.Mode().Perm()
	if f.before, f.err = os.ReadFile(name); f.err != nil {
		return f
	}
	parsed, err := patcher.ParseFile(filepath.ToSlash(name), f.before)
	if err == nil {
		f.parsed = parsed
		f.after, err = parsed.Edit(p.request, p.version)
	}
	f.err = err
	return f
}

// missing returns an image that none of the files has, if all could be read: of
// several images, one alone is not moved.
func (p *patching) missing(all []patched) string {
	if len(p.request.Images) < 2 || len(p.request.Paths) > 0 {
		return ""
	}
	for _, n := range p.request.Images {
		has := func(f patched) bool {
			return f.err != nil || f.parsed.Has(n)
		}
		if !slices.ContainsFunc(all, has) {
			return n.String()
		}
	}
	return ""
}

// apply shows, or writes, what changes in a file.
func (p *patching) apply(f patched, stdout io.Writer) error {
	if bytes.Equal(f.before, f.after) {
		return nil
	}
	if p.write {
		return replaceFile(f.name, f.after, f.mode)
	}
	shown := strings.TrimPrefix(f.name, "/")
	_, err := stdout.Write(diff.Diff("a/"+shown, f.before, "b/"+shown, f.after))
	return err
}

// replaceFile writes a file as a whole or not at all.
func replaceFile(file string, content []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
