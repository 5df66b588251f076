package k8s

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const keyYAML = `apiVersion: v1
kind: Secret
metadata: {name: key, namespace: ops}
stringData: {ssh-privatekey: %s}
`

// folder writes files, given as name and content in turn, into a new folder.
func folder(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		write(t, filepath.Join(dir, files[i]), files[i+1])
	}
	return dir
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, path string, opt FileOptions) *Files {
	t.Helper()
	files, err := OpenFiles(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// list returns the snapshot in a line, and the error's text.
func list(t testing.TB, files *Files) (summary, fault string) {
	t.Helper()
	snapshot, err := files.Deployments(t.Context())
	if err != nil {
		fault = err.Error()
	}
	m := manifests{targets: snapshot.Targets, untracked: snapshot.Untracked}
	return m.summary(), fault
}

func wantList(t testing.TB, files *Files, summary, fault string) {
	t.Helper()
	gotSummary, gotFault := list(t, files)
	if gotSummary != summary {
		t.Errorf("listed %q\nwant   %q", gotSummary, summary)
	}
	if gotFault != fault {
		t.Errorf("error %q\nwant  %q", gotFault, fault)
	}
}

func TestFolderIsReadWithoutItsHiddenEntries(t *testing.T) {
	dir := folder(t,
		"b.yml", blogYAML("web", "b", "1")+"---\n"+blogYAML("app", "z", "1"),
		"sub/deep/a.yaml", blogYAML("web", "a", "2"),
		"folder.yaml/c.yaml", blogYAML("web", "c", "3"),
		"elsewhere.txt", blogYAML("web", "linked", "4"),
		"half.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: half, annotations: {gitops.operator.enabled: x}}\n",
		"zz.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: half, namespace: app, annotations: {gitops.operator.x: x}}\n",
		"notes.yaml.bak", "[",
		"notes.txt", "[",
		".git/x.yaml", "[",
		".hidden.yaml", "[",
		"..2024/x.yaml", "[",
	)
	link(t, "elsewhere.txt", filepath.Join(dir, "linked.yaml"))
	link(t, "sub", filepath.Join(dir, "loop"))
	link(t, "nowhere", filepath.Join(dir, ".#lock.yaml"))
	link(t, dir, filepath.Join(dir, "sub", "up"))

	const want = "app/z=kainlite/blog:1 web/a=kainlite/blog:2 web/b=kainlite/blog:1 web/c=kainlite/blog:3 web/linked=kainlite/blog:4 app/half! default/half!"
	files := open(t, dir, FileOptions{})
	wantList(t, files, want, "")
	if !files.Ready() {
		t.Error("not ready")
	}

	hidden := filepath.Join(t.TempDir(), ".link")
	link(t, dir, hidden)
	wantList(t, open(t, hidden, FileOptions{}), want, "")
}

func TestSingleFileMayHaveAnyName(t *testing.T) {
	dir := folder(t, ".blog", blogYAML("web", "blog", "1"), "other.yaml", "[")
	wantList(t, open(t, filepath.Join(dir, ".blog"), FileOptions{}), "web/blog=kainlite/blog:1", "")
}

func TestNamespacesAndSelectorLimitTheList(t *testing.T) {
	path := filepath.Join(folder(t, "all.yaml", strings.Join([]string{
		blogYAML("a", "one", "1"), blogYAML("a", "two", "1"), blogYAML("b", "one", "1"), blogYAML("c", "one", "1"),
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: half, namespace: c, annotations: {gitops.operator.enabled: x}}\n",
		strings.Replace(blogYAML("d", "four", "1"), "  namespace: d\n", "", 1),
	}, "---\n")), "all.yaml")
	tests := []struct {
		opt  FileOptions
		want string
	}{
		{FileOptions{Namespaces: []string{"a"}}, "a/one=kainlite/blog:1 a/two=kainlite/blog:1"},
		{FileOptions{Namespaces: []string{"c", "b"}}, "b/one=kainlite/blog:1 c/one=kainlite/blog:1 c/half!"},
		{FileOptions{Namespaces: []string{"default"}}, "default/four=kainlite/blog:1"},
		{FileOptions{Selector: "app in (two, four)"}, "a/two=kainlite/blog:1 default/four=kainlite/blog:1"},
		{FileOptions{Selector: "!app"}, "c/half!"},
		{FileOptions{Selector: "app=one", Namespaces: []string{"a"}}, "a/one=kainlite/blog:1"},
		{FileOptions{Namespaces: []string{"x"}}, ""},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.opt), func(t *testing.T) {
			wantList(t, open(t, path, test.opt), test.want, "")
		})
	}
}

func TestFilesThatCannotBeOpenedAreRefused(t *testing.T) {
	dir := folder(t,
		"bad/x.yaml", "a: [\n",
		"bad/y.yaml", "kind: Secret\napiVersion: v1\n",
		"twice/x.yaml", blogYAML("web", "blog", "1"),
		"twice/y.yaml", blogYAML("web", "blog", "2"),
		"same.yaml", fmt.Sprintf(keyYAML, "a")+"---\n"+fmt.Sprintf(keyYAML, "b"),
		"big.yaml", "",
		"good.yaml", "",
	)
	if err := os.Truncate(filepath.Join(dir, "big.yaml"), 64<<20+1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	link(t, "nowhere", filepath.Join(dir, "dangling"))
	tests := []struct {
		path, selector string
		want           string
	}{
		{"missing", "", "stat DIR/missing: no such file or directory"},
		{"dangling", "", "stat DIR/dangling: no such file or directory"},
		{"pipe", "", "read DIR/pipe: not a regular file"},
		{"big.yaml", "", "read DIR/big.yaml: larger than 64 MiB"},
		{
			"bad", "", "parse DIR/bad/x.yaml: document 1, line 1: not valid YAML: did not find expected node content\n" +
				"parse DIR/bad/y.yaml: document 1, line 1: secret without a name",
		},
		{"twice", "", "read DIR/twice/y.yaml: deployment web/blog is already defined in DIR/twice/x.yaml"},
		{"same.yaml", "", "read DIR/same.yaml: secret ops/key is already defined in DIR/same.yaml"},
		{"good.yaml", "a in b", `parse selector "a in b": unable to parse requirement: found 'b' expected: '('`},
	}
	for _, test := range tests {
		t.Run(test.path, func(t *testing.T) {
			files, err := OpenFiles(filepath.Join(dir, test.path), FileOptions{Selector: test.selector})
			if err == nil {
				t.Fatal("no error")
			}
			if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if files != nil {
				t.Error("error and files")
			}
		})
	}
}

func TestADeploymentOutsideTheLimitsIsNotADuplicate(t *testing.T) {
	plain := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: blog, namespace: web}\n"
	dir := folder(t, "base.yaml", blogYAML("web", "blog", "1"), "patch.yaml", plain)
	wantList(t, open(t, dir, FileOptions{}), "web/blog=kainlite/blog:1", "")
}

func TestChangesAreFollowed(t *testing.T) {
	dir := folder(t, "a.yaml", blogYAML("web", "a", "1"))
	files := open(t, dir, FileOptions{})
	wantList(t, files, "web/a=kainlite/blog:1", "")

	// The same size and, but for luck, the same time.
	write(t, filepath.Join(dir, "a.yaml"), blogYAML("web", "a", "2"))
	wantList(t, files, "web/a=kainlite/blog:2", "")

	write(t, filepath.Join(dir, "sub/b.yaml"), blogYAML("web", "b", "1"))
	wantList(t, files, "web/a=kainlite/blog:2 web/b=kainlite/blog:1", "")

	if err := os.Rename(filepath.Join(dir, "a.yaml"), filepath.Join(dir, "c.yaml")); err != nil {
		t.Fatal(err)
	}
	wantList(t, files, "web/a=kainlite/blog:2 web/b=kainlite/blog:1", "")

	if err := os.Remove(filepath.Join(dir, "c.yaml")); err != nil {
		t.Fatal(err)
	}
	wantList(t, files, "web/b=kainlite/blog:1", "")
}

func TestTheSameSizeAndTimeIsNoticedWhileFresh(t *testing.T) {
	path := filepath.Join(folder(t, "a.yaml", blogYAML("web", "a", "1")), "a.yaml")
	fresh := time.Now().Add(time.Hour) // and for as long as the test may take
	setTime(t, path, fresh)
	files := open(t, path, FileOptions{})
	write(t, path, blogYAML("web", "a", "2"))
	setTime(t, path, fresh)
	wantList(t, files, "web/a=kainlite/blog:2", "")
}

func TestUnchangedFilesAreNotReadAgain(t *testing.T) {
	path := filepath.Join(folder(t, "a.yaml", blogYAML("web", "a", "1")), "a.yaml")
	old := time.Now().Add(-time.Hour)
	setTime(t, path, old)
	files := open(t, path, FileOptions{})

	// Size and time pretend that nothing has happened.
	write(t, path, blogYAML("web", "a", "2"))
	setTime(t, path, old)
	wantList(t, files, "web/a=kainlite/blog:1", "")

	setTime(t, path, old.Add(time.Second))
	wantList(t, files, "web/a=kainlite/blog:2", "")
}

func setTime(t testing.TB, path string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestMountedConfigMapIsFollowed(t *testing.T) {
	dir := folder(t, "..1/a.yaml", blogYAML("web", "a", "1"), "..2/a.yaml", blogYAML("web", "a", "2"))
	for _, version := range []string{"..1", "..2"} {
		setTime(t, filepath.Join(dir, version, "a.yaml"), time.Now().Add(-time.Hour))
	}
	setTime(t, filepath.Join(dir, "..1/a.yaml"), time.Now().Add(-2*time.Hour))
	link(t, "..1", filepath.Join(dir, "..data"))
	link(t, "..data/a.yaml", filepath.Join(dir, "a.yaml"))
	files := open(t, dir, FileOptions{})
	wantList(t, files, "web/a=kainlite/blog:1", "")

	link(t, "..2", filepath.Join(dir, "..data_tmp"))
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	wantList(t, files, "web/a=kainlite/blog:2", "")
}

func TestTheLastGoodContentOutlivesAFault(t *testing.T) {
	dir := folder(t, "a.yaml", blogYAML("web", "a", "1"), "b.yaml", blogYAML("web", "b", "1"))
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	files := open(t, dir, FileOptions{})

	write(t, a, "kind: Deployment\nmetadata: [\n")
	write(t, b, blogYAML("web", "b", "2"))
	fault := "parse " + a + ": document 1, line 2: not valid YAML: did not find expected node content"
	for range 2 { // the fault stays until it is mended
		wantList(t, files, "web/a=kainlite/blog:1 web/b=kainlite/blog:2", fault)
	}
	setTime(t, a, time.Now().Add(-time.Hour))
	for range 2 {
		wantList(t, files, "web/a=kainlite/blog:1 web/b=kainlite/blog:2", fault)
	}

	write(t, a, blogYAML("web", "a", "3"))
	wantList(t, files, "web/a=kainlite/blog:3 web/b=kainlite/blog:2", "")

	// Two files that contradict each other: nothing new at all.
	write(t, a, blogYAML("web", "a", "4"))
	write(t, b, blogYAML("web", "a", "5"))
	wantList(t, files, "web/a=kainlite/blog:3 web/b=kainlite/blog:2",
		"read "+b+": deployment web/a is already defined in "+a)

	write(t, b, blogYAML("web", "b", "5"))
	wantList(t, files, "web/a=kainlite/blog:4 web/b=kainlite/blog:5", "")

	// A file that is there but cannot be read, then the whole folder.
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	link(t, "nowhere", a)
	wantList(t, files, "web/a=kainlite/blog:4 web/b=kainlite/blog:5", "stat "+a+": no such file or directory")
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	wantList(t, files, "web/a=kainlite/blog:4 web/b=kainlite/blog:5", "stat "+dir+": no such file or directory")
	if err := os.Rename(dir+".gone", dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	wantList(t, files, "web/b=kainlite/blog:5", "")
}

func TestACanceledCallStillGetsTheLastSnapshot(t *testing.T) {
	files := open(t, folder(t, "a.yaml", blogYAML("web", "a", "1")), FileOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	snapshot, err := files.Deployments(ctx)
	if !errors.Is(err, context.Canceled) || len(snapshot.Targets) != 1 {
		t.Errorf("got %v, %+v", err, snapshot)
	}
}

func TestSecretIsTheCurrentOne(t *testing.T) {
	dir := folder(t, "key.yaml", fmt.Sprintf(keyYAML, "one"), "a.yaml", "")
	key := filepath.Join(dir, "key.yaml")
	files := open(t, dir, FileOptions{Namespaces: []string{"web"}, Selector: "app=x"})
	wantSecret := func(want string) {
		t.Helper()
		data, err := files.Secret(t.Context(), "ops", "key")
		if err != nil || string(data["ssh-privatekey"]) != want {
			t.Fatalf("got %q, %v; want %q", data, err, want)
		}
		clear(data["ssh-privatekey"]) // must not reach the next caller
		delete(data, "ssh-privatekey")
	}
	wantSecret("one")
	wantSecret("one")
	write(t, key, fmt.Sprintf(keyYAML, "two"))
	wantSecret("two")
	write(t, key, fmt.Sprintf(keyYAML, "["))
	wantSecret("two")
}

func TestMissingSecretIsTold(t *testing.T) {
	dir := folder(t, "key.yaml", fmt.Sprintf(keyYAML, "one"))
	files := open(t, dir, FileOptions{})
	check := func(want string) {
		t.Helper()
		data, err := files.Secret(t.Context(), "web", "key")
		if !errors.Is(err, ErrSecretNotFound) {
			t.Fatalf("got %q, %v", data, err)
		}
		if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	check("secret web/key not found")
	write(t, filepath.Join(dir, "web.yaml"), "kind: Secret\n[")
	check("secret web/key not found: parse DIR/web.yaml: document 1, line 3: not valid YAML: could not find expected ':'")
}

func TestFilesMayBeUsedByManyAtOnce(t *testing.T) {
	dir := folder(t, "a.yaml", blogYAML("web", "a", "0"), "key.yaml", fmt.Sprintf(keyYAML, "one"))
	files := open(t, dir, FileOptions{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				snapshot, err := files.Deployments(t.Context())
				if err != nil || len(snapshot.Targets) != 1 {
					t.Errorf("got %+v, %v", snapshot, err)
				}
				if _, err := files.Secret(t.Context(), "ops", "key"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 50 {
		next := filepath.Join(dir, "next")
		write(t, next, blogYAML("web", "a", fmt.Sprint(i)))
		if err := os.Rename(next, filepath.Join(dir, "a.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	wantList(t, files, "web/a=kainlite/blog:49", "")
}

func many(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteString(blogYAML("web", fmt.Sprintf("app-%05d", i), "3c0a88249fb61a0a4f4a65295f42b2dee3963c28") + "---\n")
	}
	return text.String()
}

func BenchmarkLoad1000(b *testing.B) {
	path := filepath.Join(folder(b, "all.yaml", many(1000)), "all.yaml")
	b.ReportAllocs()
	for b.Loop() {
		open(b, path, FileOptions{})
	}
}

func BenchmarkListUnchanged1000(b *testing.B) {
	for _, inFiles := range []bool{false, true} {
		dir := b.TempDir()
		if inFiles {
			for i := range 1000 {
				path := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
				write(b, path, blogYAML("web", fmt.Sprintf("app-%05d", i), "1"))
				setTime(b, path, time.Now().Add(-time.Hour))
			}
		} else {
			path := filepath.Join(dir, "all.yaml")
			write(b, path, many(1000))
			setTime(b, path, time.Now().Add(-time.Hour))
		}
		files := open(b, dir, FileOptions{})
		b.Run(fmt.Sprintf("one file each %v", inFiles), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := files.Deployments(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
