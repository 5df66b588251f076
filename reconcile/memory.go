package reconcile

import (
	"slices"
	"sync"
	"time"

	"github.com/kainlite/gitops-operator/builds"
	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/patcher"
	"github.com/kainlite/gitops-operator/policy"
)

// memories are what each group remembers from pass to pass. It only spares work:
// everything in it holds for one commit of the manifests repository, and remotes
// are asked in every pass.
type memories struct {
	mu    sync.Mutex
	known map[string]*memory // by Spec.Group
	swept time.Time
}

// keepUnused is how long something is remembered that no pass asked for.
const keepUnused = time.Hour

// of returns the memory of a group, which belongs to its caller until the
// group's end.
func (m *memories) of(group string, now time.Time) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[string]*memory{}
	}
	if now.Sub(m.swept) > keepUnused {
		m.swept = now
		for key, g := range m.known {
			if now.Sub(g.used) > keepUnused {
				delete(m.known, key)
			}
		}
	}
	g := m.known[group]
	if g == nil {
		g = &memory{files: map[string]*file{}, awaited: map[string]*lookup{}, declined: map[k8s.Ref]*declined{},
			looks: map[look]*question[bool]{}, tagged: map[tagged]*question[[]policy.Tag]{}, listed: map[listed]*question[[]string]{}, tags: map[string]*knownTags{}, states: map[commit]*question[builds.State]{}, swept: now}
		m.known[group] = g
	}
	g.used, g.began = now, now
	return g
}

// memory is what a group remembers.
type memory struct {
	commit   string             // of the manifests repository, for which files holds
	files    map[string]*file   // by path
	awaited  map[string]*lookup // heads that the group went on without, by app repository
	declined map[k8s.Ref]*declined
	looks    map[look]*question[bool]           // as awaited, of registries
	states   map[commit]*question[builds.State] // and of builds
	tagged   map[tagged]*question[[]policy.Tag] // of the tags of repositories
	listed   map[listed]*question[[]string]     // and of registries
	tags     map[string]*knownTags
	began    time.Time // the pass
	used     time.Time // guarded by memories.mu
	swept    time.Time
}

// sweep forgets what no pass asked for since a while: Deployments come and go.
func (m *memory) sweep(now time.Time) {
	if now.Sub(m.swept) < keepUnused {
		return
	}
	m.swept = now
	forgetQuestions(m.looks, now)
	forgetQuestions(m.states, now)
	forgetQuestions(m.tagged, now)
	forgetQuestions(m.listed, now)
	for key, k := range m.tags {
		if now.Sub(k.used) > keepUnused {
			delete(m.tags, key)
		}
	}
	for path, f := range m.files {
		if now.Sub(f.used) > keepUnused {
			delete(m.files, path)
		}
	}
	for ref, d := range m.declined {
		if now.Sub(d.used) > keepUnused {
			delete(m.declined, ref)
		}
	}
}

// file is a manifest file without its content.
type file struct {
	gitcli.Entry
	findings []finding // for the content with that ID
	stale    bool      // the entry may be another one by now
	used     time.Time
}

// finding is where a file has an image, or why it cannot be changed there.
type finding struct {
	name   patcher.Name
	images []patcher.Image
	err    error
}

// find returns what is known of an image, nil where nothing is.
func (f *file) find(name patcher.Name) *finding {
	i := slices.IndexFunc(f.findings, func(k finding) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &f.findings[i]
}

// note looks for an image in the parsed file, or takes down why it could not be
// parsed.
func (f *file) note(name patcher.Name, parsed *patcher.File, err error) {
	k := finding{name: name, err: err}
	if err == nil {
		k.images, k.err = parsed.Find(name)
	}
	f.findings = append(f.findings, k)
}
