package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cloner does what other tools do, for one Deployment at a time: it clones its
// app repository for the head, has a clone of the manifests repository with a
// work tree, edits, commits and pushes. Each command makes its own connection.
// The clones are one commit deep, which is the cheaper way.
type cloner struct {
	*scene
	name string // of its manifests repository
	work string // its clone
}

func (s *scene) newCloner(name string) *cloner {
	return &cloner{scene: s, name: name, work: filepath.Join(s.dir, "work-"+name)}
}

func (c *cloner) git(ctx context.Context, dir string, args ...string) (string, error) {
	ssh := fmt.Sprintf("ssh -F none -i %s -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o PreferredAuthentications=publickey -o StrictHostKeyChecking=yes -o UserKnownHostsFile=%s -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no", c.keyFile, c.hostsFile)
	out, err := run(ctx, dir, []string{"GIT_SSH_VARIANT=ssh", "GIT_SSH_COMMAND=" + ssh}, nil, append([]string{"-c", "gc.auto=0"}, args...)...)
	return strings.TrimSpace(string(out)), err
}

// one brings one Deployment up to date. Cold, the manifests are cloned anew;
// warm, the clone of the last time is fetched and reset.
func (c *cloner) one(ctx context.Context, deployment int, cold bool) error {
	app := filepath.Join(c.dir, "app-"+c.name)
	defer os.RemoveAll(app)
	if _, err := c.git(ctx, c.dir, "clone", "-q", "--depth", "1", "--branch", branch, appURL(c.stage, deployment), app); err != nil {
		return err
	}
	tag, err := c.git(ctx, app, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	if cold {
		_, err = c.git(ctx, c.dir, "clone", "-q", "--depth", "1", "--branch", branch, c.server.url(c.name), c.work)
	} else if _, err = c.git(ctx, c.work, "fetch", "-q", "origin", branch); err == nil {
		_, err = c.git(ctx, c.work, "reset", "-q", "--hard", "FETCH_HEAD")
	}
	if err != nil {
		return err
	}
	path := filepath.Join(c.work, manifestPath(deployment))
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	image := imageName(deployment) + ":"
	start := strings.Index(string(content), image) + len(image)
	if string(content[start:start+40]) == tag {
		return nil
	}
	edited := string(content[:start]) + tag + string(content[start+40:])
	if err := os.WriteFile(path, []byte(edited), 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"add", manifestPath(deployment)},
		{"commit", "-q", "-m", "Update " + appName(deployment) + " to " + tag},
		{"push", "-q", "origin", branch},
	} {
		if _, err := c.git(ctx, c.work, args...); err != nil {
			return err
		}
	}
	return nil
}

// cloneCosts are medians for one Deployment, by cold ("cold", "warm") and kind
// (noop, oneChange).
type cloneCosts map[[2]string]time.Duration

// scaled is what a pass over n Deployments would take.
func (c cloneCosts) scaled(n int, cache, kind string) time.Duration {
	idle, busy := c[[2]string{cache, noop}], c[[2]string{cache, oneChange}]
	switch kind {
	case oneChange:
		return time.Duration(n-1)*idle + busy
	case allChange:
		return time.Duration(n) * busy
	}
	return time.Duration(n) * idle
}

// measureClones measures the method on a few Deployments, and verifies what it
// wrote.
func measureClones(ctx context.Context, st *stage, size repoSize, count int) (cloneCosts, error) {
	const name = "clones"
	s := st.newScene(size, count)
	if err := s.reset(ctx, name); err != nil {
		return nil, err
	}
	c := s.newCloner(name)
	defer os.RemoveAll(c.work)
	costs := cloneCosts{}
	for _, cache := range []string{"cold", "warm"} {
		for _, kind := range []string{noop, allChange} {
			before, err := s.repo(name).Head(branch)
			if err != nil {
				return nil, err
			}
			changed, err := s.change(kind)
			if err != nil {
				return nil, err
			}
			var took []time.Duration
			for _, d := range s.deployments {
				if cache == "cold" { // to tidy up is not counted
					if err := os.RemoveAll(c.work); err != nil {
						return nil, err
					}
				}
				begin := time.Now()
				if err := c.one(ctx, d, cache == "cold"); err != nil {
					return nil, fmt.Errorf("clone method: %w", err)
				}
				took = append(took, time.Since(begin))
			}
			if err := s.verify(ctx, name, before, changed); err != nil {
				return nil, err
			}
			as := noop
			if kind == allChange {
				as = oneChange
			}
			costs[[2]string{cache, as}] = median(took)
		}
	}
	return costs, nil
}
