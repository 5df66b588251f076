package patcher

import (
	"fmt"
	"strings"
	"testing"
)

const digest0 = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

const flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n"
const release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  values:\n"
const argo = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n"

// targets are files in which acme/web is set to 2.0, with digest1 where it is
// pinned. «old|new» marks what changes; all other bytes have to stay.
var targets = []struct {
	promise string
	file    string // apps/x.yaml by default
	images  string // acme/web by default
	paths   string
	tag     string // 2.0 by default
	pin     bool
	text    string
	kinds   string // of the places, in order
}{
	// kustomizations
	{promise: "an entry of a kustomization", kinds: "kustomization", text: "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [web.yaml]\nimages:\n- name: acme/api\n  newTag: \"1\"\n- name: acme/web # ours\n  newTag: «v1|\"2.0\"» # moved\n"},
	{promise: "a component", kinds: "kustomization", text: "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages: [{name: acme/web, newTag: '«v1|2.0»'}]\n"},
	{promise: "kustomization.yaml need not say what it is", file: "apps/kustomization.yaml", kinds: "kustomization", text: "images:\n- name: acme/web\n  newTag: «1.9|\"2.0\"»\n"},
	{promise: "nor kustomization.yml", file: "kustomization.yml", kinds: "kustomization", text: "images:\n- name: acme/web\n  newTag: «1.9|\"2.0\"»\n"},
	{promise: "nor Kustomization", file: "a/b/Kustomization", kinds: "kustomization", text: "images:\n- name: acme/web\n  newTag: «1.9|\"2.0\"»\n"},
	{promise: "the entry whose newName is the image", images: "ghcr.io/acme/web", kinds: "kustomization", text: "kind: Kustomization\nimages:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: «1.9|\"2.0\"»\n"},
	{promise: "the entry whose name is the image, though it gets another", kinds: "kustomization", text: "kind: Kustomization\nimages:\n- newTag: «1.9|\"2.0\"»\n  newName: ghcr.io/acme/web\n  name: acme/web\n"},
	{promise: "two entries of one image", kinds: "kustomization kustomization", text: "kind: Kustomization\nimages:\n- {name: acme/web, newTag: «a|\"2.0\"»}\n- {name: docker.io/acme/web, newTag: «b|\"2.0\"»}\n"},
	{promise: "a missing newTag", kinds: "kustomization", text: "kind: Kustomization\nimages:\n- name: acme/web«|\n  newTag: \"2.0\"»\n- name: acme/api\n"},
	{promise: "a missing newTag below newName, with a comment and other indentation", tag: "v2", kinds: "kustomization", text: "kind: Kustomization\nimages:\n    -   name: acme/web\n        newName: ghcr.io/acme/web   # mirrored«|\n        newTag: v2»\n    # the next\n    -   name: acme/api\n"},
	{promise: "a missing newTag above other keys", tag: "v2", kinds: "kustomization", text: "kind: Kustomization\nimages:\n  - name: acme/web«|\n    newTag: v2»\n    newName: \nnamespace: a\n"},
	{promise: "a missing newTag at the end of a file without a line break", tag: "v2", kinds: "kustomization", text: "kind: Kustomization\nimages:\n- name: acme/web«|\n  newTag: v2»"},
	{promise: "a missing newTag at the end of a line of CRLF", tag: "v2", kinds: "kustomization", text: "kind: Kustomization\r\nimages:\r\n- name: acme/web # c«|\r\n  newTag: v2»\r\n# end\r\n"},
	{promise: "a missing newTag in a file whose last line has no CRLF", tag: "v2", kinds: "kustomization", text: "kind: Kustomization\r\nimages:\r\n- name: acme/web«|\r\n  newTag: v2»"},
	{promise: "a missing newTag in a file with CR alone", tag: "v2", kinds: "kustomization", text: "kind: Kustomization\rimages:\r- name: acme/web«|\r  newTag: v2»\rx: y\r"},
	{promise: "a missing newTag between comments that belong to others", tag: "v2", kinds: "kustomization", text: "# head\nkind: Kustomization\nimages:\n# list\n- name: acme/web«|\n  newTag: v2»\n  # in the entry\n\n# before api\n- name: acme/api\n# foot\n\n# more\nresources: [a]\n"},
	{promise: "a missing newTag in {}", kinds: "kustomization", text: "kind: Kustomization\nimages:\n- {name: acme/web«|, newTag: \"2.0\"»}\n- { name: acme/api } # c\n"},
	{promise: "a missing newTag in JSON", tag: "v2", kinds: "kustomization", text: "{\"kind\": \"Kustomization\", \"images\": [{\"name\": \"acme/web\"«|, \"newTag\": \"v2\"»}]}\n"},
	{promise: "a missing newTag in JSON over lines", tag: "v2", kinds: "kustomization", text: "{\n  \"kind\": \"Kustomization\",\n  \"images\": [\n    {\n      \"name\": \"acme/web\"«|, \"newTag\": \"v2\"»\n    }\n  ]\n}\n"},
	{promise: "a newTag that is left empty", kinds: "kustomization", text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag:«| \"2.0\"» # soon\n"},
	{promise: "a pinned newTag that is left empty", pin: true, kinds: "kustomization kustomization kustomization", text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag:«| \"2.0\"»«|\n  digest: " + digest1 + "»\n- name: acme/web\n  newTag:«| \"2.0\"» # c«|\n  digest: " + digest1 + "»\n- {name: acme/web, newTag:«| \"2.0\"»«|, digest: " + digest1 + "»}\n"},
	{promise: "a newTag that is null", kinds: "kustomization", text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: «null|\"2.0\"»\n"},
	{promise: "a newTag that is an empty text", kinds: "kustomization", text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: '«|2.0»'\n"},
	{promise: "a newTag that is a number of the same digits", tag: "1.10", kinds: "kustomization", text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: «1.10|\"1.10\"»\n"},
	{promise: "a pinned entry with both", pin: true, kinds: "kustomization", text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: «v1|\"2.0\"»\n  digest: «" + digest0 + "|" + digest1 + "»\n"},
	{promise: "a pinned entry without a digest", pin: true, kinds: "kustomization", text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: «v1|\"2.0\"» # c«|\n  digest: " + digest1 + "»\n- name: acme/api\n"},
	{promise: "a pinned entry with a name alone", pin: true, kinds: "kustomization", text: "kind: Kustomization\nimages:\n- name: acme/web«|\n  newTag: \"2.0\"\n  digest: " + digest1 + "»\n- name: acme/api\n"},
	{promise: "a pinned entry with a digest alone", pin: true, kinds: "kustomization", text: "kind: Kustomization\nimages:\n- name: acme/web«|\n  newTag: \"2.0\"»\n  digest: \"«" + digest0 + "|" + digest1 + "»\"\n"},
	{promise: "a pinned entry in {}", pin: true, kinds: "kustomization kustomization", text: "kind: Kustomization\nimages: [{name: acme/web«|, newTag: \"2.0\", digest: " + digest1 + "»}, {name: acme/web, newTag: «a|\"2.0\"»«|, digest: " + digest1 + "»}]\n"},
	{promise: "all lists of a file, with anchors that nobody uses", kinds: "kustomization kustomization", text: "kind: Kustomization\nimages: &i\n- &w\n  name: &n acme/web\n  newTag: &t «v1|\"2.0\"»\n---\nkind: Kustomization\nimages:\n- name: acme/web\n  newTag: !!str «v1|\"2.0\"»\n"},
	{promise: "Flux's Kustomization", kinds: "kustomization", text: flux + "spec:\n  images:\n  - name: acme/web\n    newTag: «v1|\"2.0\"»\nimages:\n- name: acme/web\n  newTag: v1\n"},
	{promise: "images of an Application", images: "ghcr.io/acme/web", kinds: "kustomization kustomization kustomization", text: argo + "  source:\n    kustomize:\n      images:\n      - ghcr.io/acme/web:«v1|2.0»\n      - acme/web=ghcr.io/acme/web:«v1|2.0»\n      - 'ghcr.io/acme/web«|:2.0»'\n      - ghcr.io/acme/api:v1\n"},
	{promise: "images of an Application, by the name that is replaced", kinds: "kustomization", text: argo + "  sources:\n  - kustomize:\n      images: [\"acme/web=ghcr.io/other/web:«v1|2.0»\"]\n"},
	{promise: "pinned images of an Application", pin: true, kinds: "kustomization kustomization", text: argo + "  sources:\n  - kustomize:\n      images:\n      - acme/web:«v1|2.0@" + digest1 + "»\n      - web=acme/web:«v1@" + digest0 + "|2.0@" + digest1 + "»\n"},
	{promise: "an ApplicationSet", kinds: "kustomization", text: "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nspec:\n  template:\n    spec:\n      source: {kustomize: {images: ['acme/web:«v1|2.0»']}}\n"},

	// Helm values
	{promise: "repository and tag", kinds: "values", text: "replicas: 2\nimage:\n  repository: acme/web\n  tag: «1.9|\"2.0\"» # c\n  pullPolicy: Always\n"},
	{promise: "registry, repository and tag", images: "quay.io/acme/web", kinds: "values", text: "image: {registry: quay.io, repository: acme/web, tag: \"«1|2.0»\", digest: \"\"}\nother: {registry: ghcr.io, repository: acme/web, tag: \"1\"}\n"},
	{promise: "image and tag", kinds: "values values", text: "web:\n  image: acme/web\n  tag: «v1|\"2.0\"»\n  imageTag: other\nold:\n  imageTag: '«v1|2.0»'\n  image: acme/web\n"},
	{promise: "registry, image and tag", images: "quay.io/acme/web", kinds: "values", text: "registry: quay.io\nimage: acme/web\ntag: «v1|\"2.0\"»\n"},
	{promise: "repository, name and tag", images: "quay.io/acme/web", kinds: "values", text: "image:\n  repository: quay.io/acme\n  name: web\n  tag: «v1|\"2.0\"»\n"},
	{promise: "image.name and tag", images: "web", kinds: "values values", text: "image: {name: web, tag: '«v1|2.0»'}\nimages: [{name: web, tag: «v1|\"2.0\"»}]\npod: {name: web, tag: v1}\n"},
	{promise: "imageName and imageTag, imageRepository and imageTag", kinds: "values values", text: "a: {imageName: acme/web, imageTag: «v1|\"2.0\"»}\nb:\n- imageRepository: acme/web\n  imageTag: «v1|\"2.0\"»\n"},
	{promise: "image: NAME:TAG, wherever", kinds: "string string", text: "web: {image: 'acme/web:«1|2.0»'}\njobs:\n- - image: acme/web:«v1|2.0»\n  - image: acme/api:1\n    other: acme/web:1\n"},
	{promise: "all that claim the image, with different tags", kinds: "values string values", text: "a: {repository: acme/web, tag: «a|\"2.0\"»}\nb: {image: 'acme/web:«b|2.0»'}\nc: {repository: acme/web, tag: «c|\"2.0\"»}\n"},
	{promise: "an empty tag", kinds: "values values values", text: "a: {repository: acme/web, tag: \"«|2.0»\"}\nb:\n  repository: acme/web\n  tag:«| \"2.0\"»\nc: {repository: acme/web, tag: «~|\"2.0\"»}\n"},
	{promise: "numbers become texts", tag: "7e12345", kinds: "values values values values", text: "a: {repository: acme/web, tag: «1.10|\"7e12345\"»}\nb: {repository: acme/web, tag: '«1.10|7e12345»'}\nc: {repository: acme/web, tag: «1234567|\"7e12345\"»}\nd: {repository: acme/web, tag: «true|\"7e12345\"»}\n"},
	{promise: "a tag that is a text stays without quotes", tag: "e4f5a6b", kinds: "values", text: "a: {repository: acme/web, tag: «3c0a882|e4f5a6b»}\n"},
	{promise: "a pinned tag", pin: true, kinds: "values", text: "image: {repository: acme/web, tag: «v1|2.0@" + digest1 + "»}\n"},
	{promise: "a tag that was pinned", pin: true, kinds: "values", text: "image: {repository: acme/web, tag: \"«v1@" + digest0 + "|2.0@" + digest1 + "»\"}\n"},
	{promise: "a pinned mapping with a digest", pin: true, kinds: "values values", text: "a:\n  repository: acme/web\n  digest: «" + digest0 + "|" + digest1 + "»\n  tag: «v1|\"2.0\"»\nb:\n  repository: acme/web\n  tag: «v1|\"2.0\"»\n  digest: \"«|" + digest1 + "»\"\n"},
	{promise: "a pinned mapping with a digest without its algorithm", pin: true, kinds: "values", text: "a:\n  repository: acme/web\n  tag: «v1|\"2.0\"»\n  sha: \"«|" + strings.TrimPrefix(digest1, "sha256:") + "»\"\n"},
	{promise: "a pinned text", pin: true, kinds: "string string", text: "a: {image: acme/web:«v1|2.0@" + digest1 + "»}\nb: {image: acme/web«@" + digest0 + "|:2.0@" + digest1 + "»}\n"},
	{promise: "values with a kind of their own", kinds: "values", text: "kind: DaemonSet\nimage: {repository: acme/web, tag: «v1|\"2.0\"»}\n"},
	{promise: "a tag beside a merged repository", kinds: "values", text: "base: &b {repository: acme/web, pullPolicy: Always}\nweb:\n  <<: *b\n  tag: «v1|\"2.0\"»\n"},
	{promise: "a mapping that is merged where it stands", kinds: "values", text: "web:\n  <<: {repository: acme/web, tag: «v1|\"2.0\"»}\n  x: y\n"},
	{promise: "a HelmRelease", kinds: "values string", text: release + "    image: {repository: acme/web, tag: «v1|\"2.0\"»}\n    job: {image: 'acme/web:«v1|2.0»'}\n  chart: {spec: {image: 'acme/web:v1'}}\n"},
	{promise: "the values of an Application", kinds: "values", text: argo + "  source:\n    helm:\n      valuesObject:\n        image:\n          repository: acme/web\n          tag: «v1|\"2.0\"»\n"},
	{promise: "the values of an Application with several sources", kinds: "values", text: argo + "  sources:\n  - path: a\n  - helm: {valuesObject: {image: {repository: acme/web, tag: «v1|\"2.0\"»}}}\n"},
	{promise: "a Compose file", kinds: "string string", text: "services:\n  web:\n    image: acme/web:«v1|2.0»\n    ports: ['80:80']\n  latest: {image: acme/web«|:2.0»}\n  api: {image: acme/api, depends_on: [web]}\n  built: {build: .}\nvolumes: {}\n"},

	// All kinds in one file, and several images.
	{promise: "documents of all kinds", kinds: "workload kustomization values string", text: pod("image: acme/web:«v1|2.0»") + "---\nkind: Kustomization\nimages: [{name: acme/web, newTag: «v1|\"2.0\"»}]\n---\nimage: {repository: acme/web, tag: «v1|\"2.0\"»}\n---\nservices: {web: {image: acme/web:«v1|2.0»}}\n"},
	{promise: "several images", images: "acme/web acme/api acme/none", kinds: "workload workload", text: pod("image: acme/api:«v1|2.0»\n  - image: acme/web:«v2|2.0»\n  - image: acme/cron:v1")},
	{promise: "a List of all kinds", kinds: "kustomization workload", text: "kind: List\nitems:\n- apiVersion: kustomize.toolkit.fluxcd.io/v1\n  kind: Kustomization\n  spec: {images: [{name: acme/web, newTag: «v1|\"2.0\"»}]}\n- kind: Pod\n  spec: {containers: [{image: acme/web:«v1|2.0»}]}\n"},
	{promise: "a pinned workload", pin: true, kinds: "workload workload", text: pod("image: acme/web:«v1@" + digest0 + "|2.0@" + digest1 + "»\n  - image: \"acme/web«|:2.0@" + digest1 + "»\"")},

	// Paths.
	{promise: "a path to a tag", paths: ".spec.values.web.image.tag", kinds: "path", text: release + "    web: {image: {tag: «v1|\"2.0\"», x: y}}\n    image: {repository: acme/web, tag: v1}\n"},
	{promise: "a path with select", paths: `.images[] | select(.name == "acme/web") | .newTag`, kinds: "path", text: "kind: Kustomization\nimages:\n- {name: acme/api, newTag: v1}\n- {name: acme/web, newTag: «v1|\"2.0\"»}\n"},
	{promise: "a path to NAME:TAG", paths: ".spec.image", kinds: "path", text: "apiVersion: example.org/v1\nkind: Prometheus\nspec: {image: 'acme/web:«v1|2.0»', version: v1}\n"},
	{promise: "several paths, in the order of the file", paths: ".b\n.a[1]\n.a[-1]", kinds: "path path", text: "a: [v1, «v1|\"2.0\"»]\nb: '«v1|2.0»'\n"},
	{promise: "a path into all", paths: ".a[].tag", kinds: "path path", text: "a: {x: {tag: «v1|\"2.0\"»}, y: {tag: «1|\"2.0\"»}, z: {no: 1}}\n"},
	{promise: "a path to numbers, bools and nothing", paths: ".a[]", kinds: "path path path path", text: "a:\n- «1|\"2.0\"»\n- «true|\"2.0\"»\n- «~|\"2.0\"»\n- '«|2.0»'\n"},
	{promise: "a path that holds in one document of several", paths: ".a", kinds: "path", text: "b: v1\n---\na: «v1|\"2.0\"»\n---\n- a\n"},
	{promise: "pinned, a path to NAME:TAG and to a tag", pin: true, paths: ".a\n.b.tag", kinds: "path path", text: "a: acme/web:«v1|2.0@" + digest1 + "»\nb: {tag: «v1|2.0@" + digest1 + "»}\n"},
	{promise: "pinned, a path to a tag with its digest beside it", pin: true, paths: ".b.tag", kinds: "path", text: "b:\n  tag: «v1|\"2.0\"»\n  digest: «" + digest0 + "|" + digest1 + "»\n"},
	{promise: "pinned, a path to a newTag", pin: true, paths: ".images[0].newTag", kinds: "path", text: "kind: Kustomization\nimages:\n- name: acme/web\n  newTag: «v1|\"2.0\"»«|\n  digest: " + digest1 + "»\n"},
	{promise: "pinned, a path to a digest", pin: true, paths: ".version\n.sum", kinds: "path path", text: "version: «v1|2.0@" + digest1 + "»\nsum: «" + digest0 + "|" + digest1 + "»\n"},
	{promise: "a path to an entry of an Application", paths: ".spec.source.kustomize.images[0]", kinds: "path", text: argo + "  source: {kustomize: {images: ['web=acme/web:«v1|2.0»']}}\n"},
}

func targetRequest(t testing.TB, images, paths string, pin bool) Request {
	t.Helper()
	r := Request{Pin: pin}
	if images == "" {
		images = "acme/web"
	}
	for _, image := range strings.Fields(images) {
		r.Images = append(r.Images, mustName(t, image, false))
	}
	if paths != "" {
		var err error
		if r.Paths, err = ParsePaths(paths); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestEveryKindOfPlaceIsEditedAndNothingElse(t *testing.T) {
	for _, test := range targets {
		t.Run(test.promise, func(t *testing.T) {
			before, want := mark.ReplaceAllString(test.text, "$1"), mark.ReplaceAllString(test.text, "$2")
			if test.file == "" {
				test.file = "apps/x.yaml"
			}
			v := Version{Tag: "2.0"}
			if test.tag != "" {
				v.Tag = test.tag
			}
			if test.pin {
				v.Digest = digest1
			}
			r := targetRequest(t, test.images, test.paths, test.pin)
			f, err := ParseFile(test.file, []byte(before))
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Edit(r, v)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			checkPlaces(t, f, r, v, got, test.kinds)
		})
	}
}

// checkPlaces holds what is said of the places to the edit.
func checkPlaces(t *testing.T, f *File, r Request, v Version, after []byte, kinds string) {
	t.Helper()
	places, err := f.Places(r)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range places {
		got = append(got, string(p.Kind))
		if p.Has(v) {
			t.Errorf("line %d is said to have the version", p.Line)
		}
		if p.Offset < 0 || p.Offset > len(f.content) || lineAt(f.content, p.Offset) != p.Line {
			t.Errorf("offset %d is not on line %d", p.Offset, p.Line)
		}
	}
	if strings.Join(got, " ") != kinds {
		t.Errorf("kinds %q, want %q", got, kinds)
	}
	if err := checkEdit(f.content, after, places, v, r.Pin, true); err != nil {
		t.Error(err)
	}
	g, err := ParseFile(f.name, after)
	if err != nil {
		t.Fatal(err)
	}
	again, err := g.Edit(r, v)
	if err != nil || string(again) != string(after) {
		t.Errorf("a second time: %v\n%s", err, again)
	}
	if places, err = g.Places(r); err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		if !p.Has(v) {
			t.Errorf("afterwards, line %d has %+v", p.Line, p)
		}
	}
}

func TestPlacesSayWhatIsThere(t *testing.T) {
	f := mustParse(t, "kind: Kustomization\nimages:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: 1.10\n- name: web\n---\nimage: {registry: quay.io, repository: web, tag: v1, digest: "+digest0+"}\nx: quay.io/web:v1\n")
	n := mustName(t, "web", true)
	places, err := f.Places(Request{Images: []Name{n}, Pin: true})
	if err == nil {
		t.Fatalf("got %v for two registries", places)
	}
	r := Request{Images: []Name{mustName(t, "web", false), mustName(t, "quay.io/web", false)}, Pin: true}
	if places, err = f.Places(r); err != nil {
		t.Fatal(err)
	}
	want := []Place{
		{Kind: Kustomization, Image: r.Images[0], Name: "ghcr.io/acme/web", Ref: "ghcr.io/acme/web:1.10", Tag: "1.10", Line: 5, Offset: 78, unread: true},
		{Kind: Kustomization, Image: r.Images[0], Name: "web", Ref: "web", Line: 6, Offset: 94},
		{Kind: Values, Image: r.Images[1], Name: "quay.io/web", Ref: "quay.io/web:v1@" + digest0, Tag: "v1", Digest: digest0, Line: 8, Offset: 148},
	}
	if fmt.Sprint(places) != fmt.Sprint(want) {
		t.Errorf("got\n%+v\nwant\n%+v", places, want)
	}
	if places[0].Has(Version{Tag: "1.10"}) || !places[2].Has(Version{Tag: "v1"}) || places[2].Has(Version{Tag: "v1", Digest: digest1}) || !places[2].Has(Version{"v1", digest0}) {
		t.Error("Has does not say what is there")
	}
	r.Paths = []Expression{mustPath(t, ".x"), mustPath(t, ".image.tag")}
	if places, err = f.Places(r); err != nil {
		t.Fatal(err)
	}
	if p := places[1]; p.Image != r.Images[1] || p.Ref != "quay.io/web:v1" || p.Name != "quay.io/web" {
		t.Errorf("a path to NAME:TAG: %+v", p)
	}
	if p := places[0]; p.Image != (Name{}) || p.Ref != "" || p.Name != "" || p.Tag != "v1" || p.Digest != digest0 {
		t.Errorf("a path to a tag: %+v", p)
	}
	old, err := f.Find(r.Images[0])
	if err != nil || len(old) != 2 || old[0].Tag != "" {
		t.Errorf("Find gives %v, %v for a number", old, err)
	}
}

func mustPath(t testing.TB, text string) Expression {
	t.Helper()
	e, err := ParseExpression(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRequestsThatMeanTheSameHaveTheSameKey(t *testing.T) {
	all := []Request{
		targetRequest(t, "acme/web", "", false),
		targetRequest(t, "acme/web", "", true),
		targetRequest(t, "acme/web acme/api", "", false),
		targetRequest(t, "acme/web", ".a", false),
		targetRequest(t, "acme/web", ".a\n.b", false),
		{Images: []Name{mustName(t, "acme/web", true)}},
		{Images: []Name{mustName(t, "acme/web", false).Or("ghcr.io")}},
	}
	seen := map[string]int{}
	for i, r := range all {
		if j, there := seen[r.Key()]; there {
			t.Errorf("requests %d and %d have the same key", i, j)
		}
		seen[r.Key()] = i
	}
	if all[4].Key() != targetRequest(t, "acme/web", " .a \n\n .b", false).Key() {
		t.Error("space makes another key")
	}
}
