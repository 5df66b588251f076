package hostile

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode/utf16"

	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/world"
)

type change = gitrepo.Change

// manifestCases are files and repositories that mean harm.
func manifestCases() []hostile {
	file := func(name, content, want string) hostile {
		return hostile{name: name, file: &change{Content: content}, want: want}
	}
	manifest := world.Manifest("x", image+":"+old)
	withFiles := func(name, want string, edit map[string]string, files ...change) hostile {
		return hostile{name: name, want: want, edit: edit, repo: func(s *stage, r gitrepo.Repo, canary string) {
			for i := range files {
				files[i].Content = strings.ReplaceAll(files[i].Content, "CANARY", canary)
			}
			must1(s.t)(r.CommitChanges("master", "Add", files...))
		}}
	}
	return []hostile{
		// What stands at the path.
		{name: "a symbolic link", file: &change{Mode: "120000", Content: "/etc/passwd"}, want: "FILE.yaml"},
		{name: "a symbolic link into .git", file: &change{Mode: "120000", Content: "../../.git/config"}, want: "FILE.yaml"},
		{name: "a submodule", file: &change{Mode: "160000", Content: strings.Repeat("1", 40)}, want: "FILE.yaml"},
		withFiles("a folder that is a symbolic link", "no such file", map[string]string{"deployment_path": "link/x.yaml"}, change{Path: "link", Mode: "120000", Content: "/etc"}, change{Path: "real/x.yaml", Content: manifest}),
		withFiles("a path inside a submodule", "no such file", map[string]string{"deployment_path": "sub/x.yaml"}, change{Path: "sub", Mode: "160000", Content: strings.Repeat("2", 40)}),
		{name: "a file that stands twice in its folder", repo: twice, want: "FILE.yaml"},
		{name: "an odd file mode", repo: oddMode},
		{name: "an executable file", file: &change{Mode: "100755", Content: manifest}},

		// What is in it.
		file("invalid UTF-8", manifest+"# \xff\xfe\n", "is not UTF-8"),
		file("UTF-16", utf16le(manifest), "UTF-16"),
		file("UTF-16 without a mark", utf16le(manifest)[2:], "NUL"),
		file("NULs", manifest+"x: \"\x00\"\n", "NUL"),
		file("terminal escapes in a comment", manifest+"# \x1b]0;x\a\n", "not allowed in YAML"),
		file("C1 escapes", strings.Replace(manifest, image, "\u009b31m"+image, 1), "FILE.yaml"),
		file("a text that runs backwards", strings.Replace(manifest, image, image+"\u202e", 1), "FILE.yaml"),
		file("names of images with escapes", strings.Replace(manifest, image, `"kainlite/blo\e[31m\a\u009b"`+" #", 1), "FILE.yaml"),
		file("a kind with escapes", strings.Replace(manifest, "kind: Deployment", `kind: "\e[31mX\u202e"`, 1), "FILE.yaml"),
		file("a merge key cycle", "kind: Pod\nspec: &a\n  <<: *a\n  containers: [{image: kainlite/blog:1}]\n", "cycle"),
		file("an alias cycle", "kind: Pod\nspec: &a [*a]\n", "cycle"),
		file("a merge of a scalar", "kind: Pod\nspec:\n  <<: x\n  containers: [{image: 'kainlite/blog:"+old+"'}]\n", ""),
		file("a tag that asks for an object", "kind: Pod\nspec: !!python/object/apply:os.system [\"touch CANARY\"]\n", "FILE.yaml"),
		file("an image with a tag of its own", "kind: Pod\nspec: {containers: [{image: !!binary kainlite/blog}]}\n", "FILE.yaml"),
		file("a yq expression as key", manifest+"\"$(load(\\\"/etc/passwd\\\"))\": (env(HOME))\n", ""),
		file("a template", "{{ `touch CANARY` | exec }}\n"+manifest, "template"),
		file("conflict marks", "<<<<<<< HEAD\n"+manifest+"=======\n>>>>>>> x\n", "FILE.yaml"),
		file("an empty file", "", "FILE.yaml"),
		file("a pointer of LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("a", 64)+"\nsize 12345\n", "FILE.yaml"),
		file("two documents that disagree on the kind", manifest+"---\nkind: [Deployment]\nspec: *x\n", "FILE.yaml"),

		// What else is in the repository.
		withFiles("attributes with filters", "", nil, change{Path: ".gitattributes", Content: "* filter=evil ident export-subst working-tree-encoding=UTF-16 diff=evil merge=evil\n"},
			change{Path: ".gitconfig", Content: config}, change{Path: "config", Content: config}),
		withFiles("attributes of LFS", "", nil, change{Path: ".gitattributes", Content: "*.yaml filter=lfs diff=lfs merge=lfs -text\n"}, change{Path: ".lfsconfig", Content: "[lfs]\n\turl = file:///CANARY\n[lfs \"customtransfer.x\"]\n\tpath = touch\n\targs = CANARY\n"}),
		withFiles("submodules that run something", "", nil, change{Path: ".gitmodules", Content: "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c touch% CANARY\n\tupdate = !touch CANARY\n[submodule \"../../y\"]\n\tpath = y\n\turl = -u./CANARY\n"},
			change{Path: "x", Mode: "160000", Content: strings.Repeat("3", 40)}),
		withFiles("a bare repository inside, with hooks", "", nil, change{Path: "HEAD", Content: "ref: refs/heads/master\n"}, change{Path: "objects/info/alternates", Content: "/etc\n"},
			change{Path: "refs/heads/x", Content: strings.Repeat("4", 40) + "\n"}, change{Path: "config", Content: config}, change{Path: "hooks/post-checkout", Mode: "100755", Content: "#!/bin/sh\ntouch CANARY\n"},
			change{Path: "hooks/pre-push", Mode: "100755", Content: "#!/bin/sh\ntouch CANARY\n"}, change{Path: "hooks/reference-transaction", Mode: "100755", Content: "#!/bin/sh\ntouch CANARY\n"}),
		withFiles("names that only a careless checkout would follow", "", nil, change{Path: "git~1/config", Content: config}, change{Path: ".git\u200c/config", Content: config}, change{Path: "C:\\x", Content: "x"}, change{Path: "-rf", Content: "x"}),
		{name: "a server that talks with escapes at a push", repo: hooked(0, strings.Repeat(escapes+"\n!\tx:refs/heads/master\t[rejected] (stale info)\n", 20_000))},
		{name: "a repository that is its own tree of trees", repo: bushy},
		{name: "refs with names that look like options", repo: oddRefs},
		{name: "a default branch with escapes", want: "branch not found", edit: map[string]string{"observe_branch": "nope"}, repo: func(s *stage, r gitrepo.Repo, _ string) {
			s.must(os.WriteFile(filepath.Join(r.Dir, "HEAD"), []byte("ref: refs/heads/\u009b31m\u202e\n"), 0o600))
		}},
		{name: "a commit with a hostile message and author", repo: func(s *stage, r gitrepo.Repo, _ string) {
			must1(s.t)(r.CommitChanges("master", "printable only, or the test's own look at the log would fail", change{Path: "y", Content: "y"}))
		}},
	}
}

// hooked makes a repository whose server talks at each push, and may refuse it.
func hooked(code int, text string) func(s *stage, r gitrepo.Repo, canary string) {
	return func(s *stage, r gitrepo.Repo, _ string) {
		file := filepath.Join(r.Dir, "text")
		s.must(os.WriteFile(file, []byte(text), 0o600))
		s.must(os.MkdirAll(filepath.Join(r.Dir, "hooks"), 0o755))
		s.must(os.WriteFile(filepath.Join(r.Dir, "hooks", "pre-receive"), fmt.Appendf(nil, "#!/bin/sh\ncat '%s' >&2\nexit %d\n", file, code), 0o755))
	}
}

// config is a git configuration that would run something, were it read.
const config = `[core]
	fsmonitor = touch CANARY
	sshCommand = touch CANARY
	hooksPath = hooks
	pager = touch CANARY
	editor = touch CANARY
	gitProxy = touch CANARY
[filter "evil"]
	clean = touch CANARY
	smudge = touch CANARY
	process = touch CANARY
	required
[diff "evil"]
	textconv = touch CANARY
	command = touch CANARY
[merge "evil"]
	driver = touch CANARY
[uploadpack]
	packObjectsHook = touch CANARY
[protocol]
	allow = always
`

func utf16le(s string) string {
	var b bytes.Buffer
	b.WriteString("\xff\xfe")
	for _, u := range utf16.Encode([]rune(s)) {
		b.Write([]byte{byte(u), byte(u >> 8)})
	}
	return b.String()
}

// tree writes a tree as it is, without git's checks, and a commit of it.
func tree(s *stage, r gitrepo.Repo, edit func(entries []byte) []byte) {
	s.t.Helper()
	raw, err := exec.Command("git", "--git-dir="+r.Dir, "cat-file", "tree", "master^{tree}").Output()
	s.must(err)
	cmd := exec.Command("git", "--git-dir="+r.Dir, "hash-object", "-w", "-t", "tree", "--literally", "--stdin")
	cmd.Stdin = bytes.NewReader(edit(raw))
	id, err := cmd.Output()
	s.must(err)
	commit := must1(s.t)(r.Git("commit-tree", "-m", "Odd", strings.TrimSpace(string(id))))
	must1(s.t)(r.Git("update-ref", "refs/heads/master", commit))
}

// twice makes the case's file stand twice: as itself, and as a symbolic link.
func twice(s *stage, r gitrepo.Repo, canary string) {
	name := filepath.Base(canary) + ".yaml"
	tree(s, r, func(entries []byte) []byte {
		i := bytes.Index(entries, []byte("100644 "+name))
		one := entries[i : i+len("100644 ")+len(name)+1+20]
		link := append([]byte("120000"), one[6:]...)
		return append(append(append([]byte{}, entries[:i]...), append(link, one...)...), entries[i+len(one):]...)
	})
}

// oddMode gives the case's file the mode that old versions of git wrote.
func oddMode(s *stage, r gitrepo.Repo, canary string) {
	tree(s, r, func(entries []byte) []byte {
		return bytes.Replace(entries, []byte("100644 "+filepath.Base(canary)), []byte("100664 "+filepath.Base(canary)), 1)
	})
}

// bushy adds a tree of 30 levels, each of which holds the one below ten times:
// no disk could take a checkout of it.
func bushy(s *stage, r gitrepo.Repo, _ string) {
	input := "100644 blob " + must1(s.t)(r.Git("rev-parse", "master:good-"+mustBase(r)+".yaml")) + "\tx\n"
	var id string
	for range 30 {
		cmd := exec.Command("git", "--git-dir="+r.Dir, "mktree")
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.Output()
		s.must(err)
		id, input = strings.TrimSpace(string(out)), ""
		for i := range 10 {
			input += fmt.Sprintf("040000 tree %s\tt%d\n", id, i)
		}
	}
	tree(s, r, func(entries []byte) []byte {
		return append(entries, append([]byte("40000 zzz\x00"), unhex(id)...)...)
	})
}

func mustBase(r gitrepo.Repo) string { return strings.TrimSuffix(filepath.Base(r.Dir), ".git") }

func unhex(id string) []byte {
	b := make([]byte, len(id)/2)
	for i := range b {
		fmt.Sscanf(id[2*i:2*i+2], "%02x", &b[i])
	}
	return b
}

// oddRefs adds refs that a careless command would take for something else.
func oddRefs(s *stage, r gitrepo.Repo, _ string) {
	head := must1(s.t)(r.Head("master"))
	var refs strings.Builder
	for _, ref := range []string{"refs/heads/-x", "refs/heads/--upload-pack=x", "refs/tags/master", "refs/remotes/origin/master", "refs/gitops/next", "refs/heads/x$(touch)"} {
		fmt.Fprintf(&refs, "create %s %s\n", ref, head)
	}
	cmd := exec.Command("git", "--git-dir="+r.Dir, "update-ref", "--stdin")
	cmd.Stdin = strings.NewReader(refs.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
}
