package hostile

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"

	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/world"
)

// What the operator may take for one bomb, in MiB: files of the largest size
// that is read, and others, which are refused before they cost anything.
const (
	largest = 400
	small   = 128
)

// bombCases are small to write and large to read.
func bombCases() []hostile {
	file := func(name, content, want string, limit int) hostile {
		return hostile{name: name, file: &change{Content: content}, want: want, limit: limit}
	}
	fill := func(s string) string { return strings.Repeat(s, (4<<20-1000)/len(s)) }
	manifest := world.Manifest("x", image+":"+old)
	laughs := func(ref string) string {
		var b strings.Builder
		b.WriteString("a0: &a0 {x: y}\n")
		for i := range 30 {
			fmt.Fprintf(&b, ref, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
		}
		return b.String()
	}
	return []hostile{
		file("a billion laughs", laughs("a%[1]d: &a%[1]d [%[2]s]\n")+"kind: Pod\nspec: {containers: *a30}\n", "FILE.yaml", small),
		file("a billion merges", laughs("a%[1]d: &a%[1]d {<<: [%[2]s]}\n")+"kind: Pod\nspec: *a30\n", "FILE.yaml", small),
		file("100,000 levels of flow", manifest+"x: "+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+"\n", "FILE.yaml", small),
		file("100,000 levels of mappings", manifest+"x: "+strings.Repeat("{a: ", 100_000)+strings.Repeat("}", 100_000)+"\n", "FILE.yaml", small),
		file("2,000 levels of block", manifest+"x:\n"+staircase(2000), "FILE.yaml", small),
		file("100,000 dashes in a line", manifest+"x:\n"+strings.Repeat("- ", 100_000)+"y\n", "FILE.yaml", small),
		file("a JSON-only manifest of 4 MiB", `{"kind":"Pod","spec":{"containers":[{"image":"kainlite/blog:`+old+`"}]},"x":[`+fill(`{"a":1},`)+`1]}`, "FILE.yaml", small),
		file("flow of commas", manifest+"x: ["+fill("a,")+"]\n", "FILE.yaml", small),
		file("a list of nothing, 2 million times", manifest+"x:\n"+fill("-\n"), "FILE.yaml", small),
		file("a million complex keys", manifest+"x:\n"+fill("? a\n"), "FILE.yaml", small),
		file("500,000 documents", manifest+fill("---\na\n"), "FILE.yaml", small),
		file("400,000 short lines", manifest+"x:\n"+fill("- k: 1\n"), "FILE.yaml", small),
		file("50,000 tag directives", fill("%TAG !a! tag:x,2000:\n")+"---\n"+manifest, "FILE.yaml", small),
		file("a block scalar of 4 MiB", manifest+"x: |\n"+fill("  {[,\"\n"), "FILE.yaml", small),
		file("one line of 10 MiB", manifest+"#"+strings.Repeat("a", 10<<20)+"\n", "too large", small),
		file("100 MiB that compress to nothing", manifest+strings.Repeat("\n", 100<<20), "too large", small),
		{name: "a folder of 200,000 files", limit: small, edit: map[string]string{"deployment_path": "many/7.yaml"}, repo: crowd},

		// What has been taken is not given back at once, so these come last.
		file("50,000 anchors", manifest+"x:\n"+numbered("- &a%d x\n", 50_000), "", largest),
		file("a scalar of 4 MiB", manifest+"x: "+fill("a")+"\n", "", largest),
		file("a quoted scalar of 4 MiB of escapes", manifest+"x: \""+fill(`\u0041`)+"\"\n", "", largest),
		file("a comment of 4 MiB in a line", manifest+"#"+fill(" a")+"\n", "", largest),
		file("4 MiB of blank lines", manifest+fill("\n"), "", largest),
		file("a manifest of 4 MiB as people write them", manifest+"x:\n"+numbered("- name: environment-variable-%06d\n  value: a value of the usual length\n", 55_000), "", largest),
	}
}

// staircase nests one level a line.
func staircase(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i+1) + "a:\n")
	}
	return b.String()
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// crowd adds a folder with very many entries of one file.
func crowd(s *stage, r gitrepo.Repo, canary string) {
	blob := must1(s.t)(r.Git("rev-parse", "master:"+mustBase(r)+".yaml"))
	var entries bytes.Buffer
	for i := range 200_000 {
		fmt.Fprintf(&entries, "100644 blob %s\t%d.yaml\n", blob, i)
	}
	cmd := exec.Command("git", "--git-dir="+r.Dir, "mktree")
	cmd.Stdin = &entries
	id, err := cmd.Output()
	s.must(err)
	tree(s, r, func(entries []byte) []byte {
		return append(entries, append([]byte("40000 many\x00"), unhex(strings.TrimSpace(string(id)))...)...)
	})
}
