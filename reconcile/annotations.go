package reconcile

import (
	"context"
	"fmt"

	"github.com/kainlite/gitops-operator/internal/repository"
)

// check ends the deployments whose annotations cannot be followed.
func (g *group) check() {
	for _, d := range g.deployments {
		err := d.target.Invalid()
		if err != nil {
			err = because(reasonAnnotations, err)
		} else if err = g.allowed(d.target); err != nil {
			err = because(reasonSecret, fmt.Errorf("read SSH key: %w", err))
		}
		if err != nil {
			g.fail(d, err)
		}
	}
}

// repository returns the manifests repository and branch of the group. Of several
// spellings of the URL it takes the one that most have, so that one Deployment's
// slip is least likely to be everybody's trouble.
func (g *group) repository() (repository.URL, string) {
	var most repository.URL
	count := map[repository.URL]int{}
	open := g.open()
	for _, d := range open {
		u := d.target.Spec.Manifests
		if count[u]++; count[u] > count[most] {
			most = u
		}
	}
	return most, open[0].target.Spec.ManifestBranch
}

// identify reads the group's SSH key.
func (g *group) identify(ctx context.Context) (err error) {
	t := g.open()[0].target
	defer func() {
		if err != nil {
			err = because(reasonSecret, err)
		}
	}()
	g.identities.own = t.Spec.SSHKey()
	g.identity, err = g.acquire(ctx, g.identities.own, secretAnnotation(t)) // check has asked the policy for each
	return err
}
