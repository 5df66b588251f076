package page

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

func render(t *testing.T, d Data) string {
	t.Helper()
	var b strings.Builder
	if err := Render(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const commit = "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5"

func TestLinksToCommits(t *testing.T) {
	for repository, want := range map[string]string{
		"git@github.com:kainlite/blog.git":                  "https://github.com/kainlite/blog/commit/" + commit,
		"git@GitHub.com:kainlite/blog":                      "https://github.com/kainlite/blog/commit/" + commit,
		"ssh://git@ssh.github.com:443/kainlite/blog.git":    "https://github.com/kainlite/blog/commit/" + commit,
		"ssh://git@gitlab.com/group/sub/blog.git/":          "https://gitlab.com/group/sub/blog/-/commit/" + commit,
		"git@altssh.gitlab.com:group/blog.git":              "https://gitlab.com/group/blog/-/commit/" + commit,
		"git@bitbucket.org:team/blog.git":                   "https://bitbucket.org/team/blog/commits/" + commit,
		"git@codeberg.org:me/blog.git":                      "https://codeberg.org/me/blog/commit/" + commit,
		"git@ssh.dev.azure.com:v3/org/My Project/blog":      "https://dev.azure.com/org/My%20Project/_git/blog/commit/" + commit,
		"ssh://git@ssh.dev.azure.com/v3/org/My%20Project/a": "https://dev.azure.com/org/My%20Project/_git/a/commit/" + commit,
		"org@vs-ssh.visualstudio.com:v3/org/proj/blog":      "https://dev.azure.com/org/proj/_git/blog/commit/" + commit,
		"git@github.com:a/b%c#d":                            "https://github.com/a/b%25c%23d/commit/" + commit,
		"git@github.com:a/b?token=hunter2":                  "",
		"git@github.com:a/\"><script>":                      "https://github.com/a/%22%3E%3Cscript%3E/commit/" + commit,
		"git@github.com:kainlite":                           "",
		"git@github.com:kainlite/../blog":                   "",
		"git@github.com:kainlite//blog":                     "",
		"git@ssh.dev.azure.com:org/proj/blog":               "",
		"git@git.example.com:kainlite/blog.git":             "",
		"git@github.com.example.com:kainlite/blog.git":      "",
		"https://github.com/kainlite/blog":                  "",
		"ssh://git:hunter2@github.com/kainlite/blog":        "",
		"javascript:alert(1)":                               "",
		"":                                                  "",
	} {
		links := Links{}
		for range 2 {
			if got := links.To(repository, commit); got != want {
				t.Errorf("%q: got %q, want %q", repository, got, want)
			}
		}
	}
	for _, bad := range []string{"", "master", "../" + commit, commit + `"`, strings.ToUpper(commit), "abc"} {
		if got := (Links{}).To("git@github.com:kainlite/blog.git", bad); got != "" {
			t.Errorf("commit %q: got %q", bad, got)
		}
	}
}

// The policy must let in what the page has, as it is sent, and nothing else.
func TestPolicyCoversStyleAndScriptAsSent(t *testing.T) {
	sent := render(t, Data{})
	for tag, directive := range map[string]string{"style": "style-src", "script": "script-src"} {
		found := regexp.MustCompile(`(?s)<`+tag+`[^>]*>(.*?)</`+tag+`>`).FindAllStringSubmatch(sent, -1)
		if len(found) != 1 {
			t.Fatalf("%d %s elements", len(found), tag)
		}
		if want := directive + " " + hash(found[0][1]) + ";"; !strings.Contains(Policy, want) {
			t.Errorf("the policy lacks %s", want)
		}
	}
	for _, want := range []string{"default-src 'none'", "connect-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(Policy, want) {
			t.Errorf("the policy lacks %s: %s", want, Policy)
		}
	}
	if strings.Contains(Policy, "unsafe") || strings.Contains(Policy, "*") || strings.Contains(Policy, "http") {
		t.Errorf("the policy is lax: %s", Policy)
	}
	if m := regexp.MustCompile(`(?i)\s(on\w+|style)=|src=|url\(|@import|<link rel="(?:style|pre)`).FindString(sent); m != "" {
		t.Errorf("the page has %q", m)
	}
}

// shape counts a page's elements, and collects the names of attributes and the
// places that links lead to.
func shape(t *testing.T, page string) (elements map[string]int, attributes map[string]bool, links []string) {
	t.Helper()
	elements, attributes = map[string]int{}, map[string]bool{}
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		elements[n.Data]++
		for _, a := range n.Attr {
			attributes[a.Key] = true
			if n.Data == "a" && a.Key == "href" {
				links = append(links, a.Val)
			}
		}
	}
	return elements, attributes, links
}

func TestNothingThatUsersWroteIsMarkup(t *testing.T) {
	data := func(s, url string) Data {
		d := Deployment{
			Namespace: s, Name: s, State: s, Image: s, RunningTag: s, WantedTag: s + "2", Action: s, Message: s,
			AppCommit: s, AppCommitURL: url, ManifestCommit: s, ManifestCommitURL: url, Warnings: []string{s},
		}
		return Data{Deployments: Deployments{Stale: s, Starting: s, Deployments: []Deployment{d}, Untracked: []Untracked{{s, s, s}}}, DeploymentsTag: s, PassesTag: s}
	}
	elements, attributes, links := shape(t, render(t, data("x", "https://github.com/x")))
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onclick='alert(1)`, `x onclick=alert(1) `,
		`</style><b>`, `</template>{{.}}`, `</small></td></tr></table><form>`, `--><!--`, "javascript:alert(1)", "\x00<b>",
	} {
		gotElements, gotAttributes, gotLinks := shape(t, render(t, data(evil, evil)))
		if !maps.Equal(gotElements, elements) {
			t.Errorf("%q changes the elements: %v, not %v", evil, gotElements, elements)
		}
		if !maps.Equal(gotAttributes, attributes) {
			t.Errorf("%q changes the attributes: %v, not %v", evil, gotAttributes, attributes)
		}
		if len(gotLinks) != len(links) || slices.ContainsFunc(gotLinks, func(l string) bool { return strings.HasPrefix(l, "javascript") }) {
			t.Errorf("%q changes the links: %q", evil, gotLinks)
		}
	}
}

func TestRowsSayWhatIsKnown(t *testing.T) {
	at := time.Date(2026, 7, 29, 12, 3, 4, 5, time.UTC)
	sent := render(t, Data{Deployments: Deployments{Deployments: []Deployment{
		{Namespace: "default", Name: "blog", State: "patched", Image: "kainlite/blog", RunningTag: "v1", WantedTag: commit, Action: "patched", Message: "Deployment blog patched",
			FinishedAt: at, Seconds: 61.5, AppCommit: commit, AppCommitURL: Links{}.To("git@github.com:kainlite/blog.git", commit), ManifestCommit: commit, ChangedAt: at},
		{Namespace: "default", Name: "new", State: "new", Image: "kainlite/new", RunningTag: "v1"},
	}}})
	rows := regexp.MustCompile(`(?s)<tr data-key.*?</tr>`).FindAllString(sent, -1) // and the empty one of the template
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, want := range []string{
		`<b data-f="word">patched</b>`, `datetime="2026-07-29T12:03:04Z">2026-07-29 12:03:04 UTC<`, `>1 min 1 s<`, `title="running: v1">v1<`,
		`title="wanted: ` + commit + `">e4f5a6b1c2d3<`, `href="https://github.com/kainlite/blog/commit/` + commit + `"`, `>app e4f5a6b<`, `>pushed e4f5a6b<`,
	} {
		if !strings.Contains(rows[0], want) {
			t.Errorf("the row lacks %s:\n%s", want, rows[0])
		}
	}
	if strings.Count(rows[0], "href=") != 1 {
		t.Errorf("a link to nowhere:\n%s", rows[0])
	}
	if strings.Contains(rows[1], "datetime") || strings.Contains(rows[1], "href") || !strings.Contains(rows[1], "no result yet") {
		t.Errorf("the row of a Deployment without a result:\n%s", rows[1])
	}
}

func TestBars(t *testing.T) {
	p := Passes{Passes: []Pass{{Seconds: 60, Pending: 1}, {Seconds: 0.001, UpToDate: 999, Failed: 1}, {Seconds: 1, Failed: 3}, {Patched: 1}}}
	outcomes := ""
	for i, b := range p.Bars() {
		outcomes += b.Outcome() + " "
		if b.X != 8*i+1 || b.Height < 4 || b.Height > 40 || b.Y+b.Height != 41 || b.Failed > b.Height || b.Failed < 0 {
			t.Errorf("bar %d: %+v", i, b)
		}
	}
	bars := p.Bars()
	if outcomes != "pending up_to_date up_to_date patched " || bars[0].Failed != 0 || bars[1].Failed != 4 || bars[2].Failed != bars[2].Height {
		t.Errorf("%s%+v", outcomes, bars)
	}
	if bars[0].Height != 40 || bars[2].Height <= bars[1].Height || bars[0].Height <= bars[2].Height {
		t.Error("who takes longer should be higher")
	}
	if got := p.Passes[1].String(); got != "1 ms: 1 failed, 999 up to date" {
		t.Errorf("in words: %s", got)
	}
}

func TestEmptyPageSaysWhatToDo(t *testing.T) {
	visible := func(d Data, id string) bool {
		return regexp.MustCompile(`id="` + id + `">`).MatchString(render(t, d))
	}
	if !visible(Data{}, "empty") || visible(Data{}, "deployments") || visible(Data{}, "untracked") {
		t.Error("an empty page should say what to do, and have no table")
	}
	starting := Data{Deployments: Deployments{Starting: "starting: no listing"}}
	if visible(starting, "empty") || !visible(starting, "starting") {
		t.Error("while Deployments are not listed, nobody knows that there are none")
	}
	one := Data{Deployments: Deployments{Deployments: []Deployment{{Name: "x"}}}}
	if visible(one, "empty") || !visible(one, "deployments") {
		t.Error("a page with a Deployment should have its table")
	}
}

// docs/api.md is all that programs have to go by.
func TestFieldsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	all, err := json.Marshal([]any{
		Deployments{"x", "x", []Deployment{{"x", "x", "x", "x", "x", "x", "x", "x", now, 1, "x", "x", "x", "x", now, []string{"x"}, []Place{{"x", 1, "x"}}}}, []Untracked{{"x", "x", "x"}}},
		Passes{[]Pass{{StartedAt: now}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	fields := regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(string(all), -1)
	if len(fields) < 25 {
		t.Fatalf("%d fields", len(fields))
	}
	for _, f := range fields {
		if !strings.Contains(string(doc), "`"+f[1]+"`") {
			t.Errorf("docs/api.md does not tell of %s", f[1])
		}
	}
	for _, s := range States {
		if !strings.Contains(string(doc), "`"+s.Name+"`") {
			t.Errorf("docs/api.md does not tell of the state %s", s.Name)
		}
	}
}
