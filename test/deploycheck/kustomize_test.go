package deploycheck

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// installs are what the README tells to apply.
var installs = []string{"deploy", "deploy/overlays/namespaced", "deploy/overlays/self"}

// deployFiles is deploy/ in memory, for tests that edit it.
func deployFiles(t *testing.T) filesys.FileSystem {
	t.Helper()
	mem := filesys.MakeFsInMemory()
	dir := os.DirFS(root)
	err := fs.WalkDir(dir, "deploy", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := fs.ReadFile(dir, name)
		if err != nil {
			return err
		}
		return mem.WriteFile("/"+name, b)
	})
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// edit replaces all of old in a file, which must have some.
func edit(t *testing.T, files filesys.FileSystem, name, old, new string) {
	t.Helper()
	b, err := files.ReadFile("/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(old)) {
		t.Fatalf("%s has no %q", name, old)
	}
	if err := files.WriteFile("/"+name, bytes.ReplaceAll(b, []byte(old), []byte(new))); err != nil {
		t.Fatal(err)
	}
}

// uncomment takes the comment signs off the part of a file that begins with the
// given line, to the next line without one.
func uncomment(t *testing.T, files filesys.FileSystem, name, first string) {
	t.Helper()
	b, err := files.ReadFile("/" + name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	i := slices.Index(lines, "# "+first)
	if i < 0 {
		t.Fatalf("%s has no commented %q", name, first)
	}
	for ; i < len(lines) && strings.HasPrefix(lines[i], "#"); i++ {
		lines[i] = strings.TrimPrefix(strings.TrimPrefix(lines[i], "#"), " ")
	}
	if err := files.WriteFile("/"+name, []byte(strings.Join(lines, "\n"))); err != nil {
		t.Fatal(err)
	}
}

// render is `kubectl kustomize DIR`.
func render(t *testing.T, files filesys.FileSystem, dir string) []byte {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// object is one that kubectl would send.
type object interface {
	runtime.Object
	metav1.Object
}

// decode reads YAML as an API server does that refuses unknown and doubled fields.
func decode(t *testing.T, rendered []byte) []object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, rbacv1.AddToScheme, networkingv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var objects []object
	for _, doc := range strings.Split(string(rendered), "\n---\n") {
		o, _, err := decoder.Decode([]byte(doc), nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		objects = append(objects, o.(object))
	}
	return objects
}

func install(t *testing.T, dir string) []object {
	t.Helper()
	return decode(t, render(t, deployFiles(t), dir))
}

// one returns the one object of a type.
func one[T object](t *testing.T, objects []object) T {
	t.Helper()
	var found []T
	for _, o := range objects {
		if o, ok := o.(T); ok {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T", len(found), *new(T))
	}
	return found[0]
}

func names(objects []object) []string {
	var names []string
	for _, o := range objects {
		names = append(names, fmt.Sprintf("%s %s", o.GetObjectKind().GroupVersionKind().Kind, strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")))
	}
	return names
}

func TestInstallsAreTheseObjects(t *testing.T) {
	base := []string{
		"Namespace gitops-operator",
		"ServiceAccount gitops-operator/gitops-operator",
		"ClusterRole gitops-operator",
		"ClusterRoleBinding gitops-operator",
		"Deployment gitops-operator/gitops-operator",
		"Service gitops-operator/gitops-operator",
		"NetworkPolicy gitops-operator/gitops-operator",
	}
	namespaced := []string{
		"Namespace gitops-operator",
		"ServiceAccount gitops-operator/gitops-operator",
		"Deployment gitops-operator/gitops-operator",
		"Service gitops-operator/gitops-operator",
		"NetworkPolicy gitops-operator/gitops-operator",
		"Role default/gitops-operator-watched",
		"RoleBinding default/gitops-operator-watched",
		"Role gitops-operator/gitops-operator-secrets",
		"RoleBinding gitops-operator/gitops-operator-secrets",
	}
	for dir, want := range map[string][]string{"deploy": base, "deploy/base": base, "deploy/overlays/self": base, "deploy/overlays/namespaced": namespaced} {
		got := names(install(t, dir))
		if got[0] != "Namespace gitops-operator" {
			t.Errorf("%s: the namespace is not the first", dir)
		}
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%s:\n%s", dir, strings.Join(got, "\n"))
		}
	}
}

func TestEveryOverlayIsTested(t *testing.T) {
	var found []string
	for _, name := range files(t, filepath.Join(root, "deploy")) {
		if dir, ok := strings.CutSuffix(name, "kustomization.yaml"); ok {
			found = append(found, filepath.Join("deploy", dir))
		}
	}
	slices.Sort(found)
	want := append([]string{"deploy/base", "deploy/components/events"}, installs...)
	for _, c := range accessComponents {
		want = append(want, "deploy/components/"+c.name)
	}
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("kustomizations: %q", found)
	}
}

func TestEveryObjectAndPodIsLabelled(t *testing.T) {
	want := map[string]string{
		"app.kubernetes.io/name":      "gitops-operator",
		"app.kubernetes.io/component": "operator",
		"app.kubernetes.io/part-of":   "gitops-operator",
	}
	for _, dir := range installs {
		for _, o := range install(t, dir) {
			labels := maps.Clone(o.GetLabels())
			maps.DeleteFunc(labels, func(k, _ string) bool { return !strings.HasPrefix(k, "app.kubernetes.io/") })
			if !maps.Equal(labels, want) {
				t.Errorf("%s: %s: labels %v", dir, names([]object{o})[0], labels)
			}
			if d, ok := o.(*appsv1.Deployment); ok && !maps.Equal(d.Spec.Template.Labels, want) {
				t.Errorf("%s: the pod's labels are %v", dir, d.Spec.Template.Labels)
			}
		}
	}
}

// A version label, or a label of an overlay, must not come into what cannot be
// changed once it is applied.
func TestSelectorsAreOfOneStableLabel(t *testing.T) {
	want := map[string]string{"app.kubernetes.io/name": "gitops-operator"}
	for _, dir := range installs {
		objects := install(t, dir)
		for what, got := range map[string]map[string]string{
			"Deployment":    one[*appsv1.Deployment](t, objects).Spec.Selector.MatchLabels,
			"Service":       one[*corev1.Service](t, objects).Spec.Selector,
			"NetworkPolicy": one[*networkingv1.NetworkPolicy](t, objects).Spec.PodSelector.MatchLabels,
		} {
			if !maps.Equal(got, want) {
				t.Errorf("%s: %s selects %v", dir, what, got)
			}
		}
	}
}

// grants resolves every binding of the service account to lines of namespace
// (* for all), resources and verbs.
func grants(t *testing.T, objects []object) []string {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	for _, o := range objects {
		switch o := o.(type) {
		case *rbacv1.ClusterRole:
			rules["ClusterRole "+o.Name] = o.Rules
			if o.AggregationRule != nil {
				t.Error("an aggregated role")
			}
		case *rbacv1.Role:
			rules["Role "+o.Namespace+"/"+o.Name] = o.Rules
		}
	}
	sa := one[*corev1.ServiceAccount](t, objects)
	var lines []string
	grant := func(where, role string, subjects []rbacv1.Subject) {
		if want := (rbacv1.Subject{Kind: "ServiceAccount", Name: sa.Name, Namespace: sa.Namespace}); len(subjects) != 1 || subjects[0] != want {
			t.Errorf("%s is bound to %v", role, subjects)
		}
		if rules[role] == nil {
			t.Errorf("no %s", role)
		}
		for _, r := range rules[role] {
			lines = append(lines, fmt.Sprintf("%s: %q %q %v %v%v", where, r.APIGroups, r.Resources, r.Verbs, r.ResourceNames, r.NonResourceURLs))
		}
		delete(rules, role)
	}
	for _, o := range objects {
		switch o := o.(type) {
		case *rbacv1.ClusterRoleBinding:
			grant("*", "ClusterRole "+o.RoleRef.Name, o.Subjects)
		case *rbacv1.RoleBinding:
			role := "Role " + o.Namespace + "/" + o.RoleRef.Name
			if o.RoleRef.Kind != "Role" {
				t.Errorf("%s refers to a %s", o.Name, o.RoleRef.Kind)
			}
			grant(o.Namespace, role, o.Subjects)
		}
	}
	for role := range rules {
		t.Errorf("%s is not bound, or more than once", role)
	}
	slices.Sort(lines)
	return lines
}

// addEvents adds the component to a kustomization, as its comments say.
func addEvents(t *testing.T, files filesys.FileSystem, dir, component string) {
	t.Helper()
	name := dir + "/kustomization.yaml"
	b, err := files.ReadFile("/" + name)
	if err != nil {
		t.Fatal(err)
	}
	comments, err := files.ReadFile("/deploy/components/events/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(comments, []byte("\n# - "+component+" ")) {
		t.Fatalf("the comments do not say %s", component)
	}
	if err := files.WriteFile("/"+name, append(b, "\ncomponents:\n- "+component+"\n"...)); err != nil {
		t.Fatal(err)
	}
}

const (
	writeEvents     = `[""] ["events"] [create patch] [][]`
	readDeployments = `["apps"] ["deployments"] [get list watch] [][]`
	getSecrets      = `[""] ["secrets"] [get] [][]`
)

func TestRightsAreTheseAndNoMore(t *testing.T) {
	everywhere := []string{"*: " + getSecrets, "*: " + readDeployments}
	narrowed := deployFiles(t)
	edit(t, narrowed, "deploy/base/rbac.yaml", "- apiGroups: [\"\"]\n  resources: [secrets]\n  verbs: [get]\n---", "---")
	uncomment(t, narrowed, "deploy/base/rbac.yaml", "---")
	withEvents := deployFiles(t)
	addEvents(t, withEvents, "deploy", "components/events")
	addEvents(t, withEvents, "deploy/overlays/namespaced", "../../components/events")
	for _, test := range []struct {
		name  string
		files filesys.FileSystem
		dir   string
		want  []string
	}{
		{"as shipped", deployFiles(t), "deploy", everywhere},
		{"watching itself", deployFiles(t), "deploy/overlays/self", everywhere},
		{"one namespace", deployFiles(t), "deploy/overlays/namespaced", []string{"default: " + getSecrets, "default: " + readDeployments, "gitops-operator: " + getSecrets}},
		{"with Events", withEvents, "deploy", append([]string{"*: " + writeEvents}, everywhere...)},
		{"one namespace, with Events", withEvents, "deploy/overlays/namespaced", []string{"default: " + getSecrets, "default: " + readDeployments, "default: " + writeEvents, "gitops-operator: " + getSecrets}},
		{"narrowed as the comments say", narrowed, "deploy", []string{"*: " + readDeployments, "gitops-operator: " + getSecrets}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := grants(t, decode(t, render(t, test.files, test.dir)))
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestWatchedNamespaceIsNamedOnce(t *testing.T) {
	changed := deployFiles(t)
	edit(t, changed, "deploy/overlays/namespaced/watched.yaml", "namespace: default", "namespace: team-a")
	rendered := render(t, changed, "deploy/overlays/namespaced")
	if bytes.Contains(rendered, []byte("default\n")) || bytes.Contains(rendered, []byte("WATCHED")) {
		t.Errorf("not all was changed:\n%s", rendered)
	}
	objects := decode(t, rendered)
	want := []string{"gitops-operator: " + getSecrets, "team-a: " + getSecrets, "team-a: " + readDeployments}
	if got := grants(t, objects); !slices.Equal(got, want) {
		t.Errorf("rights:\n%s", strings.Join(got, "\n"))
	}
	if got := environment(container(t, objects))["GITOPS_OPERATOR_NAMESPACE"]; got != "team-a" {
		t.Errorf("watches %q", got)
	}
}

func TestEventsComponentSetsTheFlag(t *testing.T) {
	for dir, component := range map[string]string{"deploy": "components/events", "deploy/overlays/namespaced": "../../components/events", "deploy/overlays/self": "../../components/events"} {
		files := deployFiles(t)
		before := environment(container(t, decode(t, render(t, files, dir))))
		addEvents(t, files, dir, component)
		after := environment(container(t, decode(t, render(t, files, dir))))
		before["GITOPS_OPERATOR_EVENTS"] = "true"
		if !maps.Equal(before, after) {
			t.Errorf("%s: the environment is %v", dir, after)
		}
	}
}

func TestImageIsTheSameEverywhere(t *testing.T) {
	const want = "kainlite/gitops-operator:latest"
	for _, dir := range installs {
		if got := container(t, install(t, dir)).Image; got != want {
			t.Errorf("%s runs %s", dir, got)
		}
	}
}
