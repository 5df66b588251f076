package targets

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/kustomize/v5/commands/edit"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/kainlite/gitops-operator/patcher"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: [{name: migrate, image: "acme/web:old"}]
      containers:
      - {name: web, image: acme/web}
      - {name: api, image: "acme/api:old"}
`

// kustomizations are files with an entry for acme/web.
var kustomizations = map[string]string{
	"a tag":               "images:\n- name: acme/web\n  newTag: v1\n",
	"a number":            "images:\n- name: acme/web\n  newTag: \"1.10\"\n",
	"no tag":              "images:\n- name: acme/web\n- name: acme/api\n  newTag: v3\n",
	"another name":        "images:\n- name: acme/web\n  newName: ghcr.io/acme/web\n  newTag: v1\n",
	"no tag, other name":  "images:\n  - name: acme/web # ours\n    newName: ghcr.io/acme/web # mirrored\n  # the other\n  - name: acme/api\n    newTag: v3\n",
	"flow style":          "images: [{name: acme/web}, {name: acme/api, newTag: v3}]\n",
	"an empty tag":        "images:\n- name: acme/web\n  newTag:\n",
	"CRLF":                "images:\r\n- name: acme/web\r\n",
	"a digest":            "images:\n- name: acme/web\n  digest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	"a tag and a digest":  "images:\n- name: acme/web\n  newTag: v1\n  digest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	"JSON":                "{\"images\": [{\"name\": \"acme/web\"}], ",
	"a component's order": "images:\n- newTag: v1\n  name: acme/web\n",
}

func stage(t *testing.T, kustomization string) filesys.FileSystem {
	t.Helper()
	if strings.HasPrefix(kustomization, "{") {
		kustomization += "\"resources\": [\"deployment.yaml\"]}\n"
	} else {
		kustomization = "resources: [deployment.yaml]\n" + kustomization
	}
	files := filesys.MakeFsInMemory()
	for name, text := range map[string]string{"kustomization.yaml": kustomization, "deployment.yaml": deployment} {
		if err := files.WriteFile(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func build(t *testing.T, files filesys.FileSystem) string {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, ".")
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// setImage is kustomize edit set image.
func setImage(t *testing.T, files filesys.FileSystem, image string) {
	t.Helper()
	resources := provider.NewDefaultDepProvider()
	var out bytes.Buffer
	cmd := edit.NewCmdEdit(files, resources.GetFieldValidator(), resources.GetResourceFactory(), &out)
	cmd.SetArgs([]string{"set", "image", image})
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	if err := cmd.Execute(); err != nil {
		t.Fatalf("kustomize edit set image %s: %v: %s", image, err, &out)
	}
}

// What kustomize builds after an edit is what it builds after its own.
func TestKustomizeBuildsWhatItsOwnEditWouldGive(t *testing.T) {
	name, err := patcher.ParseName("acme/web", false)
	if err != nil {
		t.Fatal(err)
	}
	for promise, text := range kustomizations {
		for _, v := range []patcher.Version{{Tag: "v2"}, {Tag: "7e12345"}, {Tag: "1234567"}, {Tag: "v2", Digest: digest}} {
			t.Run(promise+" "+v.String()[:2], func(t *testing.T) {
				files := stage(t, text)
				content, err := files.ReadFile("kustomization.yaml")
				if err != nil {
					t.Fatal(err)
				}
				f, err := patcher.ParseFile("kustomization.yaml", content)
				if err != nil {
					t.Fatal(err)
				}
				after, err := f.Edit(patcher.Request{Images: []patcher.Name{name}, Pin: v.Digest != ""}, v)
				if errors.Is(err, patcher.ErrDigest) && strings.Contains(text, "digest") && v.Digest == "" {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				ours := stage(t, text)
				if err := ours.WriteFile("kustomization.yaml", after); err != nil {
					t.Fatal(err)
				}
				pulled := "acme/web"
				if strings.Contains(text, "newName") {
					pulled = "ghcr.io/acme/web"
				}
				setImage(t, files, "acme/web="+pulled+":"+v.String())
				got, want := build(t, ours), build(t, files)
				if got != want {
					t.Errorf("got\n%s\nwant\n%s\nfrom\n%s", got, want, after)
				}
				if strings.Count(want, pulled+":"+v.String()) != 2 {
					t.Errorf("kustomize builds\n%s", want)
				}
			})
		}
	}
}
