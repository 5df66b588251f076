package k8s

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/kainlite/gitops-operator/test/apiserver"
)

// patience is how long the tests wait for what must come; client-go pauses up
// to half a minute between attempts.
const patience = 2 * time.Minute

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("after %s still not: %s", patience, what)
		}
	}
}

// watched is a Cluster under test, with what it has logged.
type watched struct {
	*Cluster
	logs *observer.ObservedLogs
	stop func() // returns when Run has
}

func watchCluster(t testing.TB, opt ClusterOptions) *watched {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	opt.Log, opt.UserAgent = zap.New(core), "gitops-operator-test"
	cluster, err := OpenCluster(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { cluster.Run(ctx) })
	w := &watched{cluster, logs, func() { cancel(); run.Wait() }}
	t.Cleanup(w.stop)
	return w
}

// ready waits for the first listing.
func (w *watched) ready(t testing.TB) *watched {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return w
}

// sees waits for a state of the Deployments, as manifests.summary tells it.
func (w *watched) sees(t testing.TB, want string) {
	t.Helper()
	got := ""
	defer func() {
		if t.Failed() {
			t.Logf("last seen: %q", got)
		}
	}()
	eventually(t, "sees "+want, func() bool {
		s, err := w.Deployments(t.Context())
		m := manifests{targets: s.Targets, untracked: s.Untracked}
		got = m.summary()
		return err == nil && got == want
	})
}

// warnings are the messages of level warn and above, with their reasons.
func (w *watched) warnings() []string {
	var lines []string
	for _, entry := range w.logs.Filter(func(e observer.LoggedEntry) bool { return e.Level >= zapcore.WarnLevel }).All() {
		lines = append(lines, fmt.Sprint(entry.Message, ": ", entry.ContextMap()["error"]))
	}
	return lines
}

// retried waits until client-go has begun n more attempts.
func (w *watched) retried(t testing.TB, n int) {
	t.Helper()
	attempts := func() int {
		return w.logs.Filter(func(e observer.LoggedEntry) bool {
			return strings.Contains(fmt.Sprint(e.ContextMap()["message"]), "Listing and watching")
		}).Len()
	}
	before := attempts()
	eventually(t, "more attempts", func() bool { return attempts() >= before+n })
}

// newBlog is what blogYAML describes.
func newBlog(t testing.TB, namespace, name, tag string) *appsv1.Deployment {
	t.Helper()
	var d appsv1.Deployment
	if err := yaml.Unmarshal([]byte(blogYAML(namespace, name, tag)), &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func create(t testing.TB, s *apiserver.Server, ds ...*appsv1.Deployment) {
	t.Helper()
	for _, d := range ds {
		if _, err := s.Client.AppsV1().Deployments(d.Namespace).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// patch merges JSON into a Deployment.
func patch(t testing.TB, s *apiserver.Server, namespace, name, json string) {
	t.Helper()
	if _, err := s.Client.AppsV1().Deployments(namespace).Patch(t.Context(), name, types.StrategicMergePatchType, []byte(json), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, s *apiserver.Server, namespace, name string) {
	t.Helper()
	if err := s.Client.AppsV1().Deployments(namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func annotate(name, value string) string {
	return fmt.Sprintf(`{"metadata": {"annotations": {"gitops.operator.%s": %s}}}`, name, value)
}

func image(tag string) string {
	return fmt.Sprintf(`{"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "kainlite/blog:%s"}]}}}}`, tag)
}

// operator creates a service account that is bound to the ClusterRole that is
// shipped, and returns its token.
func operator(t testing.TB, s *apiserver.Server, namespace string, only ...string) string {
	t.Helper()
	shipped, err := os.ReadFile("../deploy/base/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	for _, doc := range documents(shipped) {
		if statedKind(doc) == "ClusterRole" {
			if err := yaml.Unmarshal(doc, &role); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Client.RbacV1().ClusterRoles().Create(t.Context(), &role, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	token := s.ServiceAccount(t, namespace, "operator")
	s.Bind(t, role.Name, namespace, "operator", only...)
	return token
}
