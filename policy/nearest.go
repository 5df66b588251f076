package policy

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

const someTags = 3 // how many a message names

// nothing says why no tag fits, and which come near.
func (s *survey) nothing(t *Tags) error {
	switch {
	case s.tags == 0:
		return fail(ErrNoTag, "there are no tags")
	case s.matched == 0 && s.pattern != nil:
		return fail(ErrNoTag, "none of %s matches %s: there %s", count(s.tags, "tag"), s.spec.pattern, t.examples(nil))
	case s.compared == 0 && s.pattern != nil && s.group == 0:
		return fail(ErrNoTag, "none of %s that match %s is a %s: there %s: put (?P<version>…) around what of a tag is to be compared",
			count(s.matched, "tag"), s.spec.pattern, s.what(), t.examples(s.pattern))
	case s.compared == 0 && s.pattern != nil:
		return fail(ErrNoTag, "in none of %s that match %s is the group version a %s: there %s",
			count(s.matched, "tag"), s.spec.pattern, s.what(), t.examples(s.pattern))
	case s.compared == 0:
		return fail(ErrNoTag, "none of %s is a %s: there %s: say with tag_pattern what of a tag is to be compared",
			count(s.tags, "tag"), s.what(), t.examples(nil))
	}
	conditions := s.spec.constraint
	if s.pattern != nil {
		conditions += " and matches " + s.spec.pattern
	}
	hint := ""
	if s.prereleases > 0 && !strings.Contains(s.spec.constraint, "-") {
		hint = " (pre-releases count only where version names one, as >=1.4.0-0 does)"
	}
	return fail(ErrNoTag, "none of %s fits %s: the nearest %s%s", count(s.tags, "tag"), conditions, s.nearest(t), hint)
}

func (s *survey) what() string {
	if s.spec.order == byNumber {
		return "number"
	}
	return "version"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// examples names a few tags, of those that match: the last in the alphabet,
// among which versions are.
func (t *Tags) examples(pattern *regexp.Regexp) string {
	var last []string // ascending
	for _, tag := range t.list {
		if pattern != nil && !pattern.MatchString(tag.Name) {
			continue
		}
		if len(last) < someTags || tag.Name > last[0] {
			at, there := slices.BinarySearch(last, tag.Name)
			if there {
				continue
			}
			last = slices.Insert(last, at, tag.Name)
			last = last[max(0, len(last)-someTags):]
		}
	}
	slices.Reverse(last)
	return enumerate(last, ", for example,")
}

func enumerate(names []string, after string) string {
	for i, name := range names {
		if names[i] = oneLine(name); len(names[i]) > 64 {
			names[i] = strings.ToValidUTF8(names[i][:64], "") + "…"
		}
	}
	if len(names) == 1 {
		return "is" + after + " " + names[0]
	}
	last := len(names) - 1
	return "are" + after + " " + strings.Join(names[:last], ", ") + " and " + names[last]
}

var firstVersion = regexp.MustCompile(`\d+(\.\d+){0,2}`)

// nearest names the tags just below and just above the first version of the
// constraint; without one, the highest.
func (s *survey) nearest(t *Tags) string {
	var all []candidate
	again := survey{rule: s.rule}
	for i := range t.list {
		if c := (candidate{tag: &t.list[i]}); again.match(&c) && again.comparable(&c, t, i) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { // the highest first
		return cmp.Or(b.version.Compare(a.version), cmp.Compare(a.tag.Name, b.tag.Name))
	})
	above := 0
	if wanted := parseVersion(firstVersion.FindString(s.spec.constraint)); wanted != nil {
		above, _ = slices.BinarySearchFunc(all, wanted, func(c candidate, w *semver.Version) int { return w.Compare(c.version) })
	}
	below := min(len(all), above+someTags)
	if above > 0 {
		below = min(len(all), above+someTags-1) // and one above
	}
	var names []string
	for _, c := range all[above:below] {
		names = append(names, c.tag.Name)
	}
	for above--; above >= 0 && len(names) < someTags; above-- {
		names = append(names, all[above].tag.Name)
	}
	return enumerate(names, "")
}
