package policy

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

var span = regexp.MustCompile("`([^`]+)`")

func spans(cell string) (all []string) {
	for _, m := range span.FindAllStringSubmatch(cell, -1) {
		all = append(all, m[1])
	}
	return all
}

// Each line of the tables in docs/tags.md does what it says.
func TestExamplesOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/tags.md")
	if err != nil {
		t.Fatal(err)
	}
	schemes := map[string]bool{}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 4 || strings.HasPrefix(line, "| your build") {
			if strings.HasPrefix(line, "| ") && len(cells) != 4 {
				t.Errorf("not four cells: %s", line)
			}
			continue
		}
		rows++
		build, tags, annotations, wanted := cells[0], spans(cells[1]), spans(cells[2]), spans(cells[3])
		first, _, _ := strings.Cut(strings.TrimSpace(build), ",")
		schemes[first] = true
		if len(tags) == 0 || len(wanted) != 1 || (len(annotations) == 0) != (strings.TrimSpace(cells[2]) == "none") {
			t.Errorf("%s: not understood", build)
			continue
		}
		s := Settings{Branch: "main", Self: Workload{"prod", "blog"}}
		fields := map[string]*string{"tag_from": &s.TagFrom, "version": &s.Version, "tag_pattern": &s.TagPattern, "tag_order": &s.TagOrder,
			"tag_format": &s.TagFormat, "tag_type": &s.TagType}
		for _, a := range annotations {
			pair := map[string]string{}
			if err := yaml.Unmarshal([]byte(a), &pair); err != nil {
				t.Errorf("%s: %s: %v", build, a, err)
			}
			for name, value := range pair {
				if fields[name] == nil {
					t.Fatalf("%s: what is %s?", build, name)
				}
				*fields[name] = value
			}
		}
		choice, err := parse(t, s).Choose(Known{Head: head, Tags: NewNames(tags)})
		if err != nil {
			t.Errorf("%s: %v", build, err)
			continue
		}
		equal(t, build, choice.Tag, wanted[0])
		if s.TagFormat != "{version}" && !slices.Contains(tags, choice.Tag) {
			t.Errorf("%s: %s is not among the tags", build, choice.Tag)
		}
	}
	for _, scheme := range []string{"docker/metadata-action", "GitLab CI", "ko", "Jib", "goreleaser"} {
		if !schemes[scheme] {
			t.Errorf("no example for %s", scheme)
		}
	}
	if rows < 20 {
		t.Errorf("%d examples", rows)
	}
}

// What the page says beside the tables.
func TestWhatTheDocsSayOfVersions(t *testing.T) {
	for _, test := range []struct {
		version, want string
		tags          []string
	}{
		{">=1.5.0-0 <2", "2.0.0-rc.1", []string{"1.5.0", "2.0.0-rc.1"}},
		{">=1.5.0-0 <2.0.0-0", "1.5.0", []string{"1.5.0", "2.0.0-rc.1"}},
		{"1.x", "1.4.0", []string{"1.4", "1.4.0", "1", "1234567"}},
	} {
		c, err := parse(t, Settings{TagFrom: "registry", Version: test.version}).Choose(Known{Tags: NewNames(test.tags)})
		if err != nil {
			t.Error(err)
		}
		equal(t, test.version, c.Tag, test.want)
	}
	c, err := parse(t, Settings{Branch: "feat/login", TagFormat: "{branch}-{short}"}).Choose(Known{Head: head})
	if err != nil {
		t.Error(err)
	}
	equal(t, "branch", c.Tag, "feat-login-e4f5a6b")
}
