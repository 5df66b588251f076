package forge

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Branch is the name of the branch on which a workload's change is proposed.
// Two workloads may have the same one (a-b/c and a/b-c): they share a pull
// request then, as those of a group do.
func Branch(manifestBranch, namespace, name string) string {
	return BranchPrefix + manifestBranch + "/" + namespace + "-" + name
}

// GroupBranch is the name of the branch on which a group's changes are proposed.
func GroupBranch(manifestBranch, group string) string {
	return BranchPrefix + manifestBranch + "/" + group
}

// groupName is what git and all hosts take as the end of a branch's name.
var groupName = regexp.MustCompile(`^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?$`)

// CheckGroup says what is wrong with the name of a group, if anything is.
func CheckGroup(group string) error {
	switch {
	case len(group) > 100:
		return fmt.Errorf("group %.40q… is longer than 100 characters", group)
	case !groupName.MatchString(group), strings.Contains(group, ".."), strings.HasSuffix(group, ".lock"):
		return fmt.Errorf("%q cannot be part of a branch's name: use letters, digits, hyphens, underscores and single dots", group)
	}
	return nil
}

// Change is what a pull request does for one workload.
type Change struct {
	Namespace, Name string
	Kind            string // other than Deployment, or ""
	Images          []string
	From, To        string // tags
	Digest          string // of To, if it is pinned
	App             string // the application's repository, or ""
	AppURL          string // the page that compares its two commits, or ""
	Paths           []string
}

func (c Change) key() string {
	if c.Kind != "" && c.Kind != "Deployment" {
		return c.Namespace + "/" + c.Kind + "/" + c.Name
	}
	return c.Namespace + "/" + c.Name
}

// Title is a pull request's title.
func Title(changes []Change) string {
	switch len(changes) {
	case 0:
		return "chore(refs): nothing to update"
	case 1:
		return fmt.Sprintf("chore(refs): update %s to %s", changes[0].key(), short(changes[0].To))
	}
	var names []string
	for _, c := range changes {
		names = append(names, c.key())
	}
	slices.Sort(names)
	const most = 3
	rest := ""
	if n := len(names) - most; n > 0 {
		names, rest = names[:most], fmt.Sprintf(" and %d more", n)
	}
	return "chore(refs): update " + strings.Join(names, ", ") + rest
}

// short cuts a tag that is a full SHA.
func short(tag string) string {
	if fullSHA.MatchString(tag) {
		return tag[:12]
	}
	return tag
}

// maxBody bounds a body, in bytes; GitHub allows 65,536 characters.
const maxBody = 60_000

// Body is a pull request's body: a table of the changes, and the trailers of
// their commits. It carries a mark by which Proposes knows it again.
func Body(changes []Change) string {
	changes = slices.Clone(changes)
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.key(), b.key()) })
	var b strings.Builder
	b.WriteString("| Workload | Image | From | To | Application |\n|---|---|---|---|---|\n")
	left := 0
	for i, c := range changes {
		row := c.row()
		if b.Len()+len(row) > maxBody/2 {
			left = len(changes) - i
			break
		}
		b.WriteString(row)
	}
	if left > 0 {
		fmt.Fprintf(&b, "\nand %d more.\n", left)
	}
	b.WriteString("\nMerge this to let the cluster have it. Close it to refuse: it is not proposed again until there is a newer version. Do not push to this branch: it is rebuilt when there is one.\n")
	var trailers strings.Builder
	for i, c := range changes {
		t := c.trailers()
		if b.Len()+trailers.Len()+len(t) > maxBody {
			break
		}
		if i > 0 {
			trailers.WriteString("\n")
		}
		trailers.WriteString(t)
	}
	fmt.Fprintf(&b, "\n```\n%s```\n\n%s\n", trailers.String(), mark(changes))
	return b.String()
}

func (c Change) row() string {
	images := make([]string, len(c.Images))
	for i, image := range c.Images {
		images[i] = code(image)
	}
	app := cell(c.App)
	if c.AppURL != "" {
		app = "[" + code(short(c.From)+"..."+short(c.To)) + "](" + c.AppURL + ")"
	}
	to := code(short(c.To))
	if c.Digest != "" {
		to += " " + code(c.Digest)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", code(c.key()), strings.Join(images, " "), code(short(c.From)), to, app)
}

// code makes a code span that fits into a table.
func code(s string) string {
	s = strings.NewReplacer("`", "'", "|", "\\|").Replace(clean(s, "", 500))
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

var markdown = regexp.MustCompile("([\\\\`*_{}\\[\\]()<>#+!|@~-])")

// cell makes plain text of what may look like Markdown.
func cell(s string) string { return markdown.ReplaceAllString(clean(s, "", 500), `\$1`) }

// trailers are those of the change's commit, one a line.
func (c Change) trailers() string {
	var b strings.Builder
	line := func(key, value string) {
		if value = strings.ReplaceAll(clean(value, "", 1000), "```", ""); value != "" {
			fmt.Fprintf(&b, "%s: %s\n", key, value)
		}
	}
	line("Workload", c.key())
	line("Image", strings.Join(c.Images, ", "))
	line("From", c.From)
	line("To", c.To)
	line("Digest", c.Digest)
	line("App-Repository", c.App)
	line("Path", strings.Join(c.Paths, ", "))
	return b.String()
}

const (
	markBegin  = "<!-- gitops-operator proposes "
	markEnd    = " -->"
	closedMark = "<!-- gitops-operator closed this -->"
)

// mark is an invisible line that tells what is proposed. It depends on which
// workload gets which tag and digest, and on nothing else.
func mark(changes []Change) string {
	var lines []string
	for _, c := range changes {
		images := slices.Sorted(slices.Values(c.Images))
		lines = append(lines, fmt.Sprintf("%q", append([]string{c.key(), c.To, c.Digest}, images...)))
	}
	slices.Sort(lines)
	hash := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return markBegin + hex.EncodeToString(hash[:])[:32] + markEnd
}

// Proposes says whether a pull request is, or was, about exactly these changes.
func (p PullRequest) Proposes(changes []Change) bool { return strings.Contains(p.Body, mark(changes)) }

// Refused says whether a person closed the pull request, without merging it.
func (p PullRequest) Refused() bool {
	return p.State == Closed && !strings.Contains(p.Body, closedMark)
}

// RefusedError is the answer to proposing again what a person has closed.
type RefusedError struct{ Pull PullRequest }

// ErrRefused is what RefusedError wraps.
var ErrRefused = errors.New("closed by a person")

func (e *RefusedError) Error() string {
	return fmt.Sprintf("pull request %s was closed without being merged: it is not opened again for this version; reopen it to change that, or wait for a newer version", e.Pull.URL)
}

// Unwrap returns ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// closedBody adds to a body that the operator closed the request, and why.
func closedBody(body, why string) string {
	return strings.TrimSpace(body) + "\n\nClosed by gitops-operator: " + cell(why) + "\n" + closedMark + "\n"
}
