// Package policy says which tag of an image is wanted, and why: the head of a
// branch, the highest of the tags of a git repository or of a registry, what
// another Deployment runs, or one that somebody has pinned.
//
// It decides on what it is given, and asks nobody: it knows nothing of git, of
// registries, of Kubernetes or of the other packages, and has no clock. A Policy
// is parsed once, and then asked with what is known.
package policy

import (
	"regexp"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Source is where the wanted tag comes from.
type Source int

// The sources. A policy needs nothing but what its source says.
const (
	Branch     Source = iota // Known.Head
	GitTags                  // Known.Tags, those of the application's repository
	Registry                 // Known.Tags, those of the image in its registry
	Promotion                // Known.Observed, of the Deployment that From names
	PinnedOnly               // nothing
)

// Workload names a Deployment.
type Workload struct{ Namespace, Name string }

// String returns NAMESPACE/NAME.
func (w Workload) String() string { return w.Namespace + "/" + w.Name }

// Policy is what somebody wants. It is not changed once it is parsed, and may be
// used by several goroutines.
type Policy struct {
	source Source
	from   Workload
	soak   time.Duration
	pin    string
	branch string
	format format
	rule   *rule
}

// Source says what Choose needs to know.
func (p *Policy) Source() Source {
	if p.pin != "" {
		return PinnedOnly
	}
	return p.source
}

// Unpinned is Source as if nothing were pinned.
func (p *Policy) Unpinned() Source { return p.source }

// From is the Deployment that a Promotion looks at.
func (p *Policy) From() Workload { return p.from }

// order is how tags are compared.
type order string

const (
	bySemver   order = "semver"
	byNumber   order = "numerical"
	byAlphabet order = "alphabetical"
)

// rule says which tags fit and which of them comes first. Policies with the
// same spec choose alike.
type rule struct {
	spec       spec
	constraint *semver.Constraints // with bySemver
	pattern    *regexp.Regexp      // nil: all tags
	group      int                 // of pattern: what is compared; 0 is all of it
}

// spec is a rule as it was written; constraint has its default.
type spec struct {
	constraint, pattern string
	order               order
}
