package policy

import (
	"errors"
	"fmt"
	"time"
)

// Known is what a policy is asked with; only what its Source needs is looked
// at.
type Known struct {
	Head     string    // with Branch: the commit that it points to
	Tags     *Tags     // with GitTags and Registry
	Observed *Observed // with Promotion: nil where it is not among those watched
	// Same reads an image reference of the observed Deployment: the tag, and
	// whether it is the image that the policy is for.
	Same  func(reference string) (tag string, same bool)
	Image string    // what that image is called in messages
	Now   time.Time // with Promotion
}

// Choice is the tag that is wanted.
type Choice struct {
	Tag     string // of the image
	Version string // what was compared, where tags were; without a leading v
	Commit  string // of the application, where it is known
	Why     string // one line, as in "1.4.2: highest of 37 tags that fit ^1.4"
	Pinned  bool
}

// Trailer is the line for a commit message.
func (c Choice) Trailer() string { return "Tag-From: " + c.Why }

// Wait is a promotion that is not due. It is no failure.
type Wait struct {
	Reason string    // one line, as in "waits: staging/blog runs 1.4.2 for 12m of 30m"
	Until  time.Time // when to look again; zero: when the Deployment changes
}

func (w *Wait) Error() string { return w.Reason }

// What others decide on; *Wait is the other one.
var (
	ErrNoTag      = errors.New("no tag fits")                     // none of those that there are
	ErrFormat     = errors.New("what tag_format makes is no tag") // of what was chosen
	ErrNotWatched = errors.New("deployment is not watched")       // the one to promote from
	ErrImage      = errors.New("image is not there")              // in the Deployment to promote from
	ErrUnknown    = errors.New("not enough is known")             // a mistake of the caller
)

// failure is an error of a kind with a text of its own.
type failure struct {
	kind error
	text string
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

func fail(kind error, text string, args ...any) error {
	return &failure{kind, "choose tag: " + fmt.Sprintf(text, args...)}
}

// Choose says which tag is wanted. Its error is a *Wait, or wraps one of the
// errors above and says what to do.
func (p *Policy) Choose(k Known) (Choice, error) {
	if p.pin != "" {
		return Choice{Tag: p.pin, Why: p.pin + ": pinned", Pinned: true}, nil
	}
	switch p.source {
	case GitTags, Registry:
		return p.highest(k)
	case Promotion:
		return p.promote(k)
	}
	if k.Head == "" {
		return Choice{}, fail(ErrUnknown, "the head of %s is not known", p.branch)
	}
	return p.finish(Choice{Commit: k.Head}, values{sha: k.Head, branch: p.branch}, "head of "+p.branch)
}

func (p *Policy) highest(k Known) (Choice, error) {
	if k.Tags == nil {
		return Choice{}, fail(ErrUnknown, "the tags are not known")
	}
	picked := k.Tags.pick(p.rule)
	if picked.err != nil {
		return Choice{}, picked.err
	}
	if p.format.hasCommit() && picked.tag.Commit == "" {
		return Choice{}, fail(ErrUnknown, "the commit of tag %s is not known", quote(picked.tag.Name))
	}
	c := Choice{Version: picked.version, Commit: picked.tag.Commit}
	return p.finish(c, values{sha: picked.tag.Commit, tag: picked.tag.Name, version: picked.version}, picked.why)
}

// finish makes the image's tag.
func (p *Policy) finish(c Choice, v values, why string) (Choice, error) {
	c.Tag = p.format.expand(v)
	if !imageTag.MatchString(c.Tag) {
		of := v.tag
		if of == "" {
			of = v.sha
		}
		return Choice{}, fail(ErrFormat, "tag_format makes %s of %s: %s: correct tag_format", quote(c.Tag), quote(of), goodTag)
	}
	c.Why = c.Tag + ": " + why
	return c, nil
}
