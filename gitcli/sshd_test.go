package gitcli_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/gitserver"
	"github.com/kainlite/gitops-operator/test/sshd"
	"github.com/kainlite/gitops-operator/test/world"
)

// The system's own sshd: its limits, its messages, its way to end sessions.
func TestAgainstOpenSSH(t *testing.T) {
	for name, config := range map[string]string{
		"as installed":           "",
		"two sessions at once":   "MaxSessions 2",
		"one session":            "MaxSessions 1",
		"without GIT_PROTOCOL":   "AcceptEnv NOTHING",
		"few start-ups at once":  "MaxStartups 2:100:2",
		"a banner before log-in": "Banner /etc/hostname",
	} {
		t.Run(name, func(t *testing.T) {
			private, public, err := gitserver.NewKey()
			if err != nil {
				t.Fatal(err)
			}
			server := sshd.Start(t, public, config)
			root := t.TempDir()
			w := &world.World{T: t, Root: root}
			client := w.Client()
			id, err := client.Acquire(gitcli.Key{Name: "a/b", Private: private, KnownHosts: server.KnownHosts()})
			if err != nil {
				t.Fatal(err)
			}
			defer id.Release()
			remote := func(repo gitrepo.Repo) gitcli.Remote {
				r, err := gitcli.ParseRemote(server.URL(repo.Dir))
				if err != nil {
					t.Fatal(err)
				}
				return r
			}

			var wg sync.WaitGroup
			for i := range 20 {
				repo := fmt.Sprintf("app%d", i)
				want := w.App(repo)
				wg.Go(func() {
					if got, err := client.Head(t.Context(), remote(w.Repo(repo)), "master", id); err != nil || got != want {
						t.Errorf("%s: %s, %v; want %s", repo, got, err, want)
					}
				})
			}
			wg.Wait()

			base := w.Commit("manifests", map[string]string{"a": "1"})
			m := open(t, client, remote(w.Repo("manifests")), "master", id)
			if got := fetch(t, m); got != base {
				t.Errorf("clone: %s", got)
			}
			mine := commit(t, m, base, change("a", "2"), change("a", "3"))
			if err := m.Push(t.Context(), base, mine[1]); err != nil {
				t.Fatal(err)
			}
			if got := fetch(t, m); got != mine[1] {
				t.Errorf("fetch: %s, want %s", got, mine[1])
			}
			w.Commit("manifests", map[string]string{"b": "theirs"})
			if err := m.Push(t.Context(), mine[1], commit(t, m, mine[1], change("a", "4"))[0]); !errors.Is(err, gitcli.ErrBranchMoved) {
				t.Errorf("late push: %v", err)
			}
			if _, err := client.Head(t.Context(), remote(gitrepo.Repo{Dir: filepath.Join(root, "nope.git")}), "master", id); !errors.Is(err, gitcli.ErrRepositoryMissing) {
				t.Errorf("missing repository: %v", err)
			}
		})
	}
}

func TestOpenSSHRefusesKeysAndIsRefused(t *testing.T) {
	_, public, err := gitserver.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	stranger, _, err := gitserver.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	server := sshd.Start(t, public, "")
	w := &world.World{T: t, Root: t.TempDir()}
	w.App("app")
	r, err := gitcli.ParseRemote(server.URL(w.Repo("app").Dir))
	if err != nil {
		t.Fatal(err)
	}
	client := w.Client()
	for kind, hosts := range map[error][]byte{gitcli.ErrAuth: server.KnownHosts(), gitcli.ErrHostKey: nil} {
		id, err := client.Acquire(gitcli.Key{Name: "a/b", Private: stranger, KnownHosts: hosts})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Head(t.Context(), r, "master", id); !errors.Is(err, kind) {
			t.Errorf("got %v, want %v", err, kind)
		}
		id.Release()
	}
}
