package gitcli_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/world"
)

const manifests = "kainlite/manifests"

// mirror returns a mirror of the manifests repository.
func mirror(t *testing.T, w *world.World, client *gitcli.Client) *gitcli.Mirror {
	t.Helper()
	return open(t, client, w.Remote(manifests), "master", w.Identity(client))
}

func open(t *testing.T, client *gitcli.Client, r gitcli.Remote, branch string, id *gitcli.Identity) *gitcli.Mirror {
	t.Helper()
	m, err := client.Mirror(r, branch, id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func fetch(t *testing.T, m *gitcli.Mirror) string {
	t.Helper()
	head, err := m.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return head
}

type blob struct {
	gitcli.Entry
	Content []byte
}

// read lists the paths, and loads what can be read.
func read(t *testing.T, m *gitcli.Mirror, commit string, paths []string, maxSize int64) (map[string]blob, error) {
	t.Helper()
	entries, err := m.List(t.Context(), commit, paths, maxSize)
	if err != nil {
		return nil, err
	}
	blobs := map[string]blob{}
	var order, ids []string
	for p, e := range entries {
		blobs[p] = blob{Entry: e}
		if e.Err == nil {
			order, ids = append(order, p), append(ids, e.ID)
		}
	}
	return blobs, m.Load(t.Context(), ids, func(i int, content []byte) {
		if id := gitcli.ContentID(content, ids[i]); id != ids[i] {
			t.Errorf("ContentID of %s is %s, want git's %s", order[i], id, ids[i])
		}
		blobs[order[i]] = blob{entries[order[i]], content}
	})
}

func change(path, content string) gitcli.Change {
	return gitcli.Change{Message: "Change " + path + "\n", Files: []gitcli.File{{Path: path, Mode: "100644", Content: []byte(content)}}}
}

func commit(t *testing.T, m *gitcli.Mirror, base string, changes ...gitcli.Change) []string {
	t.Helper()
	ids, err := m.Commit(t.Context(), base, slices.Values(changes), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestFetchFollowsTheBranch(t *testing.T) {
	w := world.New(t)
	first := w.Commit(manifests, map[string]string{"a.yaml": "1"})
	m := mirror(t, w, w.Client())
	if head := fetch(t, m); head != first {
		t.Errorf("clone: at %s, want %s", head, first)
	}
	second := w.Commit(manifests, map[string]string{"a.yaml": "2"})
	if head := fetch(t, m); head != second {
		t.Errorf("fetch: at %s, want %s", head, second)
	}
	w.Git(manifests, "update-ref", "refs/heads/master", first)
	if head := fetch(t, m); head != first {
		t.Errorf("after the branch was forced back: at %s, want %s", head, first)
	}
	w.Git(manifests, "update-ref", "-d", "refs/heads/master")
	if _, err := m.Fetch(t.Context()); !errors.Is(err, gitcli.ErrEmptyRepository) {
		t.Errorf("after the branch was deleted: %v", err)
	}
	again := w.Commit(manifests, map[string]string{"a.yaml": "3"})
	if head := fetch(t, m); head != again {
		t.Errorf("after it was made anew: at %s, want %s", head, again)
	}
}

// Names that provoke: a branch called like a file, a tag called like the
// branch, option-like paths, pathspec magic, globs, spaces, quotes.
func TestNamesAreTakenLiterally(t *testing.T) {
	w := world.New(t)
	repo := w.Repo(manifests)
	paths := []string{"-x", "a b.yaml", ":(top)x", "*.yaml", "a[b].yaml", `q"uo\te.yaml`, "ünï/cöde.yaml", "a.yaml", "app/a.yaml"}
	files := map[string]string{}
	for _, p := range paths {
		files[p] = "content of " + p
	}
	branch := "a.yaml"
	head, err := repo.Commit(branch, "Start", files)
	if err != nil {
		t.Fatal(err)
	}
	other := w.Commit(manifests, map[string]string{"a.yaml": "other"})
	w.Git(manifests, "tag", branch, other)

	client := w.Client()
	m := open(t, client, w.Remote(manifests), branch, w.Identity(client))
	for range 2 { // cloned, then fetched
		if got := fetch(t, m); got != head {
			t.Fatalf("at %s, want the branch's %s (the tag is %s)", got, head, other)
		}
	}
	blobs, err := read(t, m, head, paths, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var changes []gitcli.Change
	for _, p := range paths {
		if b := blobs[p]; b.Err != nil || string(b.Content) != files[p] || b.Mode != "100644" {
			t.Errorf("read %s: %q mode %s, %v", p, b.Content, b.Mode, b.Err)
		}
		changes = append(changes, change(p, "new "+files[p]))
	}
	ids := commit(t, m, head, changes...)
	if err := m.Push(t.Context(), head, ids[len(ids)-1]); err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if got, err := repo.Show(branch, p); err != nil || got != "new "+files[p] {
			t.Errorf("pushed %s: %q, %v", p, got, err)
		}
	}
	if got := w.Git(manifests, "rev-parse", "refs/tags/"+branch); got != other {
		t.Errorf("the tag moved to %s", got)
	}
}

// With the first protocol, servers list all their refs to whoever looks up a
// head, and those of large projects have tens of thousands.
func TestHeadsAreLookedUpInTheSecondProtocol(t *testing.T) {
	w := world.New(t)
	w.Commit(manifests, map[string]string{"a": "1"})
	client := w.Client()
	if _, err := client.Head(t.Context(), w.Remote(manifests), "master", w.Identity(client)); err != nil {
		t.Fatal(err)
	}
	if s := w.Server.Stats(); s.Version2 != 1 || s.UploadPacks != 1 {
		t.Errorf("%d of %d sessions", s.Version2, s.UploadPacks)
	}
	m := mirror(t, w, client)
	fetch(t, m)
	w.Commit(manifests, map[string]string{"a": "2"})
	fetch(t, m)
	if s := w.Server.Stats(); s.Version2 != 2 || s.UploadPacks != 4 {
		t.Errorf("%d of %d sessions, after a clone, a lookup and a fetch", s.Version2, s.UploadPacks)
	}
}

func TestReadTellsWhatIsNoFile(t *testing.T) {
	w := world.New(t)
	repo := w.Repo(manifests)
	head, err := repo.CommitChanges("master", "Start",
		gitrepo.Change{Path: "file", Content: "x"},
		gitrepo.Change{Path: "script", Mode: "100755", Content: "y"},
		gitrepo.Change{Path: "link", Mode: "120000", Content: "/etc/passwd"},
		gitrepo.Change{Path: "module", Mode: "160000", Content: strings.Repeat("1", 40)},
		gitrepo.Change{Path: "dir/file", Content: "z"},
		gitrepo.Change{Path: "dir2/file", Content: "z"},
		gitrepo.Change{Path: "linkdir", Mode: "120000", Content: "dir"},
		gitrepo.Change{Path: "large", Content: strings.Repeat("x", 1001)},
	)
	if err != nil {
		t.Fatal(err)
	}
	m := mirror(t, w, w.Client())
	fetch(t, m)
	blobs, err := read(t, m, head, []string{"file", "script", "link", "module", "dir", "dir2", "dir2/file", "linkdir/file", "large", "nope"}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"file": "100644", "script": "100755", "dir2/file": "100644",
		"dir2":         "not a regular file: a directory",
		"link":         "not a regular file: a symbolic link: give the path of the file itself",
		"module":       "not a regular file: a submodule",
		"dir":          "not a regular file: a directory",
		"linkdir/file": "no such file",
		"large":        "file is too large: 1001 bytes, at most 1000 are read",
		"nope":         "no such file",
	} {
		got := blobs[path].Mode
		if err := blobs[path].Err; err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestThousandsOfPathsAreReadInPieces(t *testing.T) {
	w := world.New(t)
	files := map[string]string{}
	for i := range 3000 {
		files[fmt.Sprintf("%s/%04d.yaml", strings.Repeat("long", 50), i)] = fmt.Sprint(i)
	}
	head := w.Commit(manifests, files)
	m := mirror(t, w, w.Client())
	fetch(t, m)
	var paths []string
	for p := range files {
		paths = append(paths, p)
	}
	blobs, err := read(t, m, head, paths, 100)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range files {
		if string(blobs[p].Content) != want {
			t.Fatalf("%s: %+v, want %s", p, blobs[p], want)
		}
	}
}

// Two that push at once to one server: the second finds the branch locked.
func TestLockedBranchHasMoved(t *testing.T) {
	w := world.New(t)
	base := w.Commit(manifests, map[string]string{"a": "1"})
	m := mirror(t, w, w.Client())
	fetch(t, m)
	ids := commit(t, m, base, change("a", "2"))
	if err := os.WriteFile(filepath.Join(w.Repo(manifests).Dir, "refs", "heads", "master.lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Push(t.Context(), base, ids[0]); !errors.Is(err, gitcli.ErrBranchMoved) {
		t.Errorf("error %v", err)
	}
}

// Such a path is one tenant's; the series has others' changes too.
func TestPathsThatOtherSystemsTakeForGitDirectories(t *testing.T) {
	w := world.New(t)
	paths := []string{"git~1/x.yaml", ".git /x.yaml", ".git\u200c/x.yaml", "a.yaml"}
	files := map[string]string{}
	for _, path := range paths {
		files[path] = "1"
	}
	base := w.Commit(manifests, files)
	m := mirror(t, w, w.Client())
	fetch(t, m)
	var changes []gitcli.Change
	for _, path := range paths {
		changes = append(changes, change(path, "2"))
	}
	ids := commit(t, m, base, changes...)
	if err := m.Push(t.Context(), base, ids[len(ids)-1]); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if got := w.File(manifests, path); got != "2" {
			t.Errorf("%s is %q", path, got)
		}
	}
}

func TestCommitsAreOneEachAndKeepTheMode(t *testing.T) {
	w := world.New(t)
	repo := w.Repo(manifests)
	base, err := repo.CommitChanges("master", "Start", gitrepo.Change{Path: "a", Content: "1"}, gitrepo.Change{Path: "b", Mode: "100755", Content: "1"})
	if err != nil {
		t.Fatal(err)
	}
	m := mirror(t, w, w.Client())
	fetch(t, m)
	second := change("b", "two\r\nno newline at end")
	second.Files[0].Mode = "100755"
	ids := commit(t, m, base, change("a", ""), second)
	if err := m.Push(t.Context(), base, ids[1]); err != nil {
		t.Fatal(err)
	}
	log := w.Git(manifests, "log", "--format=%H|%an|%ae|%cn|%s", "master")
	want := ids[1] + "|GitOps Operator|gitops-operator@localhost|GitOps Operator|Change b\n" +
		ids[0] + "|GitOps Operator|gitops-operator@localhost|GitOps Operator|Change a\n" + base + "|A Developer|dev@localhost|A Developer|Start"
	if log != want {
		t.Errorf("log:\n%s\nwant:\n%s", log, want)
	}
	if tree := w.Git(manifests, "ls-tree", "master", "b"); !strings.HasPrefix(tree, "100755 ") {
		t.Errorf("mode lost: %s", tree)
	}
	if got := w.File(manifests, "b"); got != "two\r\nno newline at end" {
		t.Errorf("content: %q", got)
	}
	w.Git(manifests, "fsck", "--strict")
	if head := fetch(t, m); head != ids[1] {
		t.Errorf("the next fetch is at %s", head)
	}
}

func TestPushIsACompareAndSwap(t *testing.T) {
	w := world.New(t)
	base := w.Commit(manifests, map[string]string{"a": "1", "b": "1"})
	m := mirror(t, w, w.Client())
	fetch(t, m)
	mine := commit(t, m, base, change("a", "mine"))
	theirs := w.Commit(manifests, map[string]string{"b": "theirs"})

	err := m.Push(t.Context(), base, mine[0])
	if !errors.Is(err, gitcli.ErrBranchMoved) {
		t.Fatalf("got %v", err)
	}
	if head := w.Git(manifests, "rev-parse", "master"); head != theirs {
		t.Errorf("the branch is at %s, want their %s", head, theirs)
	}
}

func TestHookThatDeclinesIsNotRetried(t *testing.T) {
	w := world.New(t)
	base := w.Commit(manifests, map[string]string{"a": "1"})
	hook := filepath.Join(w.Repo(manifests).Dir, "hooks", "pre-receive")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho 'frozen until Monday' >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m := mirror(t, w, w.Client())
	fetch(t, m)
	err := m.Push(t.Context(), base, commit(t, m, base, change("a", "2"))[0])
	want := "push to " + w.Server.URL(manifests+".git") + " branch master: push declined by the server: [remote rejected] (pre-receive hook declined): frozen until Monday" +
		" (see the server's reason; a protected branch or a hook may refuse the operator's pushes)"
	if !errors.Is(err, gitcli.ErrDeclined) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if n := w.Server.Stats().ReceivePacks; n != 1 {
		t.Errorf("%d pushes were tried", n)
	}
}

// The report of a push may be lost while the push arrived, and others may have
// gone on from it, or have thrown it away, before that is looked up. What the
// mirror has by then does not matter.
func TestPushWhoseReportIsLostIsLookedUp(t *testing.T) {
	const onTop = "id=%[1]s; for i in $(seq %[2]d); do id=$(git commit-tree -p $id -m later %[1]s^{tree}); done; git update-ref refs/heads/master $id\n"
	for name, c := range map[string]struct {
		then string // run by the server when it has taken the push
		want string // part of the error
	}{
		"nothing else":                   {then: "true\n"},
		"a commit on top":                {then: fmt.Sprintf(onTop, "$new", 1)},
		"a hundred commits on top":       {then: fmt.Sprintf(onTop, "$new", 100)},
		"a merge of it":                  {then: "git update-ref refs/heads/master $(git commit-tree -p $old -p $new -m merge $new^{tree})\n"},
		"hundreds of commits on top":     {then: fmt.Sprintf(onTop, "$new", 220), want: "whether the push arrived is unknown: look up push: branch master has moved by more than 200 commits"},
		"another commit in its place":    {then: fmt.Sprintf(onTop, "$old", 1), want: "connection failed"},
		"a new history in its place":     {then: "git update-ref refs/heads/master $(git commit-tree -m new $new^{tree})\n", want: "connection failed"},
		"a merge of others in its place": {then: "git update-ref refs/heads/master $(git commit-tree -p $old -p $(git commit-tree -m new $old^{tree}) -m merge $new^{tree})\n", want: "connection failed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := world.New(t)
			base := w.Commit(manifests, map[string]string{"a": "1"})
			m := mirror(t, w, w.Client())
			fetch(t, m)
			mine := commit(t, m, base, change("a", "2"))
			hook := "#!/bin/sh\nread old new ref\nexport GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x\n" + c.then
			if err := os.WriteFile(filepath.Join(w.Repo(manifests).Dir, "hooks", "post-receive"), []byte(hook), 0o755); err != nil {
				t.Fatal(err)
			}
			w.Server.CutPushReply(true)
			err := m.Push(t.Context(), base, mine[0])
			switch unknown := strings.Contains(c.want, gitcli.ErrPushUnknown.Error()); {
			case c.want == "" && err != nil:
				t.Errorf("the push arrived, but: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, gitcli.ErrPushUnknown) != unknown):
				t.Errorf("got %v, want %s", err, c.want)
			}
			if c.want == "" {
				w.Git(manifests, "merge-base", "--is-ancestor", mine[0], "master")
			}
		})
	}
}

// A mirror that has been made anew since does not have what was pushed.
func TestPushIsLookedUpWithoutItsCommit(t *testing.T) {
	w := world.New(t)
	base := w.Commit(manifests, map[string]string{"a": "1"})
	cache := t.TempDir()
	m := mirror(t, w, w.Client(func(o *gitcli.Options) { o.CacheDir = cache }))
	fetch(t, m)
	mine := commit(t, m, base, change("a", "2"))
	dirs, _ := filepath.Glob(filepath.Join(cache, "0", "manifests-*"))
	hook := fmt.Sprintf("#!/bin/sh\nread old new ref\nrm -rf '%s'\ngit update-ref refs/heads/master $(GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x git commit-tree -p $new -m later $new^{tree})\n", dirs[0])
	if err := os.WriteFile(filepath.Join(w.Repo(manifests).Dir, "hooks", "post-receive"), []byte(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	w.Server.CutPushReply(true)
	if err := m.Push(t.Context(), base, mine[0]); err != nil {
		t.Errorf("the push arrived, but: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "0", "*")); len(left) != 0 {
		t.Errorf("the cache holds %v", left)
	}
}

func TestPushThatNeverArrivedFails(t *testing.T) {
	w := world.New(t)
	base := w.Commit(manifests, map[string]string{"a": "1"})
	client := w.Client(func(o *gitcli.Options) { o.Timeout = time.Second })
	m := mirror(t, w, client)
	fetch(t, m)
	mine := commit(t, m, base, change("a", "2"))
	w.Server.Stall("", true)
	err := m.Push(t.Context(), base, mine[0])
	if !errors.Is(err, gitcli.ErrTimeout) || !strings.Contains(err.Error(), "whether the push arrived is unknown") {
		t.Fatalf("got %v", err)
	}
	if head := w.Git(manifests, "rev-parse", "master"); head != base {
		t.Errorf("the branch is at %s", head)
	}
}
