package hostile

import (
	"fmt"
	"strings"

	"github.com/kainlite/gitops-operator/test/gitrepo"
)

// kindCases are kustomizations, Helm values, paths, lists and digests that mean
// harm.
func kindCases() []hostile {
	in := func(name, path, content, want string, edit map[string]string) hostile {
		all := map[string]string{"deployment_path": path}
		for k, v := range edit {
			all[k] = v
		}
		return hostile{name: name, want: want, edit: all, repo: func(s *stage, r gitrepo.Repo, _ string) {
			must1(s.t)(r.CommitChanges("master", "Add", change{Path: path, Content: content}))
		}}
	}
	kustomization := func(name, content, want string) hostile {
		return in("a kustomization with "+name, "k/kustomization.yaml", content, want, nil)
	}
	values := func(name, content, want string) hostile {
		return in("values with "+name, "values.yaml", content, want, nil)
	}
	path := func(name, expression, content, want string) hostile {
		return in("a path "+name, "x.yaml", content, want, map[string]string{"tag_path": expression})
	}
	const kust, vals = "patch k/kustomization.yaml", "patch values.yaml"
	list := []hostile{
		kustomization("a good entry", "images: [{name: "+image+"}]\n", ""),
		kustomization("an entry that is its own alias", "images: &a [*a]\n", "cycle"),
		kustomization("an entry that merges itself", "images:\n- &a\n  <<: *a\n  name: "+image+"\n", "cycle"),
		kustomization("a name with escapes", "images: [{name: \"kainlite/blog\\e[31m\"}]\n", kust),
		kustomization("a name with a tag of its own", "images: [{name: !!binary kainlite/blog}]\n", ""),
		kustomization("a newTag that runs something", "images: [{name: "+image+", newTag: $(touch CANARY)}]\n", kust),
		kustomization("a newTag that is a mapping", "images: [{name: "+image+", newTag: {a: b}}]\n", kust),
		kustomization("a newTag of many lines", "images:\n- name: "+image+"\n  newTag: |\n    v1\n    v2\n", kust),
		kustomization("a newTag of 1 MiB", "images: [{name: "+image+", newTag: "+strings.Repeat("a", 1<<20)+"}]\n", kust),
		kustomization("an entry that another place uses", "images:\n- &a {name: "+image+", newTag: v1}\nx: *a\n", kust),
		kustomization("two newTags", "images: [{name: "+image+", newTag: a, newTag: b}]\n", kust),
		kustomization("a newName that is an option", "images: [{name: "+image+", newName: --upload-pack=x, newTag: a}]\n", kust),
		kustomization("carriage returns and other line ends", "images:\r\n- name: "+image+"\u0085\u2028- x\r\n", ""),

		values("a template", "image:\n  repository: "+image+"\n  tag: {{ exec \"touch CANARY\" }}\n", vals),
		values("a tag that another place uses", "image: {repository: "+image+", tag: &t v1}\nx: *t\n", vals),
		values("a repository with escapes", "image: {repository: \"kainlite/blo\\a\\e]0;x\\a\", tag: v1}\n", vals),
		values("a merge of everything", "a: &a {repository: "+image+", tag: v1}\nb: {<<: *a}\n", vals),
		values("a tag that is a sequence", "image: {repository: "+image+", tag: [v1]}\n", vals),
		values("a sha that is no digest", "image: {repository: "+image+", tag: v1, sha: \"\\e[0m\"}\n", vals),
		values("a number for a tag", "image: {repository: "+image+", tag: 1.10}\n", ""),

		path("to a key with escapes", ".a.b", "\"a\\e[31m\": {b: v1}\na: {\"\\u202e\": v1}\n", "patch x.yaml"),
		path("through an alias cycle", ".a.b.b.b", "a: &a {b: *a}\n", "cycle"),
		path("into a billion laughs", ".a9[][][][][][][][][]", "a0: &a0 {x: y}\n"+laughing(9), "patch x.yaml"),
		path("to a mapping", ".a", "a: {b: c}\n", "patch x.yaml"),
		path("to a secret text", ".a", "a: password=hunter2\n", ""),
		path("to what is there", ".a", "a: v1\n", ""),

		in("one file of two is not there", "a.yaml", "images: []\n", "no such file", map[string]string{"deployment_path": "FILE.yaml, nope/../gone.yaml"}),
		in("one file of two is a device's name", "a.yaml", "x: y\n", "no such file", map[string]string{"deployment_path": "FILE.yaml,dev/null"}),
		in("a digest of an image that no registry has", "a.yaml", "image: 127.0.0.1:1/kainlite/blog:v1\n", "127.0.0.1:1", map[string]string{"pin_digest": "true", "deployment_path": "a.yaml"}),
	}
	for _, expression := range []string{
		"env(HOME)", "strenv(PLANTED)", ".a | load(\"/etc/passwd\")", ".a | load_str(\"/etc/passwd\")", "$ENV", ".. | .tag", ".a = \"x\"", "del(.a)", ".a, .b", "(.a)", ".a as $x | $x",
		".a | system(\"touch\"; \"CANARY\")", ".a | @sh", ".a[0:2]", ".a | select(.b =~ \"x\")", ".a | select(.b == .c)", "eval(.a)", ".a | envsubst", "{\"a\": 1}", "." + strings.Repeat("[]", 300),
		".a" + strings.Repeat(" | .a", 200), strings.Repeat("(", 500), ".\u202ea", ".a\x1b[31m", "--from-file=x",
	} {
		list = append(list, hostile{name: "tag_path is " + expression[:min(len(expression), 40)], edit: map[string]string{"tag_path": expression}, want: "gitops.operator.tag_path"})
	}
	return list
}

// laughing nests ten aliases in each of so many levels.
func laughing(levels int) string {
	var b strings.Builder
	for i := range levels {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	return b.String()
}

// kindBombs are files of the largest size in which everything is an image.
func kindBombs() []hostile {
	in := func(name, path, content, want string, limit int, edit map[string]string) hostile {
		all := map[string]string{"deployment_path": path}
		for k, v := range edit {
			all[k] = v
		}
		return hostile{name: name, want: want, limit: limit, edit: all, repo: func(s *stage, r gitrepo.Repo, _ string) {
			must1(s.t)(r.CommitChanges("master", "Add", change{Path: path, Content: content}))
		}}
	}
	return []hostile{
		in("a kustomization of 20,000 entries", "kustomization.yaml", "images:\n"+numbered("- {name: kainlite/a%d, newTag: v1}\n", 20_000)+"- name: "+image+"\n", "", largest, nil),
		in("values in which 5,000 places have the image", "values.yaml", numbered("a%d: {image: {repository: "+image+", tag: v1}}\n", 5_000), "", largest, nil),
		in("a path into 10,000 entries", "x.yaml", "a:\n"+numbered("- {b: n%d, c: v1}\n", 10_000), "", largest, map[string]string{"tag_path": `.a[] | select(.b == "n7") | .c`}),
		in("100 paths with 100 files each", "x.yaml", "a: v1\n", "patch ", small, map[string]string{"deployment_path": "x.yaml" + numbered(",f%d.yaml", 99), "tag_path": strings.Repeat(".a[] | .b[] | .c[]\n", 100)}),
	}
}
