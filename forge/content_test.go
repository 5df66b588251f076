package forge

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

var blog = Change{
	Namespace: "blog", Name: "web", Images: []string{"ghcr.io/acme/web"},
	From: "3c0a88249fb61a0a4f4a65295f42b2dee3963c28", To: "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5",
	App: "git@github.com:acme/web.git", AppURL: "https://github.com/acme/web/compare/3c0a88249fb61a0a4f4a65295f42b2dee3963c28...e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5",
	Paths: []string{"apps/web.yaml"},
}

var shop = Change{Namespace: "shop", Name: "api", Kind: "StatefulSet", Images: []string{"acme/api", "acme/job"}, From: "1.2.3", To: "1.3.0",
	Digest: "sha256:" + strings.Repeat("ab", 32), App: "https://git.example.com/a_b/*x*|y.git"}

func TestBodiesAsTheyAreWritten(t *testing.T) {
	got := Title([]Change{blog}) + "\n\n" + Body([]Change{blog}) + "\n======\n" + Title([]Change{shop, blog}) + "\n\n" + Body([]Change{shop, blog}) +
		"\n======\n" + closedBody(Body([]Change{blog}), "main has it")
	const golden = "testdata/bodies.golden"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	equal(t, "bodies", got, string(want))
}

func TestWhatIsProposedIsKnownAgain(t *testing.T) {
	newer := blog
	newer.To = "1111111111111111111111111111111111111111"
	p := PullRequest{State: Closed, Body: strings.ReplaceAll(Body([]Change{shop, blog}), "\n", "\r\n")}
	equal(t, "the same in another order", p.Proposes([]Change{blog, shop}), true)
	equal(t, "a newer tag", p.Proposes([]Change{newer, shop}), false)
	equal(t, "less", p.Proposes([]Change{blog}), false)
	again := blog
	again.From, again.App = "other", "elsewhere" // where it comes from makes no difference
	equal(t, "another base", p.Proposes([]Change{again, shop}), true)
	equal(t, "refused", p.Refused(), true)
	p.State = Merged
	equal(t, "merged is not refused", p.Refused(), false)
	err := error(&RefusedError{PullRequest{URL: "https://x/1"}})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "https://x/1 was closed") {
		t.Error(err)
	}
}

func TestBodiesAreBoundedAndKeepTheirMark(t *testing.T) {
	var many []Change
	for i := range 2000 {
		c := blog
		c.Name = fmt.Sprintf("web-%d", i)
		many = append(many, c)
	}
	body := Body(many)
	if len(body) > 65_000 || !strings.Contains(body, " more.\n") {
		t.Errorf("%d bytes", len(body))
	}
	equal(t, "known again", PullRequest{Body: body}.Proposes(many), true)
	equal(t, "title", Title(many), "chore(refs): update blog/web-0, blog/web-1, blog/web-10 and 1997 more")
}

func TestNobodyWritesMarkdownThroughNames(t *testing.T) {
	evil := Change{Namespace: "a", Name: "b", Images: []string{"x`y|z"}, From: "1", To: "2`|<img>",
		App: "git@h:a/[b](https://evil)<script>\n# x", Paths: []string{"a```\n# injected"}}
	body := Body([]Change{evil})
	table, _, _ := strings.Cut(body, "```") // nothing is Markdown after it
	for _, bad := range []string{"](https://evil)", "<script>", "\n# x", "\n# injected", "`<img>"} {
		if strings.Contains(table, bad) {
			t.Errorf("%q in\n%s", bad, body)
		}
	}
	equal(t, "fences", strings.Count(body, "```"), 2)
}

func TestBranchNames(t *testing.T) {
	equal(t, "branch", Branch("release/1.x", "blog", "web"), "gitops-operator/release/1.x/blog-web")
	equal(t, "group", GroupBranch("main", "site"), "gitops-operator/main/site")
	for _, good := range []string{"site", "site-1", "a.b", "A_b", "x"} {
		if err := CheckGroup(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a/b", "a..b", ".a", "a.", "-a", "a.lock", "a b", "a~1", "a^", "ä", "@{", "a\n", strings.Repeat("x", 101)} {
		if CheckGroup(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
