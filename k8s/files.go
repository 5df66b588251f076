package k8s

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kainlite/gitops-operator/policy"
)

const maxFileSize = 64 << 20 // bytes

// settleTime is how long ago a file must have been changed for its size and
// time to be trusted: two changes within one tick of the file system's clock
// leave the same time. FAT's ticks are the longest, at 2 s.
const settleTime = 2 * time.Second

// FileOptions says which Deployments to take; the zero value takes all.
type FileOptions struct {
	Namespaces []string
	Selector   string // label selector, as kubectl's --selector
}

// Files takes Deployments and Secrets from a YAML file, or from every .yaml and
// .yml file below a folder. Every call looks whether the files have changed. It
// is safe for concurrent use.
//
// Below a folder, hidden entries are passed over and symbolic links are
// followed to files but not to folders: that is how Kubernetes mounts a
// ConfigMap.
type Files struct {
	path       string
	namespaces []string
	selector   labels.Selector

	mu       sync.Mutex // held while reading
	files    map[string]*file
	snapshot Snapshot
	secrets  map[SecretRef]map[string][]byte
	err      error // what is wrong with the files, as of the last reading
}

// file is what the last reading of one file gave.
type file struct {
	size    int64
	modTime time.Time
	settled bool // size and modTime can be trusted to tell a change
	sum     [sha256.Size]byte
	manifests
	err error // why manifests are older than the file
}

// OpenFiles reads path, a file or a folder, for the first time. Any fault in
// the files is an error.
func OpenFiles(path string, opt FileOptions) (*Files, error) {
	selector, err := labels.Parse(opt.Selector)
	if err != nil {
		return nil, fmt.Errorf("parse selector %q: %w", opt.Selector, err)
	}
	f := &Files{path: path, namespaces: slices.Clone(opt.Namespaces), selector: selector}
	if err := f.refresh(context.Background()); err != nil {
		return nil, err
	}
	return f, nil
}

// Ready is always true: OpenFiles has read everything.
func (f *Files) Ready() bool { return true }

// Deployments returns the current Deployments. When some file cannot be read,
// it returns the error and, with it, a snapshot in which that file counts with
// its last good content. When a Deployment or Secret is defined twice, the
// whole snapshot is the last good one.
func (f *Files) Deployments(ctx context.Context) (Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.refresh(ctx)
	return f.snapshot, err
}

// Secret returns the current content of a Secret, the caller's to keep.
// errors.Is(err, ErrSecretNotFound) tells that there is none.
func (f *Files) Secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	faults := f.refresh(ctx)
	ref := SecretRef{namespace, name}
	data, ok := f.secrets[ref]
	if !ok {
		var err error = &secretNotFoundError{ref}
		if faults != nil { // it may stand in the file that could not be read
			err = fmt.Errorf("%w: %w", err, faults)
		}
		return nil, err
	}
	own := make(map[string][]byte, len(data))
	for key, value := range data {
		own[key] = bytes.Clone(value)
	}
	return own, nil
}

// refresh reads what has changed since the last time. Its error tells all that
// is wrong with the files now, changed or not.
func (f *Files) refresh(ctx context.Context) error {
	paths, err := f.list(ctx)
	if err != nil {
		return err
	}
	changed := len(paths) != len(f.files)
	files := make(map[string]*file, len(paths))
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		last := f.files[path]
		files[path] = f.load(path, last)
		changed = changed || files[path] != last
	}
	if changed {
		f.files = files
		f.err = f.merge()
	}
	return f.err
}

// list finds the files to read.
func (f *Files) list(ctx context.Context) ([]string, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{f.path}, nil
	}
	var paths []string
	// DirFS, because filepath.WalkDir does not enter a folder given as a link.
	err = fs.WalkDir(os.DirFS(f.path), ".", func(name string, entry fs.DirEntry, err error) error {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && name != "."
		extension := filepath.Ext(name)
		switch {
		case hidden && entry.IsDir():
			return fs.SkipDir
		case !hidden && !entry.IsDir() && (extension == ".yaml" || extension == ".yml"):
			paths = append(paths, filepath.Join(f.path, name))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", f.path, err)
	}
	return paths, nil
}

// load reads a file if it has changed, else returns last. When that fails, the
// manifests stay those of last.
func (f *Files) load(path string, last *file) *file {
	now := new(file)
	if last != nil {
		now.manifests = last.manifests
	}
	info, err := os.Stat(path)
	if err != nil {
		now.err = err
		return now
	}
	if last != nil && last.settled && last.size == info.Size() && last.modTime.Equal(info.ModTime()) {
		return last
	}
	data, err := readFile(path, info)
	if err != nil {
		now.err = err
		return now
	}
	now.size, now.modTime = info.Size(), info.ModTime()
	now.settled = time.Since(now.modTime) > settleTime
	now.sum = sha256.Sum256(data)
	if last != nil && last.sum == now.sum {
		last.size, last.modTime, last.settled = now.size, now.modTime, now.settled
		return last
	}
	p := parser{wanted: f.wanted}
	if err := p.parse(data); err != nil {
		now.err = fmt.Errorf("parse %s: %w", path, err)
		return now
	}
	now.manifests = p.found
	return now
}

func readFile(path string, info fs.FileInfo) ([]byte, error) {
	if !info.Mode().IsRegular() { // reading a pipe could block for ever
		return nil, fmt.Errorf("read %s: not a regular file", path)
	}
	tooLarge := fmt.Errorf("read %s: larger than %d MiB", path, maxFileSize>>20)
	if info.Size() > maxFileSize {
		return nil, tooLarge
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileSize { // it has grown meanwhile
		return nil, tooLarge
	}
	return data, nil
}

func (f *Files) wanted(d *appsv1.Deployment) bool {
	return (len(f.namespaces) == 0 || slices.Contains(f.namespaces, d.Namespace)) &&
		f.selector.Matches(labels.Set(d.Labels))
}

// merge makes one snapshot of all files, unless they contradict each other. Its
// error holds the faults of the files, too.
func (f *Files) merge() error {
	var snapshot Snapshot
	secrets := make(map[SecretRef]map[string][]byte)
	var faults, conflicts []error

	definedIn := make(map[string]string)
	define := func(object, path string) {
		if other, ok := definedIn[object]; ok {
			conflicts = append(conflicts, fmt.Errorf("read %s: %s is already defined in %s", path, object, other))
		}
		definedIn[object] = path
	}
	for _, path := range slices.Sorted(maps.Keys(f.files)) {
		file := f.files[path]
		if file.err != nil {
			faults = append(faults, file.err)
		}
		for _, t := range file.targets {
			define("deployment "+t.Key(), path)
		}
		for _, u := range file.untracked {
			define("deployment "+u.Key(), path)
		}
		for _, s := range file.secrets {
			define("secret "+s.ref.String(), path)
			secrets[s.ref] = s.data
		}
		snapshot.Targets = append(snapshot.Targets, file.targets...)
		snapshot.Untracked = append(snapshot.Untracked, file.untracked...)
	}
	if conflicts == nil {
		slices.SortFunc(snapshot.Targets, func(a, b Target) int {
			return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
		})
		slices.SortFunc(snapshot.Untracked, func(a, b Untracked) int {
			return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
		})
		snapshot.observed = map[Ref]*policy.Observed{}
		for ref := range promoted(snapshot.Targets) {
			for _, file := range f.files {
				if o := file.observed[ref]; o != nil {
					snapshot.observed[ref] = o
				}
			}
		}
		f.snapshot, f.secrets = snapshot, secrets
	}
	return errors.Join(append(faults, conflicts...)...)
}
