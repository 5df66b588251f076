package reconcile

import (
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
			looks: map[look]*question[string]{}, tagged: map[tagged]*question[[]policy.Tag]{}, listed: map[listed]*question[[]string]{}, tags: map[string]*knownTags{}, states: map[commit]*question[builds.State]{}, swept: now}
		m.known[group] = g
	}
	g.used, g.began = now, now
	return g
}

// memory is what a group remembers.
type memory struct {
	commit   string             // of the manifests repository, for which files holds
	files    map[string]*file   // by path
	awaited  map[string]*lookup // heads that the group went on without, by headOf
	declined map[k8s.Ref]*declined
	looks    map[look]*question[string]         // as awaited, of registries
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
	findings map[string]*finding // for the content with that ID, by Spec.RequestKey
	stale    bool                // the entry may be another one by now
	used     time.Time
}

// finding is where a file has what a Spec asks for, or why it cannot be changed
// there.
type finding struct {
	request patcher.Request
	places  []patcher.Place
	err     error
}

// find returns what is known of a request, nothing where it was not looked for.
func (f *file) find(key string) finding {
	if k := f.findings[key]; k != nil {
		return *k
	}
	return finding{}
}

// note looks for what is requested in the parsed file, or takes down why it could
// not be parsed.
func (f *file) note(key string, r patcher.Request, parsed *patcher.File, err error) {
	k := &finding{request: r, err: err}
	if err == nil {
		k.places, k.err = parsed.Places(r)
	}
	if f.findings == nil {
		f.findings = map[string]*finding{}
	}
	f.findings[key] = k
}
