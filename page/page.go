// Package page renders what the operator knows for people: one page that needs
// nothing but itself, and the same as JSON. It decides nothing and asks nobody;
// what it shows may come from whoever may annotate a Deployment.
package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"regexp"
	"strings"
	"time"
)

// Deployments is the answer of /api/v1/deployments.
type Deployments struct {
	// Starting says why Deployments are not known yet; empty if they are.
	Starting string `json:"starting,omitempty"`
	// Stale says why the newest state could not be read; empty if it could.
	Stale       string       `json:"stale,omitempty"`
	Deployments []Deployment `json:"deployments"` // failing ones first
	Untracked   []Untracked  `json:"untracked"`
}

// Deployment is one that is tracked.
type Deployment struct {
	Namespace         string    `json:"namespace"`
	Name              string    `json:"deployment"`
	State             string    `json:"state"` // one of States
	Image             string    `json:"image"`
	RunningTag        string    `json:"running_tag"`
	WantedTag         string    `json:"wanted_tag,omitempty"`
	Action            string    `json:"action,omitempty"` // the last result's, and so on
	Message           string    `json:"message,omitempty"`
	FinishedAt        time.Time `json:"finished_at,omitzero"`
	Seconds           float64   `json:"duration_seconds,omitempty"`
	AppCommit         string    `json:"app_commit,omitempty"`
	AppCommitURL      string    `json:"app_commit_url,omitempty"`
	ManifestCommit    string    `json:"manifest_commit,omitempty"` // the last that was pushed
	ManifestCommitURL string    `json:"manifest_commit_url,omitempty"`
	ChangedAt         time.Time `json:"changed_at,omitzero"` // when it was pushed
	Warnings          []string  `json:"warnings,omitempty"`
	Places            []Place   `json:"places,omitempty"` // of the tag in the manifests repository
}

// Place is where a tag is.
type Place struct {
	Path string `json:"path"` // of the file
	Line int    `json:"line"`
	Kind string `json:"kind"` // as docs/targets.md calls it
}

// maxPlaces bounds the places in a row.
const maxPlaces = 8

// Where tells of the places; page.js does it too.
func (d Deployment) Where() string {
	var all []string
	for _, p := range d.Places[:min(len(d.Places), maxPlaces)] {
		all = append(all, fmt.Sprintf("%s at %s:%d", p.Kind, p.Path, p.Line))
	}
	if more := len(d.Places) - maxPlaces; more > 0 {
		all = append(all, fmt.Sprintf("%d more", more))
	}
	return strings.Join(all, ", ")
}

// Untracked is a Deployment that cannot be tracked.
type Untracked struct {
	Namespace string `json:"namespace"`
	Name      string `json:"deployment"`
	Reason    string `json:"reason"`
}

// Passes is the answer of /api/v1/passes.
type Passes struct {
	Passes []Pass `json:"passes"` // oldest first
}

// Pass is one pass: how long it took, and Deployments by action.
type Pass struct {
	StartedAt time.Time `json:"started_at"`
	Seconds   float64   `json:"duration_seconds"`
	Patched   int       `json:"patched"`
	UpToDate  int       `json:"up_to_date"`
	Skipped   int       `json:"skipped"`
	Failed    int       `json:"failed"`
	Pending   int       `json:"pending"`
}

// State is what can be said of a Deployment in a word.
type State struct{ Name, Word string }

// States are those that a Deployment can be in, in the order in which people
// should see them.
var States = []State{
	{"failed", "failed"},
	{"pending", "pending"},
	{"new", "no result yet"},
	{"patched", "patched"},
	{"up_to_date", "up to date"},
	{"disabled", "disabled"},
}

// Data is what a page is made of. The tags are those of the JSON answers that
// hold the same.
type Data struct {
	Deployments
	Passes
	DeploymentsTag, PassesTag string
}

//go:embed page.html
var markup string

//go:embed page.css
var style string

//go:embed page.js
var script string

// Policy is the Content-Security-Policy of the page. The hashes let it use its
// own style and script, and nothing that slipped into it.
var Policy = fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; img-src data:; connect-src 'self'; "+
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'", hash(style), hash(script))

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"style":   func() template.CSS { return template.CSS(style) },
	"script":  func() template.JS { return template.JS(script) },
	"states":  func() []State { return States },
	"short":   short,
	"took":    took,
	"stamp":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"moment":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"outline": func() Deployment { return Deployment{} },
}).Parse(markup))

// Render writes the page.
func Render(w io.Writer, d Data) error {
	if err := page.Execute(w, d); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	return nil
}

// Word is the state in words.
func (d Deployment) Word() string {
	for _, s := range States {
		if s.Name == d.State {
			return s.Word
		}
	}
	return d.State
}

// Key returns "namespace/name".
func (d Deployment) Key() string { return d.Namespace + "/" + d.Name }

// Count returns how many Deployments are in a state.
func (d Deployments) Count(state string) int {
	n := 0
	for _, e := range d.Deployments {
		if e.State == state {
			n++
		}
	}
	return n
}

// Outcome is the state that says most about a pass, failures aside.
func (p Pass) Outcome() string {
	switch {
	case p.Pending > 0:
		return "pending"
	case p.Patched > 0:
		return "patched"
	}
	return "up_to_date"
}

// String is a pass in words.
func (p Pass) String() string {
	var parts []string
	for _, c := range []struct {
		n    int
		word string
	}{{p.Failed, "failed"}, {p.Pending, "pending"}, {p.Patched, "patched"}, {p.UpToDate, "up to date"}, {p.Skipped, "disabled"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	if parts == nil {
		parts = []string{"no Deployment"}
	}
	return took(p.Seconds) + ": " + strings.Join(parts, ", ")
}

// Bar is a pass in the picture, which has room for 50 bars, 8 wide and 40 high.
type Bar struct {
	Pass
	X, Y, Height int
	Failed       int // the part of Height that stands for what failed
}

// Bars draws the passes, the newest at the right. The scale is logarithmic: a
// pass takes milliseconds, or waits a minute for an image.
func (p Passes) Bars() []Bar {
	longest := 0.0
	for _, q := range p.Passes {
		longest = max(longest, q.Seconds)
	}
	bars := make([]Bar, len(p.Passes))
	for i, q := range p.Passes {
		height := 4
		if longest > 0 {
			height += int(36 * math.Log1p(q.Seconds*1000) / math.Log1p(longest*1000))
		}
		bars[i] = Bar{Pass: q, X: 8*i + 1, Y: 41 - height, Height: height}
		if q.Failed > 0 {
			bars[i].Failed = max(4, height*q.Failed/(q.Failed+q.Pending+q.Patched+q.UpToDate+q.Skipped))
		}
	}
	return bars
}

// Last returns the newest pass; nil if there was none.
func (p Passes) Last() *Pass {
	if len(p.Passes) == 0 {
		return nil
	}
	return &p.Passes[len(p.Passes)-1]
}

var commitName = regexp.MustCompile(`^[0-9a-f]{13,64}$`)

// short cuts what is a commit to what people compare.
func short(tag string) string {
	if commitName.MatchString(tag) {
		return tag[:12]
	}
	return tag
}

// took writes a duration as people read it.
func took(seconds float64) string {
	switch {
	case seconds < 1:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	case seconds < 60:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%d min %d s", int(seconds)/60, int(seconds)%60)
	}
	return fmt.Sprintf("%d h %d min", int(seconds)/3600, int(seconds)/60%60)
}
