package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The kinds of change before a pass.
const (
	noop      = "noop"
	oneChange = "one"
	allChange = "all"
)

// scene is a number of Deployments on one manifests repository. Each contestant
// has a copy of that of its own, so that it never has to fetch what another
// one wrote; the app repositories are shared.
type scene struct {
	*stage
	size        repoSize
	deployments []int
	apps        []int
	heads       map[int]string // of the apps: the tags that are wanted
}

// newScene takes n Deployments, evenly spaced over the manifests repository.
func (st *stage) newScene(size repoSize, n int) *scene {
	s := &scene{stage: st, size: size}
	for i := range n {
		d := i * (size.files / 2) / n
		s.deployments = append(s.deployments, d)
		if !slices.Contains(s.apps, appOf(d)) {
			s.apps = append(s.apps, appOf(d))
		}
	}
	return s
}

// reset takes everything back to the beginning, where nothing is to be done.
func (s *scene) reset(ctx context.Context, contestants ...string) error {
	if err := s.resetApps(); err != nil {
		return fmt.Errorf("reset app repositories: %w", err)
	}
	s.heads = map[int]string{}
	for _, app := range s.apps {
		s.heads[app] = s.first[app]
	}
	for _, name := range contestants {
		if err := s.copyManifests(ctx, s.size, name); err != nil {
			return fmt.Errorf("copy manifests repository: %w", err)
		}
	}
	return nil
}

func (s *scene) cluster(contestant string) (string, error) {
	dir := filepath.Join(s.dir, "cluster", fmt.Sprintf("%s-%d-%s", s.size.name, len(s.deployments), contestant))
	var all []tracked
	for _, d := range s.deployments {
		all = append(all, tracked{d, contestant})
	}
	return dir, s.writeCluster(dir, all)
}

// change pushes to app repositories and returns the Deployments that are to
// change: none, the one whose app repository nobody shares, or all.
func (s *scene) change(kind string) ([]int, error) {
	switch kind {
	case oneChange:
		return s.deployments[:1], s.push(s.apps[:1], s.heads)
	case allChange:
		return s.deployments, s.push(s.apps, s.heads)
	}
	return nil, nil
}

func (s *scene) want(deployment int) string { return s.heads[appOf(deployment)] }

// verify looks at a manifests repository after a pass: exactly one commit for
// each Deployment that had to change, on top of what was there before, nothing
// but their files changed, and every manifest, changed or not, is byte for byte
// what it has to be.
func (s *scene) verify(ctx context.Context, contestant, before string, changed []int) error {
	repo := s.repo(contestant)
	for what, count := range map[string]struct {
		args []string
		want int
	}{
		"commits":               {[]string{"rev-list", "--count", before + ".." + branch}, len(changed)},
		"commits in a row":      {[]string{"rev-list", "--count", "--first-parent", before + ".." + branch}, len(changed)},
		"commits that are lost": {[]string{"rev-list", "--count", branch + ".." + before}, 0},
	} {
		out, err := repo.Git(count.args...)
		if err != nil {
			return fmt.Errorf("verify %s: %w", contestant, err)
		}
		if got, _ := strconv.Atoi(out); got != count.want {
			return fmt.Errorf("verify %s: %d %s, want %d", contestant, got, what, count.want)
		}
	}
	out, err := repo.Git("diff-tree", "-r", "--name-only", before, branch)
	if err != nil {
		return fmt.Errorf("verify %s: %w", contestant, err)
	}
	paths := make([]string, len(changed))
	for i, d := range changed {
		paths[i] = manifestPath(d)
	}
	slices.Sort(paths)
	if got := strings.Fields(out); !slices.Equal(got, paths) {
		return fmt.Errorf("verify %s: %d files changed, want just the manifests of %d Deployments", contestant, len(got), len(paths))
	}
	return s.verifyTags(ctx, contestant)
}

// verifyTags compares every manifest with what it has to be.
func (s *scene) verifyTags(ctx context.Context, contestant string) error {
	var ask, want bytes.Buffer
	for _, d := range s.deployments {
		fmt.Fprintf(&ask, "%s:%s\n", branch, manifestPath(d))
		content := manifest(d, s.want(d))
		fmt.Fprintf(&want, "%d\n%s\n", len(content), content)
	}
	got, err := run(ctx, s.repoDir(contestant), nil, &ask, "cat-file", "--batch=%(objectsize)")
	if err != nil {
		return fmt.Errorf("verify %s: %w", contestant, err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		return fmt.Errorf("verify %s: a manifest is not what it has to be", contestant)
	}
	return nil
}
