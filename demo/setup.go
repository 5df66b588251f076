package demo

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/gitserver"
)

// setUp makes the repositories, the SSH server, and the folder that stands for
// a cluster.
func (d *demo) setUp() error {
	root := filepath.Join(d.dir, "git")
	repos := map[string]*gitrepo.Repo{"blog": &d.blog, "api": &d.api, "manifests": &d.manifests}
	for name, repo := range repos {
		var err error
		if *repo, err = gitrepo.Init(filepath.Join(root, "kainlite", name+".git"), "master"); err != nil {
			return err
		}
	}
	manifests := map[string]string{}
	for _, app := range []struct {
		name string
		repo gitrepo.Repo
	}{{"blog", d.blog}, {"api", d.api}} {
		first, err := app.repo.Commit("master", "Start", map[string]string{"main.go": "package main // " + app.name + "\n"})
		if err != nil {
			return err
		}
		if _, err := app.repo.Commit("master", "Go on", map[string]string{"main.go": "package main // " + app.name + ", v2\n"}); err != nil {
			return err
		}
		manifests["apps/"+app.name+".yaml"] = manifest(app.name, first)
	}
	if _, err := d.manifests.Commit("master", "Deploy blog and api", manifests); err != nil {
		return err
	}

	private, public, err := gitserver.NewKey()
	if err != nil {
		return err
	}
	if d.server, err = gitserver.Start(gitserver.Options{Root: root}); err != nil {
		return err
	}
	d.server.Authorize(public)

	cluster := filepath.Join(d.dir, "cluster")
	if err := os.Mkdir(cluster, 0o700); err != nil {
		return err
	}
	files := map[string]string{
		"blog.yaml":    d.deployment("blog"),
		"api.yaml":     d.deployment("api"),
		"ssh-key.yaml": secret(private, d.server.KnownHosts()),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(cluster, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// manifest is what stands in the manifests repository, in the hand of somebody
// who wants it left as it is.
func manifest(app, tag string) string {
	return fmt.Sprintf(`# %[1]s: ask the web team before you change this
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: default}
spec:
  replicas: 2   # one per zone

  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - name: %[1]s
        image: "kainlite/%[1]s:%[2]s"  # moved by gitops-operator
        ports: [{containerPort: 8080}]
`, app, tag)
}

// deployment is what the cluster would hold.
func (d *demo) deployment(app string) string {
	annotations := fmt.Sprintf(`metadata:
  name: %[1]s
  namespace: default
  annotations:
    gitops.operator.enabled: "true"
    gitops.operator.app_repository: %[2]s
    gitops.operator.manifest_repository: %[3]s
    gitops.operator.deployment_path: apps/%[1]s.yaml
    gitops.operator.image_name: kainlite/%[1]s
    gitops.operator.ssh_key_name: ssh-key
    gitops.operator.ssh_key_namespace: gitops-operator
`, app, d.server.URL("kainlite/"+app+".git"), d.server.URL("kainlite/manifests.git"))
	return strings.Replace(manifest(app, "running"), fmt.Sprintf("metadata: {name: %s, namespace: default}\n", app), annotations, 1)
}

func secret(private, knownHosts []byte) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: ssh-key, namespace: gitops-operator}
data:
  ssh-privatekey: %s
  known_hosts: %s
`, base64.StdEncoding.EncodeToString(private), base64.StdEncoding.EncodeToString(knownHosts))
}
