package patcher

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// edits are manifests in which the image is set to 2.0 unless a tag is given.
// «old|new» marks what changes; all other bytes have to stay as they are.
var edits = []struct {
	promise     string
	image, tag  string // kainlite/blog and 2.0 by default
	anyRegistry bool
	manifest    string
}{
	// Kinds.
	{promise: "a Pod", manifest: "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: kainlite/blog:«1.0|2.0»\n"},
	{promise: "a PodTemplate", manifest: "kind: PodTemplate\ntemplate: {spec: {containers: [{image: kainlite/blog:«1.0|2.0»}]}}\n"},
	{promise: "a Deployment", manifest: workload("Deployment", "image: kainlite/blog:«1.0|2.0»")},
	{promise: "a StatefulSet", manifest: workload("StatefulSet", "image: kainlite/blog:«1.0|2.0»")},
	{promise: "a DaemonSet", manifest: workload("DaemonSet", "image: kainlite/blog:«1.0|2.0»")},
	{promise: "a ReplicaSet", manifest: workload("ReplicaSet", "image: kainlite/blog:«1.0|2.0»")},
	{promise: "a ReplicationController", manifest: workload("ReplicationController", "image: kainlite/blog:«1.0|2.0»")},
	{promise: "a Job", manifest: workload("Job", "image: kainlite/blog:«1.0|2.0»")},
	{promise: "a Knative Service", manifest: workload("Service", "image: kainlite/blog:«1.0|2.0»")},
	{promise: "an Argo Rollout", manifest: workload("Rollout", "image: kainlite/blog:«1.0|2.0»")},
	{promise: "a CronJob", manifest: "kind: CronJob\nspec:\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          containers:\n            - image: kainlite/blog:«1.0|2.0»\n"},
	{promise: "a List, nested, and one of Deployments that do not repeat their kind", manifest: `kind: List
items:
- kind: List
  items:
  - kind: ConfigMap
    data: {image: kainlite/blog:1.0}
  - kind: Pod
    spec: {containers: [{image: kainlite/blog:«1.0|2.0»}]}
- kind: DeploymentList
  items:
  - spec: {template: {spec: {containers: [{image: kainlite/blog:«1.0|2.0»}]}}}
`},
	{promise: "all containers, init and ephemeral ones too, in all documents", manifest: `# first
kind: Pod
spec:
  initContainers: [{name: migrate, image: kainlite/blog:«0.9|2.0»}]
  containers:
    - name: blog
      image: kainlite/blog:«1.0|2.0»   # the blog
    - {name: current, image: "kainlite/blog:2.0"}
  ephemeralContainers:
    - image: 'kainlite/blog:«debug|2.0»'
--- # second
kind: ConfigMap
data: {image: kainlite/blog:1.0}
...
%YAML 1.1
---
kind: Pod
spec: {containers: [{image: kainlite/blog:«1.1|2.0»}]}
`},

	// Bytes that stay.
	{promise: "double quotes, an anchor nobody uses and a tag", manifest: pod(`image:   !!str &img "kainlite/blog:«1.0|2.0»"	# tab before`)},
	{promise: "single quotes", manifest: pod(`image: 'kainlite/blog:«1.0|2.0»'`)},
	{promise: "quoted keys, without spaces", manifest: `{"kind":"Pod","spec":{"containers":[{"image":"kainlite/blog:«1.0|2.0»"}]}}`},
	{promise: "explicit keys", manifest: pod("? image\n    : kainlite/blog:«1.0|2.0»")},
	{promise: "a value on the line below its key", manifest: pod("image: # below\n\n      # here\n      kainlite/blog:«1.0|2.0»")},
	{promise: "CRLF", manifest: crlf(workload("Deployment", "image: kainlite/blog:«1.0|2.0» # c\n        - image: 'kainlite/blog:«1.0|2.0»'"))},
	{promise: "CR alone", manifest: strings.ReplaceAll(pod("image: kainlite/blog:«1.0|2.0»"), "\n", "\r")},
	{promise: "a byte order mark", manifest: "\ufeff" + pod("image: kainlite/blog:«1.0|2.0»")},
	{promise: "a byte order mark before the image on the first line", manifest: "\ufeff{kind: Pod, spec: {containers: [{image: kainlite/blog:«1.0|2.0»}]}}"},
	{promise: "no final newline", manifest: strings.TrimSuffix(pod("image: kainlite/blog:«1.0|2.0»"), "\n")},
	{promise: "no final newline after an image without a tag", manifest: strings.TrimSuffix(pod("image: kainlite/blog«|:2.0»"), "\n")},
	{promise: "trailing spaces, blank lines and tabs", manifest: pod("image: kainlite/blog:«1.0|2.0»  \t ") + "\n   \n"},
	{promise: "directives and document markers", manifest: "%YAML 1.1\n%TAG !e! tag:example.org,2026:\n---\t# c\n" + pod("image: kainlite/blog:«1.0|2.0»") + "...\n# the end\n"},
	{promise: "comments in odd places", manifest: `
# above

#  kainlite/blog:1.0
kind: Pod # Pod
  # indented
spec: # image: kainlite/blog:1.0
 # image: kainlite/blog:1.0
 containers:   # c
# not indented
 -   # before the item
   # and again
   image:    kainlite/blog:«1.0|2.0»    # kainlite/blog:1.0
   # after
 # after the list
# the end`},
	{promise: "uneven indentation", manifest: "kind:   Pod\nspec:\n      containers:\n      -      name: a\n             image:       kainlite/blog:«1.0|2.0»\n"},
	{promise: "block scalars before and after", manifest: pod("command: [sh, -c]\n    args:\n    - |+\n      image: kainlite/blog:1.0\n\n    - >-\n      kainlite/blog:1.0\n    image: kainlite/blog:«1.0|2.0»\n    env:\n    - name: A\n      value: |\n        image: kainlite/blog:1.0")},
	{promise: "characters of several bytes before the image on its line", manifest: `{kind: Pod, metadata: {name: "é漢字🚀"}, spec: {"containers": [{name: 🚀é, image: kainlite/blog:«1.0|2.0», x: é}, {image: "kainlite/blog:«0|2.0»"}]}}`},
	{promise: "NEL, LS and PS, which end lines", manifest: "kind: Pod # a\u0085# b\u2028# c\u2029# é\nspec:\u0085  containers:\u2028  - image: kainlite/blog:«1.0|2.0»\u2029    name: \"a\u2028b\"\n  - image: kainlite/blog:«1.0|2.0»\n"},
	{promise: "long lines", manifest: pod("args: [" + strings.Repeat("é-a-long-argument, ", 1000) + "x]\n    image: kainlite/blog:«1.0|2.0» #" + strings.Repeat(" é", 1000))},
	{promise: "JSON", manifest: "{\n\t\"kind\": \"Pod\",\n\t\"spec\": {\"containers\": [\n\t\t{\"image\": \"kainlite/blog:«1.0|2.0»\", \"name\": \"a\\u00e9\\n\"}\n\t]}\n}\n"},

	// Anchors and aliases.
	{promise: "anchors that other parts use", manifest: `kind: Deployment
metadata: {labels: &labels {app: blog}}
spec:
  selector: {matchLabels: *labels}
  template:
    metadata: {labels: *labels}
    spec:
      containers:
      - &blog
        <<: {imagePullPolicy: Always, image: kainlite/blog:«1.0|2.0»}
        env: &env [{name: A, value: b}]
      - {image: other, env: *env}
`},
	{promise: "an image of its own beside a merged one", manifest: pod("<<: &base {image: kainlite/blog:1.0, name: a}\n    image: kainlite/blog:«1.0|2.0»\n  - <<: [*base]\n    image: kainlite/blog:«1.1|2.0»")},
	{promise: "the same anchor in several documents", manifest: "kind: Pod\nspec: {containers: [{image: &i kainlite/blog:«1.0|2.0»}]}\n---\nx: &i y\nz: *i\n"},

	// Names.
	{promise: "an image without a tag", manifest: pod("image: kainlite/blog«|:2.0» # latest")},
	{promise: "a quoted image without a tag", manifest: pod(`image: "kainlite/blog«|:2.0»"`)},
	{promise: "a registry with a port and no tag", image: "localhost:5000/x", manifest: pod("image: localhost:5000/x«|:2.0»")},
	{promise: "a registry with a port and a tag", image: "localhost:5000/x", manifest: pod("image: localhost:5000/x:«5000|2.0»")},
	{promise: "the spelling of Docker Hub in the manifest", manifest: pod("image: docker.io/kainlite/blog:«1|2.0»\n  - image: index.docker.io/kainlite/blog:«1|2.0»\n  - image: kainlite/blog:«1|2.0»")},
	{promise: "the spelling of Docker Hub in the name", image: "index.docker.io/kainlite/blog", manifest: pod("image: kainlite/blog:«1|2.0»\n  - image: docker.io/kainlite/blog:«1|2.0»")},
	{promise: "official images", image: "nginx", manifest: pod("image: nginx:«1|2.0»\n  - image: library/nginx:«1|2.0»\n  - image: docker.io/nginx«|:2.0»\n  - image: Docker.IO/nginx:«1|2.0»\n  - image: ghcr.io/nginx:1")},
	{promise: "hosts in upper case", image: "GHCR.io/kainlite/blog", manifest: pod("image: ghcr.IO/kainlite/blog:«1|2.0»")},
	{promise: "no images with similar names", manifest: pod("image: kainlite/blog-api:1.0\n  - image: kainlite/blo:1.0\n  - image: kainlite/kainlite/blog:1.0\n  - image: ghcr.io/kainlite/blog:1.0\n  - image: kainlite/blog:«1.0|2.0»\n  - image: blog:1.0\n  - image: my/kainlite/blog")},
	{promise: "any registry", anyRegistry: true, manifest: pod("image: ghcr.io/kainlite/blog:«1.0|2.0»\n  - image: GHCR.io/kainlite/blog:«1.1|2.0»\n  - image: ghcr.io/x/kainlite/blog:1")},
	{promise: "an official image in any registry", image: "nginx", anyRegistry: true, manifest: pod("image: nginx:«1|2.0»\n  - image: docker.io/library/nginx:«1|2.0»\n  - image: ghcr.io/library/nginx:1")},
	{promise: "strange images beside the wanted one", manifest: pod("image: ${TAG}\n  - image: redis@sha256:"+strings.Repeat("a", 64)+"\n  - image: 5\n  - image: [kainlite/blog]\n  - image: {repository: kainlite/blog}\n  - image:\n  - image: |\n      redis\n  - image: \"re\\u0064is\"\n  - name: a\n    name: b\n  - image: 'x y'\n  - {name: c, image: kainlite/blog:«1.0|2.0»}\n  - {name: d}\n  - just text\n  - image: kainlite/blog-${X}:1\n  - image: ${R}/blog") + "---\nspec\n---\n- kind: Pod\n---\nkind: Pod\nspec: {containers: no list}\n---\nkind: List\nitems: {kind: Pod}\n"},

	// Tags.
	{promise: "a tag of digits that YAML 1.1 would read in base 60 gets quotes", image: "12", tag: "30", manifest: pod("image: «12:ab|\"12:30\"» # c\n  - image: !!str &a «12:0|\"12:30\"»\n  - image: '12:«ab|30»'\n  - image: 12:30")},
	{promise: "a tag that would be a number if it stood alone", tag: "7e12345", manifest: pod("image: kainlite/blog:«1.10|7e12345»")},
	{promise: "the longest tag", tag: strings.Repeat("a", 128), manifest: pod("image: kainlite/blog:«1|" + strings.Repeat("a", 128) + "»")},
}

func pod(container string) string {
	return "kind: Pod\nspec:\n  containers:\n  - " + container + "\n"
}

func workload(kind, container string) string {
	return fmt.Sprintf("apiVersion: apps/v1\nkind: %s\nmetadata:\n  name: blog\nspec:\n  template:\n    spec:\n      containers:\n        - %s\n          name: blog\n", kind, container)
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

var mark = regexp.MustCompile(`«([^|»]*)\|([^»]*)»`)

func TestSetTagReplacesTheTagAndNothingElse(t *testing.T) {
	for _, test := range edits {
		t.Run(test.promise, func(t *testing.T) {
			before := mark.ReplaceAllString(test.manifest, "$1")
			want := mark.ReplaceAllString(test.manifest, "$2")
			image, tag := test.image, test.tag
			if image == "" {
				image = "kainlite/blog"
			}
			if tag == "" {
				tag = "2.0"
			}
			n, err := ParseName(image, test.anyRegistry)
			if err != nil {
				t.Fatal(err)
			}
			f, err := Parse([]byte(before))
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.SetTag(n, tag)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			places, err := f.Places(Request{Images: []Name{n}})
			if err != nil {
				t.Fatal(err)
			}
			if err := checkEdit([]byte(before), got, places, Version{Tag: tag}, false, false); err != nil {
				t.Error(err)
			}
			if string(f.content) != before {
				t.Error("SetTag changed the original")
			}
		})
	}
}

func TestSetTagReturnsTheSameBytesWhenNothingIsToBeDone(t *testing.T) {
	content := []byte(pod("image: kainlite/blog:2.0\n  - image: \"kainlite/blog:2.0\""))
	f, n := mustParse(t, string(content)), mustName(t, "kainlite/blog", false)
	got, err := f.SetTag(n, "2.0")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(content) {
		t.Errorf("got %q, want %q", got, content)
	}
}

func TestFindSaysWhereTheImagesStand(t *testing.T) {
	f := mustParse(t, "\ufeff# é\r\n"+crlf(pod("image: kainlite/blog\n  - {é: 🚀, image: !!str &a \"docker.io/kainlite/blog:1.0\"}\n  - image: redis:7")))
	got, err := f.Find(mustName(t, "kainlite/blog", false))
	if err != nil {
		t.Fatal(err)
	}
	want := []Image{
		{Ref: "kainlite/blog", Tag: "", Line: 5, Offset: 53},
		{Ref: "docker.io/kainlite/blog:1.0", Tag: "1.0", Line: 6, Offset: 99},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for _, img := range got {
		if at := string(f.content[img.Offset:]); !strings.HasPrefix(strings.TrimPrefix(at, `"`), img.Ref) {
			t.Errorf("%s is not at offset %d", img.Ref, img.Offset)
		}
	}
}

func mustParse(t testing.TB, content string) *File {
	t.Helper()
	f, err := Parse([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustName(t testing.TB, name string, anyRegistry bool) Name {
	t.Helper()
	n, err := ParseName(name, anyRegistry)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
