package faults

import (
	"cmp"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// audit compares the manifests branch with the books, counts, and reports what
// is wrong. It is for when a pass has just said that all is well.
func (s *stage) audit(hit bool) {
	s.t.Helper()
	c := counts{trials: 1}
	if hit {
		c.hit = 1
	}
	found, all, merges := s.history()
	current := map[change]bool{}
	for i := range deployments {
		current[change{name(i), s.heads[app(i)]}] = true
	}
	// Counted are the changes of this trial; older ones were counted before,
	// and must still be there.
	for want := range s.wanted {
		n := found[want]
		if current[want] {
			c.wanted++
		}
		switch {
		case n == 1 && current[want]:
			c.once++
		case n == 0:
			c.lost++
			s.t.Errorf("%s was not moved to %s", want.deployment, want.tag)
		case n > 1:
			c.doubled++
			s.t.Errorf("%s was moved to %s %d times", want.deployment, want.tag, n)
		}
	}
	for got := range found {
		if !s.wanted[got] {
			c.doubled++
			s.t.Errorf("%s was moved to %s, which nobody wanted", got.deployment, got.tag)
		}
	}
	for id := range s.foreign {
		if !all[id] {
			c.foreignLost++
			s.t.Errorf("a person's commit %s is gone", id)
		}
	}
	c.foreign = len(s.foreign)
	wrong := merges
	if out, err := s.Repo(manifests).Git("fsck", "--full", "--strict", "--no-dangling"); err != nil {
		wrong = append(wrong, fmt.Sprintf("git fsck: %v: %s", err, out))
	}
	wrong = append(wrong, s.compareFiles()...)
	if len(wrong) > 0 {
		c.unsound = 1
		s.t.Error(strings.Join(wrong, "\n"))
	}
	left := eventually(s.t, s.litter)
	c.leftovers = len(left)
	for _, l := range left {
		s.t.Error("left behind: " + l)
	}
	s.row.add(c)
	// Counted once.
	s.foreign = map[string]bool{}
	s.good = s.Git(manifests, "rev-parse", "master")
	s.foreign[s.good] = true
	if s.t.Failed() {
		s.t.FailNow()
	}
}

var subject = regexp.MustCompile(`^chore\(refs\): update default/(\S+) to ([0-9a-f]{12})$`)

// history reads the branch: the operator's changes with how often each was
// made, all commits, and what is not linear.
func (s *stage) history() (found map[change]int, all map[string]bool, wrong []string) {
	s.t.Helper()
	log := s.Git(manifests, "log", "--format=%H%x1f%P%x1f%ae%x1f%s%x1f%(trailers:key=To,valueonly,separator=)%x1e", "master")
	found, all = map[change]int{}, map[string]bool{}
	roots := 0
	for entry := range strings.SplitSeq(strings.TrimSuffix(log, "\x1e"), "\x1e") {
		f := strings.Split(strings.TrimSpace(entry), "\x1f")
		if len(f) != 5 {
			s.t.Fatalf("git log: %q", entry)
		}
		all[f[0]] = true
		switch len(strings.Fields(f[1])) {
		case 0:
			roots++
		case 1:
		default:
			wrong = append(wrong, "merge "+f[0])
		}
		if f[2] != "gitops-operator@localhost" {
			continue
		}
		m := subject.FindStringSubmatch(f[3])
		if m == nil || !strings.HasPrefix(f[4], m[2]) {
			wrong = append(wrong, fmt.Sprintf("commit %s has subject %q and trailer To: %q", f[0], f[3], f[4]))
			continue
		}
		found[change{m[1], f[4]}]++
	}
	if roots != 1 {
		wrong = append(wrong, fmt.Sprintf("%d first commits", roots))
	}
	return found, all, wrong
}

// compareFiles compares every file at the branch's head with what it should
// be, byte for byte, by its hash.
func (s *stage) compareFiles() (wrong []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := map[string]string{}
	for i := range deployments {
		want[file(i)] = s.text(file(i), func(i int) string { return s.heads[app(i)] })
	}
	for path, notes := range s.notes {
		if want[path] == "" {
			want[path] = strings.Join(notes, "")
		}
	}
	for line := range strings.Lines(s.Git(manifests, "ls-tree", "-r", "master")) {
		head, path, _ := strings.Cut(strings.TrimSpace(line), "\t")
		f := strings.Fields(head)
		if got := fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(want[path]), want[path]))); len(f) != 3 || f[0] != "100644" || f[2] != got {
			wrong = append(wrong, fmt.Sprintf("%s is %s, want\n%.400s", path, head, want[path]))
		}
		delete(want, path)
	}
	for path := range want {
		wrong = append(wrong, path+" is gone")
	}
	return wrong
}

// litter finds in the cache what belongs to no work under way.
func (s *stage) litter() (left []string) {
	cache := cmp.Or(s.view, s.cache)
	filepath.WalkDir(cache, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // it has just gone
		}
		n := d.Name()
		if filepath.Dir(path) == cache {
			if _, err := strconv.Atoi(strings.TrimSuffix(n, ".lock")); err == nil {
				return nil // a slot, or its lock
			}
		}
		if strings.HasSuffix(n, ".lock") || strings.HasSuffix(n, ".new") || strings.HasPrefix(n, "tmp_") || strings.HasPrefix(n, "fast_import_crash") {
			left = append(left, path)
		}
		return nil
	})
	return left
}
