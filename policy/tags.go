package policy

import (
	"cmp"
	"fmt"
	"strings"
	"sync"

	"github.com/Masterminds/semver/v3"
)

// longestTag is what of a tag is looked at, in bytes: a longer one can be no
// image's, and would only make messages long.
const longestTag = 512

// Tag is a tag of a git repository, with the commit that it leads to, or one of
// a registry, without.
type Tag struct{ Name, Commit string }

// Tags are all tags of one repository. They remember what was chosen of them,
// so that many who want the same of the same list cost little more than one;
// keep them for as long as the list is the same. Safe for concurrent use.
type Tags struct {
	list []Tag

	mu       sync.Mutex
	versions []*semver.Version // of whole tags, once somebody asks; nil: is none
	picked   map[spec]*pick
}

// NewTags takes a list, which must not be changed afterwards.
func NewTags(list []Tag) *Tags { return &Tags{list: list, picked: map[spec]*pick{}} }

// NewNames is NewTags for a registry's list.
func NewNames(names []string) *Tags {
	list := make([]Tag, len(names))
	for i, name := range names {
		list[i].Name = name
	}
	return NewTags(list)
}

// Len is how many there are.
func (t *Tags) Len() int { return len(t.list) }

// pick is what a rule chose.
type pick struct {
	tag     Tag
	version string
	why     string
	err     error
}

// candidate is a tag that matches, with what of it is compared.
type candidate struct {
	tag     *Tag
	text    string          // what is compared
	version *semver.Version // with bySemver
	number  number          // with byNumber
}

func (t *Tags) pick(r *rule) *pick {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.picked[r.spec]
	if p == nil {
		p = t.choose(r)
		t.picked[r.spec] = p
	}
	return p
}

func (t *Tags) choose(r *rule) *pick {
	s := survey{rule: r, tags: len(t.list)}
	var best candidate
	fit := 0
	for i := range t.list {
		c := candidate{tag: &t.list[i]}
		if !s.match(&c) || !s.comparable(&c, t, i) || !s.fits(&c) {
			continue
		}
		if fit++; fit == 1 || r.before(&best, &c) {
			best = c
		}
	}
	if fit == 0 {
		return &pick{err: s.nothing(t)}
	}
	return &pick{tag: *best.tag, version: withoutV(best.text), why: r.why(fit)}
}

// survey counts how far tags come.
type survey struct {
	*rule
	tags, matched, compared, prereleases int
}

// match finds what of a tag is to be compared.
func (s *survey) match(c *candidate) bool {
	name := c.tag.Name
	if name == "" || len(name) > longestTag {
		return false
	}
	c.text = name
	if s.pattern != nil {
		if s.group == 0 {
			if !s.pattern.MatchString(name) {
				return false
			}
		} else {
			at := s.pattern.FindStringSubmatchIndex(name)
			if at == nil || at[2*s.group] < 0 {
				return false
			}
			c.text = name[at[2*s.group]:at[2*s.group+1]]
		}
	}
	s.matched++
	return true
}

// comparable reads it.
func (s *survey) comparable(c *candidate, t *Tags, i int) bool {
	ok := true
	switch s.spec.order {
	case bySemver:
		if s.pattern == nil {
			c.version = t.version(i)
		} else {
			c.version = parseVersion(c.text)
		}
		ok = c.version != nil
	case byNumber:
		c.number, ok = parseNumber(c.text)
	}
	if ok {
		s.compared++
	}
	return ok
}

func (s *survey) fits(c *candidate) bool {
	if s.constraint == nil || s.constraint.Check(c.version) {
		return true
	}
	if c.version.Prerelease() != "" {
		s.prereleases++
	}
	return false
}

// version reads a whole tag, once. A number alone is none: such a tag is moved
// from release to release, or is a commit or a build of which some happen to
// have digits only. A pattern may say otherwise.
func (t *Tags) version(i int) *semver.Version {
	if t.versions == nil {
		t.versions = make([]*semver.Version, len(t.list))
		for i, tag := range t.list {
			if len(tag.Name) <= longestTag && strings.Contains(tag.Name, ".") {
				t.versions[i] = parseVersion(tag.Name)
			}
		}
	}
	return t.versions[i]
}

// parseVersion reads 1.4.2, v1.4.2-rc.1, 1.4 or 1; nil if it is none.
func parseVersion(s string) *semver.Version {
	digits := withoutV(s)
	if digits == "" || digits[0] < '0' || digits[0] > '9' {
		return nil
	}
	if v, err := semver.StrictNewVersion(digits); err == nil { // several times as fast
		return v
	}
	v, err := semver.NewVersion(s)
	if err != nil {
		return nil
	}
	return v
}

// withoutV cuts off what many write before a version.
func withoutV(s string) string {
	if len(s) > 1 && s[0] == 'v' && s[1] >= '0' && s[1] <= '9' {
		return s[1:]
	}
	return s
}

// before says whether b comes after a: a higher version wins. Of equal ones, as
// 1.4 and 1.4.0, the one that says more wins, since the other may be moved;
// then the order of the names, so that a list's order makes no difference.
func (r *rule) before(a, b *candidate) bool {
	var order int
	switch r.spec.order {
	case bySemver:
		order = a.version.Compare(b.version)
	case byNumber:
		order = a.number.compare(b.number)
	default:
		order = cmp.Compare(a.text, b.text)
	}
	return cmp.Or(order,
		cmp.Compare(strings.Count(a.text, "."), strings.Count(b.text, ".")),
		cmp.Compare(b.tag.Name, a.tag.Name)) < 0
}

// why says what was chosen, after the tag itself.
func (r *rule) why(fit int) string {
	tags, that := "tags", "fit "
	if fit == 1 {
		tags, that = "tag", "fits "
	}
	conditions := ""
	if r.spec.order == bySemver {
		conditions = " that " + that + r.spec.constraint
	}
	if r.pattern != nil {
		if conditions != "" {
			conditions += " and match "
		} else {
			conditions = " that match "
		}
		if fit == 1 {
			conditions = strings.Replace(conditions, "match ", "matches ", 1)
		}
		conditions += r.spec.pattern
	}
	switch r.spec.order {
	case byNumber:
		return fmt.Sprintf("highest number of %d %s%s", fit, tags, conditions)
	case byAlphabet:
		return fmt.Sprintf("last in the alphabet of %d %s%s", fit, tags, conditions)
	}
	return fmt.Sprintf("highest of %d %s%s", fit, tags, conditions)
}
