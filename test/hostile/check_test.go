package hostile

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/world"
)

// peakLimit is what the operator may take in the common pass, in MiB. Some of the
// Secrets, which are files here, have 10 MiB.
const peakLimit = 256

// only is for those who work on a case.
var only = flag.String("only", "", "run the cases with this `text` in their name")

// shared is the manifests repository of the cases that need none of their own.
const shared = "kainlite/manifests"

// TestHostileInput runs one pass with all cases at once, and checks what must
// hold for every one of them. The time-out is for the servers that never end.
func TestHostileInput(t *testing.T) {
	s := newStage(t)
	subjects, before := s.prepare(cases()), s.snapshot()
	s.start("--git-timeout", "10s", "--image-attempts", "0")
	var all []string
	for _, c := range subjects {
		all = append(all, c.id, "good-"+c.id)
	}
	results := s.pass(all...)
	t.Logf("%d cases; peak of the operator in the pass of %d Deployments: %d MiB", len(subjects), len(all), s.peak())
	if peak := s.peak(); peak > peakLimit {
		t.Errorf("the operator took %d MiB, more than %d", peak, peakLimit)
	}
	for _, c := range subjects {
		t.Run(c.name, func(t *testing.T) { s.check(t, c, results) })
	}
	s.checkAll(before)
}

// TestBombs gives each bomb a pass of its own, and looks at what it takes.
func TestBombs(t *testing.T) {
	s := newStage(t)
	subjects, before := s.prepare(slices.Concat(bombCases(), kindBombs())), s.snapshot()
	s.start()
	for _, c := range subjects {
		t.Run(c.name, func(t *testing.T) {
			s.resetPeak()
			results := s.pass(c.id, "good-"+c.id)
			t.Logf("peak of the operator: %d MiB", s.peak())
			if peak := s.peak(); peak > c.limit {
				t.Errorf("the operator took %d MiB, more than %d", peak, c.limit)
			}
			s.check(t, c, results)
		})
	}
	s.checkAll(before)
}

// checkAll looks at what the cases may have left together.
func (s *stage) checkAll(before map[string]entry) {
	t := s.t
	for _, path := range []string{"/status", "/debug", "/health", "/metrics"} {
		if bad := unprintable(strings.ReplaceAll(s.get(path), "\t", " ")); bad != "" {
			t.Errorf("%s answers %s", path, bad)
		}
	}
	s.stop()
	for i, text := range s.slack.Messages() {
		if bad := unprintable(text); bad != "" || strings.Contains(text, "<!channel>") {
			t.Errorf("message %d to the webhook: %s %.300q", i, bad, text)
		}
	}
	if bad := unprintable(s.log.String()); bad != "" {
		t.Errorf("the log has %s", bad)
	}
	s.checkFence(before)
	s.checkPrograms()
}

// prepare puts the cases on the stage.
func (s *stage) prepare(list []hostile) []subject {
	s.t.Helper()
	var files []gitrepo.Change
	var subjects []subject
	seen := map[string]bool{}
	for i, h := range list {
		if !strings.Contains(h.name, *only) {
			continue
		}
		if seen[h.name] {
			s.t.Fatalf("two cases are called %q", h.name)
		}
		seen[h.name] = true
		c := subject{hostile: h, id: fmt.Sprintf("c%03d", i), manifests: shared}
		c.canary = filepath.Join(s.fence, "canary", c.id)
		edit := maps.Clone(h.edit)
		if h.with != nil {
			if edit == nil {
				edit = map[string]string{}
			}
			maps.Copy(edit, h.with(s, c.id))
		}
		bad := good(c.id)
		if name := s.at[c.id]; name != "" {
			bad.Content = withImage(c.id, name)
		}
		if h.file != nil {
			bad.Mode, bad.Content = h.file.Mode, h.file.Content
		}
		own := []gitrepo.Change{bad, good("good-" + c.id)}
		if h.repo != nil || h.limit > 0 {
			c.manifests = "kainlite/" + c.id
			r := s.Repo(c.manifests)
			must1(s.t)(r.CommitChanges("master", "Start", own...))
			if h.repo != nil {
				h.repo(s, r, c.canary)
			}
		} else {
			files = append(files, own...)
		}
		for k, v := range edit {
			edit[k] = strings.NewReplacer("CANARY", c.canary, "MANIFESTS", s.Server.URL(c.manifests+".git"), "FILE", c.id).Replace(v)
		}
		s.cluster(c.id, deployment(c.id, s.annotations(c.manifests, c.id, edit), image+":"+old)+"---\n"+
			deployment("good-"+c.id, s.annotations(c.manifests, "good-"+c.id, nil), image+":"+old))
		subjects = append(subjects, c)
	}
	if files != nil {
		must1(s.t)(s.Repo(shared).CommitChanges("master", "Start", files...))
	}
	return subjects
}

func must1(t testing.TB) func(string, error) string {
	return func(v string, err error) string {
		t.Helper()
		return must(t, v, err)
	}
}

// check is what must hold for every case.
func (s *stage) check(t *testing.T, c subject, results map[string]reconcile.Result) {
	bad, healthy := results[c.id], results["good-"+c.id]
	if healthy.Action != reconcile.ActionPatched {
		t.Errorf("the healthy Deployment: %+v", healthy)
	}
	r := s.Repo(c.manifests)
	if got, _ := r.Show("master", "good-"+c.id+".yaml"); got != world.Manifest("good-"+c.id, image+":"+s.head) {
		t.Errorf("the healthy Deployment's manifest is\n%.600s", got)
	}
	switch {
	case c.want == "" && bad.Action != reconcile.ActionPatched:
		t.Errorf("got %+v, want it patched", bad)
	case c.want != "" && (bad.Action != reconcile.ActionFailed || bad.Status != "failure"):
		t.Errorf("got %+v, want a failure", bad)
	case !strings.Contains(bad.Message, strings.ReplaceAll(c.want, "FILE", c.id)):
		t.Errorf("got message\n%.1000q\nwithout %q", bad.Message, c.want)
	}
	if bad := unprintable(bad.Message); bad != "" || strings.Contains(bad, "\n") {
		t.Errorf("the message has %s", bad)
	}
	if len(bad.Message) > maxMessage {
		t.Errorf("the message has %d bytes", len(bad.Message))
	}
	if _, err := os.Lstat(c.canary); err == nil {
		t.Error("something ran: there is a canary")
	}
	log, err := r.Git("log", "--format=%B", "refs/heads/master")
	if err != nil {
		t.Fatal(err)
	}
	if bad := unprintable(log); bad != "" {
		t.Errorf("a commit's message has %s", bad)
	}
}

// maxMessage bounds a result's message, in bytes.
const maxMessage = 3000

// entry is what a snapshot knows of a file.
type entry struct {
	mode fs.FileMode
	sum  [sha256.Size]byte
}

// snapshot returns everything inside the fence but the cache, and the
// operator's own repositories' hooks and configuration.
func (s *stage) snapshot() map[string]entry {
	s.t.Helper()
	all := map[string]entry{}
	s.must(filepath.WalkDir(s.fence, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == filepath.Join(s.fence, "cache") {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{mode: info.Mode()}
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			e.sum = sha256.Sum256(b)
		}
		all[path] = e
		return nil
	}))
	return all
}

// inMirror is what a mirror may hold.
var inMirror = regexp.MustCompile(`^(HEAD|config|description|packed-refs|shallow|FETCH_HEAD|logs/.*|branches|info|info/.*|objects/([0-9a-f]{2}/[0-9a-f]{38}|info/[\w-]+|pack/pack-[0-9a-f]{40}\.(pack|idx|rev|keep))|refs/(heads|remotes/origin)/.+|refs/gitops/.+)$`)

// checkFence compares what is inside the fence, and looks into the cache.
func (s *stage) checkFence(before map[string]entry) {
	s.t.Helper()
	after := s.snapshot()
	for path, e := range after {
		if was, ok := before[path]; !ok {
			s.t.Errorf("%s was made", path)
		} else if was != e {
			s.t.Errorf("%s was changed", path)
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			s.t.Errorf("%s was removed", path)
		}
	}
	cache := filepath.Join(s.fence, "cache")
	s.must(filepath.WalkDir(cache, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(cache, path)
		slot, rest, _ := strings.Cut(name, "/")
		_, file, inside := strings.Cut(rest, "/")
		switch {
		case !d.Type().IsRegular():
			s.t.Errorf("%s in the cache is not a regular file", name)
		case name == "0.lock":
		case slot != "0" || !inside || !inMirror.MatchString(file):
			s.t.Errorf("%s in the cache is no part of a mirror", name)
		case file == "config":
			b, err := os.ReadFile(path)
			s.must(err)
			config := string(b)
			for _, word := range []string{"filter", "fsmonitor", "sshcommand", "hookspath", "alternate", "include"} {
				if strings.Contains(strings.ToLower(config), word) {
					s.t.Errorf("%s in the cache has %s:\n%s", name, word, config)
				}
			}
		}
		return nil
	}))
}

// started are the commands that git may start: parts of itself, and ssh.
var started = []string{"clone", "fetch", "index-pack", "unpack-objects", "rev-list", "pack-objects", "send-pack", "ls-remote", "fetch-pack", "maintenance", "gc"}

// checkPrograms reads what git and ssh were called with, and what git started.
func (s *stage) checkPrograms() {
	s.t.Helper()
	records, err := filepath.Glob(filepath.Join(s.records, "*"))
	s.must(err)
	commands, children := map[string]int{}, map[string]int{}
	for _, file := range records {
		b, err := os.ReadFile(file)
		s.must(err)
		switch filepath.Ext(file) {
		case ".argv":
			for call := range strings.SplitSeq(strings.Trim(string(b), "\x00"), "\x00") {
				words := strings.Split(call, "\n")
				commands[filepath.Base(words[0])]++
				for _, w := range words {
					if w == "--" || w == "--end-of-options" {
						break // from here on, nothing is an option
					}
					if strings.HasPrefix(w, "--upload-pack") || strings.HasPrefix(w, "-oProxyCommand") || strings.HasPrefix(w, "ext::") {
						s.t.Errorf("%s was called with %q", words[0], words)
					}
				}
			}
		case ".trace":
			for line := range strings.Lines(string(b)) {
				var event struct {
					Event string
					Class string `json:"child_class"`
					Hook  string `json:"hook_name"`
					Argv  []string
				}
				s.must(json.Unmarshal([]byte(line), &event))
				if event.Event != "child_start" {
					continue
				}
				program, ssh := "", event.Class == "transport/ssh" && strings.Contains(event.Argv[0], filepath.Join(s.fence, "path", "ssh"))
				if i := slices.IndexFunc(event.Argv, func(a string) bool { return slices.Contains(started, a) }); event.Argv[0] == "git" && i > 0 {
					program = event.Argv[i]
				}
				children[event.Class+" "+program]++
				if event.Hook != "" || !ssh && program == "" {
					s.t.Errorf("git started %q", event.Argv)
				}
			}
		}
	}
	s.t.Logf("started by the operator: %v; by git: %v", commands, children)
	if commands["git"] == 0 || commands["ssh"] == 0 || len(children) == 0 {
		s.t.Error("nothing was recorded: the test is blind")
	}
}
