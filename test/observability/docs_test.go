package observability

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchors are those that GitHub gives a document's headings.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		found["#"+strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}

// Who is called at night follows the alert's link.
func TestEveryAlertHasARunbook(t *testing.T) {
	there := anchors(document(t, "operations.md"))
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(read(t, "alerts.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules++
			page, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
			if !strings.HasSuffix(page, "/docs/operations.md") || anchor != strings.ToLower(r.Alert) || !there["#"+anchor] {
				t.Errorf("%s: %s", r.Alert, r.Annotations["runbook_url"])
			}
		}
	}
	if rules == 0 {
		t.Error("no rules")
	}
}

func TestLinksWithinTheRunbookLeadSomewhere(t *testing.T) {
	text := document(t, "operations.md")
	there := anchors(text)
	links := regexp.MustCompile(`\]\((#[^)]*)\)`).FindAllStringSubmatch(text, -1)
	if len(links) < 10 {
		t.Errorf("%d links", len(links))
	}
	for _, m := range links {
		if !there[m[1]] {
			t.Errorf("no %s", m[1])
		}
	}
}

// What a failure is counted by is what somebody looks up.
func TestEveryReasonIsExplained(t *testing.T) {
	_, list, _ := strings.Cut(document(t, "metrics.md"), "`reason` is one of ")
	list, _, _ = strings.Cut(list, "\n\n")
	reasons := regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(list, -1)
	if len(reasons) < 15 {
		t.Fatalf("metrics.md has %d reasons", len(reasons))
	}
	runbook := document(t, "operations.md")
	for _, r := range reasons {
		if !strings.Contains(runbook, "| `"+r[1]+"` |") {
			t.Errorf("operations.md does not explain %s", r[1])
		}
	}
}
