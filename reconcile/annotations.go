package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/mask"
	"github.com/kainlite/gitops-operator/patcher"
)

// reading is what the annotations of a Deployment say, for as long as they stay
// as they are.
type reading struct {
	of             annotations
	manifests, app gitcli.Remote
	path           string // in the manifests repository, canonical
	image          patcher.Name
	used           time.Time
}

// annotations are those that a reading is of.
type annotations struct {
	manifests, app, branch, path, image, registry string
	anyRegistry                                   bool
}

// check parses the annotations. What is wrong with one Deployment ends that one.
func (g *group) check() {
	for _, d := range g.deployments {
		if err := g.parse(d); err != nil {
			if _, known := errors.AsType[*reasoned](err); !known {
				err = because(reasonAnnotations, err)
			}
			g.fail(d, err)
		}
	}
}

func (g *group) parse(d *deployment) error {
	c := d.target.Config
	if err := d.target.Invalid(); err != nil {
		return err
	}
	of := annotations{manifests: c.ManifestRepository, app: c.AppRepository, branch: c.ObserveBranch, path: c.DeploymentPath, image: c.ImageName, anyRegistry: c.RegistryURL == nil}
	if c.RegistryURL != nil {
		of.registry = *c.RegistryURL
	}
	d.reading = g.memory.readings[d.target.Key()]
	if d.reading == nil || d.reading.of != of {
		var err error
		if d.reading, err = of.read(); err != nil {
			return err
		}
		g.memory.readings[d.target.Key()] = d.reading
	}
	d.reading.used = g.began
	g.manifests, g.branch = d.reading.manifests, of.branch
	if err := g.Policy.Allow(d.target.Namespace, c.SSHKey()); err != nil {
		return because(reasonSecret, fmt.Errorf("read SSH key: %w", err))
	}
	return nil
}

// read parses the annotations.
func (a annotations) read() (*reading, error) {
	r := &reading{of: a}
	var err error
	if r.manifests, err = gitcli.ParseRemote(a.manifests); err != nil {
		return nil, fmt.Errorf("gitops.operator.manifest_repository: %w", err)
	}
	if r.app, err = gitcli.ParseRemote(a.app); err != nil {
		return nil, fmt.Errorf("gitops.operator.app_repository: %w", err)
	}
	if r.app.Same(r.manifests) {
		return nil, fmt.Errorf("gitops.operator.app_repository and manifest_repository are both %s: each update would be a new commit that calls for another", r.app)
	}
	for name, value := range map[string]string{"observe_branch": a.branch, "deployment_path": a.path, "image_name": a.image} {
		if mask.Value(value) != value { // it would be part of messages
			return nil, fmt.Errorf("gitops.operator.%s looks as if it held a password or a token: remove it", name)
		}
	}
	if err = gitcli.CheckBranch(a.branch); err != nil {
		return nil, fmt.Errorf("gitops.operator.observe_branch: %w", err)
	}
	if r.path, err = gitcli.CheckPath(a.path); err != nil {
		return nil, fmt.Errorf("gitops.operator.deployment_path: %w", err)
	}
	if r.image, err = patcher.ParseName(a.image, a.anyRegistry); err != nil {
		return nil, fmt.Errorf("gitops.operator.image_name: %w", err)
	}
	if !a.anyRegistry {
		host, err := registryHost(a.registry)
		if err != nil {
			return nil, fmt.Errorf("gitops.operator.registry_secret_url: %w", err)
		}
		r.image = r.image.Or(host)
	}
	return r, nil
}

// identify reads the group's SSH key.
func (g *group) identify(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = because(reasonSecret, err)
		}
	}()
	ref := g.open()[0].target.Config.SSHKey() // parse has asked the policy for each
	secret, err := g.secret(ctx, ref)
	switch {
	case errors.Is(err, k8s.ErrSecretNotFound):
		return fmt.Errorf("read SSH key: %w: create it, or correct gitops.operator.ssh_key_name and ssh_key_namespace", err)
	case err != nil:
		return fmt.Errorf("read SSH key: %w", err)
	}
	private, ok := secret["ssh-privatekey"]
	if !ok {
		return fmt.Errorf("read SSH key: secret %s has no key ssh-privatekey: create it with kubectl create secret generic %s -n %s --from-file=ssh-privatekey=FILE", ref, ref.Name, ref.Namespace)
	}
	g.identity, err = g.Git.Acquire(gitcli.Key{Name: ref.String(), Private: private, KnownHosts: secret["known_hosts"]})
	if err != nil {
		return fmt.Errorf("use secret %s: %w", ref, err)
	}
	return nil
}
