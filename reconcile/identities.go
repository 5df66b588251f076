package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/internal/gitsecret"
	"github.com/kainlite/gitops-operator/k8s"
)

// identities are those that a group uses beside its own, until it ends: of
// Deployments with a Secret for the application's repository, and of guests.
type identities struct {
	own      k8s.SecretRef // of the group itself
	acquired memo[k8s.SecretRef, *gitcli.Identity]
	mu       sync.Mutex
	held     []*gitcli.Identity
}

func (is *identities) release() {
	is.mu.Lock()
	defer is.mu.Unlock()
	for _, id := range is.held {
		id.Release()
	}
	is.held = nil
}

// allowed says whether a Deployment may name the Secrets that it names for git.
func (g *group) allowed(t k8s.Target) error {
	for _, ref := range []k8s.SecretRef{t.Spec.SSHKey(), t.Spec.AppSecret()} {
		if err := g.Policy.Allow(t.Namespace, ref); err != nil {
			return err
		}
	}
	return nil
}

// appIdentity returns the identity with which a Deployment's application is read.
// It is the group's to release.
func (g *group) appIdentity(ctx context.Context, t k8s.Target) (*gitcli.Identity, error) {
	ref := t.Spec.AppSecret()
	if ref == g.identities.own {
		return g.identity, nil
	}
	annotation := secretAnnotation(t)
	if t.Spec.AppGitSecretName != nil {
		annotation = "app_git_secret"
	}
	return g.identities.acquired.get(ref, func() (*gitcli.Identity, error) {
		id, err := g.acquire(ctx, ref, annotation)
		if err != nil {
			return nil, because(reasonSecret, err)
		}
		g.identities.mu.Lock()
		defer g.identities.mu.Unlock()
		g.identities.held = append(g.identities.held, id)
		return id, nil
	})
}

// secretAnnotation begins the annotations that name a Deployment's Secret for
// git: they have two names.
func secretAnnotation(t k8s.Target) string {
	if _, is := t.Annotations[k8s.Prefix+"ssh_key_name"]; is {
		return "ssh_key"
	}
	return "git_secret"
}

// acquire makes the key of a Secret ready for use; annotation begins the names of
// the annotations that name it.
func (g *group) acquire(ctx context.Context, ref k8s.SecretRef, annotation string) (*gitcli.Identity, error) {
	data, err := g.secret(ctx, ref)
	switch {
	case errors.Is(err, k8s.ErrSecretNotFound):
		return nil, fmt.Errorf("read SSH key: %w: create it, or correct gitops.operator.%s_name and %s_namespace", err, annotation, annotation)
	case err != nil:
		return nil, fmt.Errorf("read SSH key: %w", err)
	}
	c, err := gitsecret.Parse(data)
	switch {
	case errors.Is(err, gitsecret.ErrNothing):
		return nil, fmt.Errorf("read SSH key: secret %s has no key ssh-privatekey: create it with kubectl create secret generic %s -n %s --from-file=ssh-privatekey=FILE", ref, ref.Name, ref.Namespace)
	case err != nil:
		return nil, fmt.Errorf("read SSH key: secret %s has %w", ref, err)
	case c.Kind != gitsecret.SSHKey:
		return nil, fmt.Errorf("read SSH key: secret %s has %s, and a repository that is reached over SSH needs an SSH key: name a Secret with one, in ssh-privatekey", ref, c.Kind)
	}
	id, err := g.Git.Acquire(gitcli.Key{Name: ref.String(), Private: c.Private, Passphrase: c.Passphrase, KnownHosts: c.KnownHosts})
	if err != nil {
		return nil, fmt.Errorf("use secret %s: %w", ref, err)
	}
	return id, nil
}
