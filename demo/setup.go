package demo

import (
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kainlite/gitops-operator/test/fakes"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/gitserver"
	"github.com/kainlite/gitops-operator/test/registryserver"
)

// setUp makes the repositories, the servers, and the folder that stands for a
// cluster.
func (d *demo) setUp() error {
	var err error
	if d.registry, err = registryserver.Start(registryserver.Options{}); err != nil {
		return err
	}
	if d.github, err = fakes.NewGitHub(); err != nil {
		return err
	}
	root := filepath.Join(d.dir, "git")
	repos := map[string]*gitrepo.Repo{"blog": &d.blog, "api": &d.api, "manifests": &d.manifests}
	for name, repo := range repos {
		if *repo, err = gitrepo.Init(filepath.Join(root, "kainlite", name+".git"), "master"); err != nil {
			return err
		}
	}
	manifests := map[string]string{}
	heads := map[string]string{}
	for name, repo := range map[string]gitrepo.Repo{"blog": d.blog, "api": d.api} {
		first, err := repo.Commit("master", "Start", map[string]string{"main.go": "package main // " + name + "\n"})
		if err != nil {
			return err
		}
		heads[name], err = repo.Commit("master", "Go on", map[string]string{"main.go": "package main // " + name + ", v2\n"})
		if err != nil {
			return err
		}
		manifests["apps/"+name+".yaml"] = manifest(name, d.image(name), first)
	}
	if err := d.registry.Push("kainlite/api", heads["api"]); err != nil {
		return err
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
		"blog.yaml": d.deployment("blog", ""),
		"api.yaml": d.deployment("api", fmt.Sprintf("    gitops.operator.registry_secret_url: http://%s\n    gitops.operator.github_token_secret_name: github\n",
			d.registry.Addr())),
		"secrets.yaml": secret("ssh-key", map[string][]byte{"ssh-privatekey": private, "known_hosts": d.server.KnownHosts()}) +
			"---\n" + secret("github", map[string][]byte{"github-token": []byte("demo")}),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(cluster, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// image is the name of an application's image. Only the api's are in a registry
// of their own, and checked.
func (d *demo) image(app string) string {
	if app == "api" {
		return d.registry.Addr() + "/kainlite/api"
	}
	return "kainlite/" + app
}

// manifest is what stands in the manifests repository, in the hand of somebody
// who wants it left as it is.
func manifest(app, image, tag string) string {
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
        image: "%[2]s:%[3]s"  # moved by gitops-operator
        ports: [{containerPort: 8080}]
`, app, image, tag)
}

// deployment is what the cluster would hold.
func (d *demo) deployment(app, more string) string {
	annotations := fmt.Sprintf(`metadata:
  name: %[1]s
  namespace: default
  annotations:
    gitops.operator.enabled: "true"
    gitops.operator.app_repository: %[2]s
    gitops.operator.manifest_repository: %[3]s
    gitops.operator.deployment_path: apps/%[1]s.yaml
    gitops.operator.image_name: %[4]s
    gitops.operator.ssh_key_name: ssh-key
    gitops.operator.ssh_key_namespace: gitops-operator
%[5]s`, app, d.server.URL("kainlite/"+app+".git"), d.server.URL("kainlite/manifests.git"), d.image(app), more)
	plain := manifest(app, d.image(app), "running")
	return strings.Replace(plain, fmt.Sprintf("metadata: {name: %s, namespace: default}\n", app), annotations, 1)
}

func secret(name string, data map[string][]byte) string {
	s := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: gitops-operator}\ndata:\n", name)
	for _, key := range slices.Sorted(maps.Keys(data)) {
		s += fmt.Sprintf("  %s: %s\n", key, base64.StdEncoding.EncodeToString(data[key]))
	}
	return s
}
