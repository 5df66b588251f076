package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/gitserver"
)

const (
	branch  = "master"
	appRepo = "apps/app%02d"
	// maxApps is how many app repositories there are. The first belongs to the
	// first Deployment alone: a commit there changes one Deployment.
	maxApps = 20
)

// repoSize is a kind of manifests repository. Half of its files are Deployments.
type repoSize struct {
	name           string
	files, commits int
}

var (
	small = repoSize{"small", 50, 10}
	large = repoSize{"large", 20_000, 2_000}
)

// stage is what all measurements share: the server, a key, the app
// repositories, and a manifests repository of each size to copy from.
type stage struct {
	dir       string
	root      string // of the repositories
	server    *server
	keyFile   string
	hostsFile string
	private   []byte
	first     [maxApps]string // the first commit of each app repository
}

func newStage(ctx context.Context, dir string, sizes ...repoSize) (*stage, error) {
	st := &stage{
		dir: dir, root: filepath.Join(dir, "git"),
		keyFile: filepath.Join(dir, "key"), hostsFile: filepath.Join(dir, "known_hosts"),
	}
	if err := os.MkdirAll(st.root, 0o755); err != nil {
		return nil, err
	}
	for i := range maxApps {
		repo, err := gitrepo.Init(st.repoDir(fmt.Sprintf(appRepo, i)), branch)
		if err != nil {
			return nil, err
		}
		if st.first[i], err = repo.Commit(branch, "Start", map[string]string{"main.go": fmt.Sprintf("package main // %d\n", i)}); err != nil {
			return nil, err
		}
	}
	for _, size := range sizes {
		if err := st.makeManifests(ctx, size); err != nil {
			return nil, fmt.Errorf("make %s manifests repository: %w", size.name, err)
		}
	}
	private, public, err := gitserver.NewKey()
	if err != nil {
		return nil, err
	}
	st.private = private
	if st.server, err = startServer(st.root, string(ssh.MarshalAuthorizedKey(public))); err != nil {
		return nil, err
	}
	return st, errors.Join(os.WriteFile(st.keyFile, private, 0o600), os.WriteFile(st.hostsFile, st.server.KnownHosts, 0o600))
}

func (st *stage) close() {
	if st.server != nil {
		st.server.close()
	}
}

func (st *stage) repoDir(name string) string    { return filepath.Join(st.root, name+".git") }
func (st *stage) repo(name string) gitrepo.Repo { return gitrepo.Repo{Dir: st.repoDir(name)} }
func pristine(size repoSize) string             { return "pristine/" + size.name }
func appURL(st *stage, deployment int) string {
	return st.server.url(fmt.Sprintf(appRepo, appOf(deployment)))
}
func appName(deployment int) string      { return fmt.Sprintf("app-%05d", deployment) }
func imageName(deployment int) string    { return "example/" + appName(deployment) }
func manifestPath(deployment int) string { return folder(deployment) + "deployment.yaml" }
func folder(deployment int) string {
	return fmt.Sprintf("teams/team-%03d/%s/", deployment/100, appName(deployment))
}

// appOf is the app repository of a Deployment. 19 is prime, so that evenly
// spaced Deployments are spread evenly too.
func appOf(deployment int) int {
	if deployment == 0 {
		return 0
	}
	return 1 + deployment%(maxApps-1)
}

// makeManifests makes the repository that the contestants get copies of, in one
// git fast-import: all files in the first commit, one change in each further.
func (st *stage) makeManifests(ctx context.Context, size repoSize) error {
	repo, err := gitrepo.Init(st.repoDir(pristine(size)), branch)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	commit := func(n int, message string) {
		fmt.Fprintf(w, "commit refs/heads/%s\ncommitter A Developer <dev@localhost> %d +0000\ndata %d\n%s\n", branch, 1_700_000_000+60*n, len(message), message)
	}
	file := func(path, content string) {
		fmt.Fprintf(w, "M 100644 inline %s\ndata %d\n%s\n", path, len(content), content)
	}
	commit(0, "Start")
	deployments := size.files / 2
	for i := range deployments {
		file(manifestPath(i), manifest(i, st.first[appOf(i)]))
		file(folder(i)+"service.yaml", service(i, 0))
	}
	for n := 1; n < size.commits; n++ {
		i := n * 7919 % deployments
		commit(n, fmt.Sprintf("Change the service of %s", appName(i)))
		file(folder(i)+"service.yaml", service(i, n))
	}
	io.WriteString(w, "done\n")
	w.Flush()
	if _, err := run(ctx, repo.Dir, nil, &b, "fast-import", "--quiet", "--done", "--date-format=raw"); err != nil {
		return err
	}
	// As on a host that maintains its repositories.
	_, err = run(ctx, repo.Dir, nil, nil, "repack", "-adfqb")
	return err
}

// copyManifests makes a contestant's own manifests repository afresh.
func (st *stage) copyManifests(ctx context.Context, size repoSize, name string) error {
	if err := os.RemoveAll(st.repoDir(name)); err != nil {
		return err
	}
	if _, err := run(ctx, st.root, nil, nil, "clone", "-q", "--bare", "--local", "--template=", st.repoDir(pristine(size)), st.repoDir(name)); err != nil {
		return err
	}
	_, err := st.repo(name).Git("config", "uploadpack.allowFilter", "true") // as the public hosts have it
	return err
}

// resetApps takes the app repositories back to their first commits, which are
// the tags in the pristine manifests.
func (st *stage) resetApps() error {
	var each errgroup.Group
	each.SetLimit(4)
	for i := range maxApps {
		each.Go(func() error {
			_, err := st.repo(fmt.Sprintf(appRepo, i)).Git("update-ref", "refs/heads/"+branch, st.first[i])
			return err
		})
	}
	return each.Wait()
}

// push makes a commit in app repositories, as their developers would.
func (st *stage) push(apps []int, heads map[int]string) error {
	made := make([]string, len(apps))
	var each errgroup.Group
	each.SetLimit(4)
	for k, app := range apps {
		each.Go(func() (err error) {
			made[k], err = st.repo(fmt.Sprintf(appRepo, app)).Commit(branch, "Go on", map[string]string{"main.go": "package main // " + time.Now().String() + "\n"})
			return err
		})
	}
	err := each.Wait()
	for k, app := range apps {
		heads[app] = made[k]
	}
	return err
}

// run runs git in a folder and returns its standard output.
func run(ctx context.Context, dir string, env []string, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0", "GIT_AUTHOR_NAME=GitOps Operator", "GIT_AUTHOR_EMAIL=gitops-operator@localhost",
		"GIT_COMMITTER_NAME=GitOps Operator", "GIT_COMMITTER_EMAIL=gitops-operator@localhost",
	}, env...)
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = stdin, &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}
