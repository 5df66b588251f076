package k8s

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kainlite/gitops-operator/policy"
	"github.com/kainlite/gitops-operator/test/apiserver"
)

func TestClusterIsFollowed(t *testing.T) {
	s := apiserver.Start(t)
	ns := s.Namespace(t, "follow")
	create(t, s, newBlog(t, ns, "b", "1"), newBlog(t, ns, "a", "1"))
	plain := newBlog(t, ns, "plain", "1")
	plain.Annotations = nil
	create(t, s, plain)

	c := watchCluster(t, ClusterOptions{Kubeconfig: s.Kubeconfig(t, operator(t, s, ns)), Namespaces: []string{ns}}).ready(t)
	see := func(want string) {
		t.Helper()
		c.sees(t, strings.ReplaceAll(want, "NS", ns))
	}
	see("NS/a=kainlite/blog:1 NS/b=kainlite/blog:1")

	patch(t, s, ns, "a", image("2"))
	see("NS/a=kainlite/blog:2 NS/b=kainlite/blog:1")
	create(t, s, newBlog(t, ns, "c", "1"))
	see("NS/a=kainlite/blog:2 NS/b=kainlite/blog:1 NS/c=kainlite/blog:1")
	remove(t, s, ns, "b")
	see("NS/a=kainlite/blog:2 NS/c=kainlite/blog:1")

	patch(t, s, ns, "a", annotate("image_name", "null"))
	see("NS/c=kainlite/blog:1 NS/a!")
	snapshot, _ := c.Deployments(t.Context())
	if got := snapshot.Untracked[0].Reason; got != "missing annotation gitops.operator.image_name" {
		t.Errorf("reason %q", got)
	}
	patch(t, s, ns, "a", annotate("image_name", `"kainlite/blog"`))
	see("NS/a=kainlite/blog:2 NS/c=kainlite/blog:1")

	patch(t, s, ns, "c", `{"metadata": {"annotations": null}}`)
	see("NS/a=kainlite/blog:2")
	patch(t, s, ns, "plain", annotate("enabled", `"true"`))
	see("NS/a=kainlite/blog:2 NS/plain!")
	remove(t, s, ns, "plain")
	see("NS/a=kainlite/blog:2")
	if w := c.warnings(); w != nil {
		t.Errorf("logged %q", w)
	}
}

func TestSelectorAndNamespacesLimitWhatIsWatched(t *testing.T) {
	s := apiserver.Start(t)
	a, b, other := s.Namespace(t, "limit-a"), s.Namespace(t, "limit-b"), s.Namespace(t, "limit-c")
	for _, ns := range []string{a, b, other} {
		create(t, s, newBlog(t, ns, "one", "1"), newBlog(t, ns, "two", "1"))
	}
	config := s.Kubeconfig(t, operator(t, s, a))
	everywhere := watchCluster(t, ClusterOptions{Kubeconfig: config, Selector: "app=one"}).ready(t)
	// Rights in two namespaces are enough to watch these two.
	narrow := s.ServiceAccount(t, b, "narrow")
	s.Bind(t, "gitops-operator", b, "narrow", a, b)
	two := watchCluster(t, ClusterOptions{Kubeconfig: s.Kubeconfig(t, narrow), Namespaces: []string{b, a, b}}).ready(t)

	snapshot, err := everywhere.Deployments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, target := range snapshot.Targets {
		if slices.Contains([]string{a, b, other}, target.Namespace) {
			names = append(names, target.Namespace+"/"+target.Name)
		}
	}
	if want := []string{a + "/one", b + "/one", other + "/one"}; !slices.Equal(names, want) {
		t.Errorf("selected %q, want %q", names, want)
	}
	see := func(format string) {
		t.Helper()
		two.sees(t, strings.NewReplacer("A/", a+"/", "B/", b+"/").Replace(format))
	}
	see("A/one=kainlite/blog:1 A/two=kainlite/blog:1 B/one=kainlite/blog:1 B/two=kainlite/blog:1")

	labelled := watchCluster(t, ClusterOptions{Kubeconfig: config, Namespaces: []string{a}, Selector: "app=two"}).ready(t)
	labelled.sees(t, a+"/two=kainlite/blog:1")
	patch(t, s, a, "two", `{"metadata": {"labels": {"app": "moved"}}}`)
	labelled.sees(t, "")
}

func TestClusterIsFollowedAcrossARestartOfItsServer(t *testing.T) {
	s := apiserver.Start(t)
	ns := s.Namespace(t, "restart")
	create(t, s, newBlog(t, ns, "a", "1"), newBlog(t, ns, "b", "1"))
	c := watchCluster(t, ClusterOptions{Kubeconfig: s.Kubeconfig(t, operator(t, s, ns)), Namespaces: []string{ns}}).ready(t)
	c.sees(t, ns+"/a=kainlite/blog:1 "+ns+"/b=kainlite/blog:1")

	s.StopAPI()
	eventually(t, "the failure is known", func() bool { return c.Problem() != "" })
	snapshot, err := c.Deployments(t.Context())
	if want := "watch Deployments: cannot reach the API server " + s.URL + ": "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s...", err, want)
	}
	if len(snapshot.Targets) != 2 || !c.Ready() {
		t.Errorf("ready: %v, with %d Deployments", c.Ready(), len(snapshot.Targets))
	}
	_, err = c.Secret(t.Context(), ns, "key")
	if want := "secret " + ns + "/key: cannot reach the API server " + s.URL + ": "; err == nil || !strings.HasPrefix(err.Error(), want) ||
		errors.Is(err, ErrSecretNotFound) || errors.Is(err, ErrSecretForbidden) {
		t.Errorf("error %v, want %s...", err, want)
	}

	s.StartAPI(t)
	remove(t, s, ns, "a")
	patch(t, s, ns, "b", image("2"))
	create(t, s, newBlog(t, ns, "c", "1"))
	c.sees(t, ns+"/b=kainlite/blog:2 "+ns+"/c=kainlite/blog:1")
	patch(t, s, ns, "c", image("3"))
	c.sees(t, ns+"/b=kainlite/blog:2 "+ns+"/c=kainlite/blog:3")
	if c.Problem() != "" {
		t.Errorf("problem %q", c.Problem())
	}
	if w := c.warnings(); w != nil {
		t.Errorf("logged %q, and returned it, too", w)
	}
}

func TestServerThatIsNotThereYetIsWaitedFor(t *testing.T) {
	s := apiserver.Start(t)
	ns := s.Namespace(t, "later")
	create(t, s, newBlog(t, ns, "a", "1"))
	config := s.Kubeconfig(t, operator(t, s, ns))
	s.StopAPI()
	c := watchCluster(t, ClusterOptions{Kubeconfig: config, Namespaces: []string{ns}})
	c.retried(t, 2)
	if c.Ready() {
		t.Error("ready without a server")
	}
	if _, err := c.Deployments(t.Context()); err == nil || err.Error() != "list Deployments: the first listing is not complete yet" {
		t.Errorf("error %v", err)
	}
	problem := "cannot reach the API server " + s.URL + ": dial tcp " + strings.TrimPrefix(s.URL, "https://") + ": connect: connection refused"
	if got, want := c.warnings(), []string{"Deployments cannot be listed; trying again: " + problem}; !slices.Equal(got, want) {
		t.Errorf("logged %q\nwant   %q", got, want)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.WaitReady(impatient); !errors.Is(err, context.Canceled) || err.Error() != "list Deployments: "+problem+" (context canceled)" {
		t.Errorf("error %v", err)
	}
	s.StartAPI(t)
	c.ready(t).sees(t, ns+"/a=kainlite/blog:1")
	// A server that starts may refuse at first, which is another state.
	if got := c.warnings(); strings.Count(strings.Join(got, "\n"), problem) != 1 {
		t.Errorf("logged %q", got)
	}
}

func TestRunLeavesNothingBehind(t *testing.T) {
	s := apiserver.Start(t)
	ns := s.Namespace(t, "leave")
	config := s.Kubeconfig(t, operator(t, s, ns))
	// With its own setting, it gets connections of its own.
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, strings.Replace(string(text), "    server:", "    disable-compression: true\n    server:", 1))
	before := goleak.IgnoreCurrent()
	c := watchCluster(t, ClusterOptions{Kubeconfig: config}).ready(t)
	if _, err := c.Secret(t.Context(), ns, "none"); !errors.Is(err, ErrSecretNotFound) {
		t.Error(err)
	}
	c.stop()
	goleak.VerifyNone(t, before)
}

func TestRefusedCredentialsAreNamed(t *testing.T) {
	s := apiserver.Start(t)
	ns := s.Namespace(t, "refused")
	operator(t, s, ns)
	for name, token := range map[string]string{"expired": s.ExpiredToken(t, ns, "operator"), "invalid": "hunter2"} {
		t.Run(name, func(t *testing.T) {
			c := watchCluster(t, ClusterOptions{Kubeconfig: s.Kubeconfig(t, token)})
			c.retried(t, 2)
			problem := "the API server " + s.URL + " does not accept the credentials: token or certificate are missing, invalid or expired"
			if got, want := c.warnings(), []string{"Deployments cannot be listed; trying again: " + problem}; !slices.Equal(got, want) {
				t.Errorf("logged %q\nwant   %q", got, want)
			}
			if _, err := c.Secret(t.Context(), ns, "key"); err == nil || err.Error() != "secret "+ns+"/key: "+problem {
				t.Errorf("error %v", err)
			}
			for _, entry := range c.logs.All() {
				if strings.Contains(fmt.Sprint(entry), token) {
					t.Errorf("the log tells the token: %v", entry)
				}
			}
		})
	}
}

func TestMissingRightsAreNamedAndUsedOnceGiven(t *testing.T) {
	s := apiserver.Start(t)
	ns := s.Namespace(t, "rights")
	operator(t, s, ns) // creates the role
	token := s.ServiceAccount(t, ns, "late")
	c := watchCluster(t, ClusterOptions{Kubeconfig: s.Kubeconfig(t, token), Namespaces: []string{ns}})
	c.retried(t, 2)
	user := `User "system:serviceaccount:` + ns + `:late"`
	problem := "forbidden: " + user + ` cannot watch resource "deployments" in API group "apps" in the namespace "` + ns + `": allow it to get, list and watch deployments.apps`
	if got := c.warnings(); len(got) != 2 || got[0] != "Deployments cannot be listed; trying again: "+problem ||
		got[1] != strings.Replace(got[0], "cannot watch", "cannot list", 1) {
		t.Errorf("logged %q\nwant   %q", got, problem)
	}
	_, err := c.Secret(t.Context(), ns, "key")
	want := "secret " + ns + "/key is forbidden: " + user + ` cannot get resource "secrets" in API group "" in the namespace "` + ns + `": allow it to get secrets in namespace ` + ns + ", with a Role and a RoleBinding there"
	if !errors.Is(err, ErrSecretForbidden) || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
	s.Bind(t, "gitops-operator", ns, "late", ns)
	c.ready(t).sees(t, "")
	if _, err := c.Secret(t.Context(), ns, "key"); !errors.Is(err, ErrSecretNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestShippedRoleAllowsWhatIsNeededAndNoMore(t *testing.T) {
	s := apiserver.Start(t)
	ns := s.Namespace(t, "role")
	client, err := kubernetes.NewForConfig(s.Config(operator(t, s, ns)))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	deployments, secrets := client.AppsV1().Deployments(""), client.CoreV1().Secrets(ns)
	_, listErr := deployments.List(ctx, metav1.ListOptions{})
	w, watchErr := deployments.Watch(ctx, metav1.ListOptions{})
	if watchErr == nil {
		w.Stop()
	}
	if err := errors.Join(listErr, watchErr); err != nil {
		t.Error(err)
	}
	if _, err := secrets.Get(ctx, "none", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get secret: %v", err)
	}
	_, listErr = secrets.List(ctx, metav1.ListOptions{})
	_, watchErr = secrets.Watch(ctx, metav1.ListOptions{})
	_, createErr := secrets.Create(ctx, &corev1.Secret{}, metav1.CreateOptions{})
	_, writeErr := client.AppsV1().Deployments(ns).Create(ctx, newBlog(t, ns, "x", "1"), metav1.CreateOptions{})
	_, podsErr := client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
	for what, err := range map[string]error{
		"list secrets": listErr, "watch secrets": watchErr, "create secret": createErr, "create deployment": writeErr, "list pods": podsErr,
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSecretsOfEveryFormAreRead(t *testing.T) {
	s := apiserver.Start(t)
	ns := s.Namespace(t, "secrets")
	c := watchCluster(t, ClusterOptions{Kubeconfig: s.Kubeconfig(t, operator(t, s, ns)), Namespaces: []string{ns}})
	const registry = `{"auths":{"https://index.docker.io/v1/":{"auth":"YTpi"}}}`
	tests := []struct {
		name string // also the Secret's
		corev1.Secret
	}{
		{"generic", corev1.Secret{Data: map[string][]byte{"ssh-privatekey": []byte("-----BEGIN\r\n\xff\x00"), "known_hosts": {}}}},
		{"ssh-auth", corev1.Secret{Type: corev1.SecretTypeSSHAuth, StringData: map[string]string{"ssh-privatekey": "key\n"}}},
		{"docker-registry", corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{".dockerconfigjson": registry}}},
		{"generic-dockerconfigjson", corev1.Secret{StringData: map[string]string{".dockerconfigjson": registry}}},
		{"config.json", corev1.Secret{StringData: map[string]string{"config.json": registry}}},
		{"tokens", corev1.Secret{StringData: map[string]string{"github-token": "t", "webhook-url": "https://hooks.example/x"}}},
		{"immutable", corev1.Secret{Immutable: new(true), StringData: map[string]string{"github-token": "t"}}},
		{"empty", corev1.Secret{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.Secret.Name = test.name
			stored, err := s.Client.CoreV1().Secrets(ns).Create(t.Context(), &test.Secret, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Secret(t.Context(), ns, test.name)
			if err != nil {
				t.Fatal(err)
			}
			for key, value := range test.StringData {
				stored.Data[key] = []byte(value)
			}
			same := func(a, b []byte) bool { return string(a) == string(b) }
			if !maps.EqualFunc(got, stored.Data, same) {
				t.Errorf("got  %q\nwant %q", got, stored.Data)
			}
		})
	}

	t.Run("changed", func(t *testing.T) {
		if _, err := s.Client.CoreV1().Secrets(ns).Patch(t.Context(), "tokens", types.MergePatchType, []byte(`{"stringData": {"github-token": "new"}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		got, err := c.Secret(t.Context(), ns, "tokens")
		if err != nil || string(got["github-token"]) != "new" {
			t.Errorf("got %q, %v", got, err)
		}
	})
	for _, namespace := range []string{ns, "no-such-namespace"} {
		_, err := c.Secret(t.Context(), namespace, "none")
		if !errors.Is(err, ErrSecretNotFound) || err.Error() != "secret "+namespace+"/none not found" {
			t.Errorf("error %v", err)
		}
	}
	// Nothing of an annotation may become another path or a listing.
	for _, name := range []string{"", ".", "..", "a/b", "a%2fb", "tokens?watch=1"} {
		if got, err := c.Secret(t.Context(), ns, name); err == nil {
			t.Errorf("%q gave %q", name, got)
		}
		if got, err := c.Secret(t.Context(), ns+"/secrets/tokens?", name); err == nil {
			t.Errorf("%q in an odd namespace gave %q", name, got)
		}
	}
}

func TestServerTakesNoDeploymentWithoutContainers(t *testing.T) {
	s := apiserver.Start(t)
	d := newBlog(t, s.Namespace(t, "empty"), "blog", "1")
	d.Spec.Template.Spec.Containers = nil
	_, err := s.Client.AppsV1().Deployments(d.Namespace).Create(t.Context(), d, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.template.spec.containers: Required value") {
		t.Errorf("error %v", err)
	}
}

func TestThousandDeploymentsAreFollowed(t *testing.T) {
	const count = 1000
	s := apiserver.Start(t)
	ns := s.Namespace(t, "many")
	begin := time.Now()
	var creators sync.WaitGroup
	numbers := make(chan int)
	for range 8 {
		creators.Go(func() {
			for i := range numbers {
				d := newBlog(t, ns, fmt.Sprintf("blog-%04d", i), "1")
				if _, err := s.Client.AppsV1().Deployments(ns).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range count {
		numbers <- i
	}
	close(numbers)
	creators.Wait()
	t.Logf("created in %s", time.Since(begin))

	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	begin = time.Now()
	c := watchCluster(t, ClusterOptions{Kubeconfig: s.Kubeconfig(t, operator(t, s, ns)), Namespaces: []string{ns}}).ready(t)
	snapshot, err := c.Deployments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("listed in %s", time.Since(begin))
	t.Logf("%d KiB of heap", (int64(heap())-int64(before))>>10)
	if len(snapshot.Targets) != count {
		t.Fatalf("%d Deployments", len(snapshot.Targets))
	}
	if !slices.IsSortedFunc(snapshot.Targets, func(a, b Target) int { return strings.Compare(a.Key(), b.Key()) }) {
		t.Error("not sorted")
	}
	// Whoever is ready has everything, from the first moment on.
	for range 20 {
		again := watchCluster(t, ClusterOptions{Kubeconfig: s.Kubeconfig(t, s.AdminToken()), Namespaces: []string{ns}}).ready(t)
		if first, _ := again.Deployments(t.Context()); len(first.Targets) != count {
			t.Fatalf("ready with %d Deployments", len(first.Targets))
		}
		again.stop()
	}
	patch(t, s, ns, "blog-0500", image("2"))
	eventually(t, "one of them changed", func() bool {
		now, _ := c.Deployments(t.Context())
		return now.Targets[500].Version == "2"
	})
	if snapshot.Targets[500].Version != "1" {
		t.Error("a snapshot has changed")
	}
}

// What others are promoted from is seen as it rolls out, though it carries no
// annotation itself.
func TestARolloutIsSeenForPromotion(t *testing.T) {
	s := apiserver.Start(t)
	ns := s.Namespace(t, "promote")
	staging := newBlog(t, ns, "staging", "1")
	staging.Annotations = nil
	production := newBlog(t, ns, "production", "1")
	production.Annotations[Prefix+"tag_from"] = "deployment:" + ns + "/staging"
	create(t, s, staging, production)
	c := watchCluster(t, ClusterOptions{Kubeconfig: s.Kubeconfig(t, operator(t, s, ns)), Namespaces: []string{ns}}).ready(t)
	observed := func() *policy.Observed {
		snapshot, err := c.Deployments(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return snapshot.Observed(policy.Workload{Namespace: ns, Name: "staging"})
	}
	if o := observed(); o == nil || o.ObservedGeneration != 0 || len(o.Images) != 1 || o.Images[0] != "kainlite/blog:1" {
		t.Fatalf("before anybody has rolled it out: %+v", o)
	}
	status := `{"status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1, "conditions": [
		{"type": "Available", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z", "lastUpdateTime": "2026-01-02T03:04:05Z", "reason": "x", "message": "x"}]}}`
	if _, err := s.Client.AppsV1().Deployments(ns).Patch(t.Context(), "staging", types.StrategicMergePatchType, []byte(status), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rollout", func() bool {
		o := observed()
		return o != nil && o.ObservedGeneration == 1 && o.ReadyToUse == 1 && o.Available != nil && o.Available.LastTransition.Year() == 2026
	})
	remove(t, s, ns, "staging")
	eventually(t, "the end", func() bool { return observed() == nil })
}
