package k8s

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kainlite/gitops-operator/test/apiserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(apiserver.M{M: m}) }

// kubeconfig is a file with a context of the same name for each server.
func kubeconfig(current string, servers ...string) string {
	var clusters, contexts strings.Builder
	for _, s := range servers {
		clusters.WriteString("- {name: " + s + ", cluster: {server: 'https://" + s + ".example'}}\n")
		contexts.WriteString("- {name: " + s + ", context: {cluster: " + s + ", user: me}}\n")
	}
	return "apiVersion: v1\nkind: Config\ncurrent-context: " + current +
		"\nclusters:\n" + clusters.String() + "contexts:\n" + contexts.String() + "users:\n- {name: me, user: {token: t}}\n"
}

func TestKubeconfigIsFoundAsKubectlFindsIt(t *testing.T) {
	dir := folder(t,
		"one", kubeconfig("a", "a", "b"),
		"two", kubeconfig("c", "c"),
		"none", kubeconfig("''", "a"),
		"garbled", "clusters: {",
		"half", "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: gone, user: gone}}]\n",
	)
	in := func(names ...string) string {
		var paths []string
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		return strings.Join(paths, string(os.PathListSeparator))
	}
	tests := []struct {
		name, env string
		opt       ClusterOptions
		want      string // the server, or the error with the folder as DIR
	}{
		{"KUBECONFIG", in("one"), ClusterOptions{}, "https://a.example"},
		{"first of several wins", in("missing", "two", "one"), ClusterOptions{}, "https://c.example"},
		{"context", in("one"), ClusterOptions{Context: "b"}, "https://b.example"},
		{"context of the second file", in("two", "one"), ClusterOptions{Context: "b"}, "https://b.example"},
		{"file", in("one"), ClusterOptions{Kubeconfig: in("two")}, "https://c.example"},
		{"file and context", in("two"), ClusterOptions{Kubeconfig: in("one"), Context: "b"}, "https://b.example"},
		{"no such file", in("one"), ClusterOptions{Kubeconfig: in("missing")}, "read kubeconfig: stat DIR/missing: no such file or directory"},
		{"no such context", in("one"), ClusterOptions{Context: "z"}, `read kubeconfig: context "z" does not exist`},
		{"nothing", in("missing"), ClusterOptions{}, "no cluster: this does not run inside one, and no kubeconfig names one (DIR/missing): give --kubeconfig, or --from for YAML files"},
		{"no current context", "", ClusterOptions{Kubeconfig: in("none")}, "no cluster: this does not run inside one, and no kubeconfig names one (DIR/none): give --kubeconfig, or --from for YAML files"},
		{"no cluster in it", "", ClusterOptions{Kubeconfig: in("half")}, "no cluster: this does not run inside one, and no kubeconfig names one (DIR/half): give --kubeconfig, or --from for YAML files"},
		{"garbled", "", ClusterOptions{Kubeconfig: in("garbled")}, "read kubeconfig: error loading config file \"DIR/garbled\": yaml: line 1: did not find expected node content"},
		{"selector", in("one"), ClusterOptions{Selector: "a in"}, `parse selector "a in": unable to parse requirement: found '' expected: '('`},
		{"namespace", in("one"), ClusterOptions{Namespaces: []string{"ok", "a/b"}}, `namespace "a/b" is invalid: a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`},
	}
	for _, inCluster := range []string{"", "10.0.0.1"} {
		t.Setenv("KUBERNETES_SERVICE_HOST", inCluster) // a pod, but without a token
		t.Setenv("KUBERNETES_SERVICE_PORT", "443")
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				t.Setenv("KUBECONFIG", test.env)
				test.opt.Log = zap.NewNop()
				cluster, err := OpenCluster(test.opt)
				got := ""
				if err != nil {
					got = strings.ReplaceAll(err.Error(), dir, "DIR")
				} else {
					got = cluster.links.server
				}
				if got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			})
		}
	}
}

// nobody is the address of a port that nobody listens at.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func TestRunEndsAtOnceWhileTheServerIsAway(t *testing.T) {
	path := filepath.Join(folder(t, "config", strings.Replace(kubeconfig("a", "a"), "https://a.example", nobody(t), 1)), "config")
	synctest.Test(t, func(t *testing.T) {
		c := watchCluster(t, ClusterOptions{Kubeconfig: path})
		c.retried(t, 5) // the pauses are long now
		end := time.Now()
		c.stop()
		if late := time.Since(end); late > 0 {
			t.Errorf("ended after %s", late)
		}
	})
}

// Older API servers cannot stream the first listing.
func TestServerThatCannotStreamIsListed(t *testing.T) {
	var agents sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agents.Store(r.UserAgent(), true)
		w.Header().Set("Content-Type", "application/json")
		switch q := r.URL.Query(); {
		case q.Get("sendInitialEvents") != "":
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"apiVersion":"v1","kind":"Status","status":"Failure","code":422,"reason":"Invalid","message":"sendInitialEvents is forbidden"}`)
		case q.Get("watch") != "":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			fmt.Fprint(w, `{"apiVersion":"apps/v1","kind":"DeploymentList","metadata":{"resourceVersion":"5"},"items":[{"metadata":{"namespace":"web","name":"blog","annotations":{"gitops.operator.enabled":"true"}}}]}`)
		}
	}))
	defer server.Close()
	path := filepath.Join(folder(t, "config", strings.Replace(kubeconfig("a", "a"), "https://a.example", server.URL, 1)), "config")
	var wrapped atomic.Int32
	c := watchCluster(t, ClusterOptions{Kubeconfig: path, Wrap: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			wrapped.Add(1)
			return next.RoundTrip(r)
		})
	}}).ready(t)
	c.sees(t, "web/blog!")
	if wrapped.Load() < 2 {
		t.Error("requests went past what is around the transport")
	}
	if w := c.warnings(); w != nil {
		t.Errorf("logged %q", w)
	}
	c.stop()
	for agent := range agents.Range {
		if agent != "gitops-operator-test" {
			t.Errorf("asked as %q", agent)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRunEndsAListingThatHangs(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		close(begun)
		<-r.Context().Done()
		close(ended)
	}))
	defer server.Close()
	defer server.CloseClientConnections()
	path := filepath.Join(folder(t, "config", strings.Replace(kubeconfig("a", "a"), "https://a.example", server.URL, 1)), "config")
	c := watchCluster(t, ClusterOptions{Kubeconfig: path})
	<-begun
	c.stop()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("it goes on")
	}
}

func TestPolicyLimitsTheSecretsThatDeploymentsMayName(t *testing.T) {
	own, other, third := SecretRef{"web", "key"}, SecretRef{"ops", "key"}, SecretRef{"db", "key"}
	const (
		crossed = "secret ops/key is forbidden: a Deployment may name Secrets of its own namespace only, which is web (--no-cross-namespace-secrets)"
		listed  = "is forbidden: Deployments may name Secrets of these namespaces only: ops, infra (--secret-namespace)"
	)
	only := SecretPolicy{Namespaces: []string{"ops", "infra"}}
	both := SecretPolicy{NoCrossNamespace: true, Namespaces: only.Namespaces}
	tests := []struct {
		name   string
		policy SecretPolicy
		ref    SecretRef
		want   string
	}{
		{"no policy", SecretPolicy{}, other, ""},
		{"own namespace", SecretPolicy{NoCrossNamespace: true}, own, ""},
		{"across", SecretPolicy{NoCrossNamespace: true}, other, crossed},
		{"listed", only, other, ""},
		{"not listed", only, third, "secret db/key " + listed},
		{"own but not listed", only, own, "secret web/key " + listed},
		{"both: listed but not own", both, other, crossed},
		{"both: own but not listed", both, own, "secret web/key " + listed},
		{"both: own and listed", SecretPolicy{NoCrossNamespace: true, Namespaces: []string{"web"}}, own, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.policy.Allow("web", test.ref)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if (err != nil) != errors.Is(err, ErrSecretForbidden) || errors.Is(err, ErrSecretNotFound) {
				t.Errorf("error %v is of the wrong type", err)
			}
		})
	}
}

// BenchmarkSnapshot makes a snapshot of 10,000 Deployments anew, as the first
// request after a change does.
func BenchmarkSnapshot(b *testing.B) {
	path := filepath.Join(folder(b, "config", kubeconfig("a", "a")), "config")
	c, err := OpenCluster(ClusterOptions{Kubeconfig: path, Log: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10_000 {
		r, _ := toRecord(newBlog(b, "web", fmt.Sprintf("blog-%d", i), "1"))
		if err := c.informers[0].GetStore().Add(r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		c.look()
	}
}

func TestRecordsKeepOnlyWhatIsNeeded(t *testing.T) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: "web", Name: "blog", ResourceVersion: "7", UID: "u",
		Labels:        map[string]string{"a": "b"},
		Annotations:   map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "long"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Image: "kainlite/blog:1"}}
	r := mustRecord(t, d)
	if r.target != nil || r.untracked != nil || r.Annotations != nil || r.Labels != nil || r.ManagedFields != nil {
		t.Errorf("kept %+v of a Deployment that is nobody's business", r)
	}
	if r.Namespace != "web" || r.Name != "blog" || r.ResourceVersion != "7" {
		t.Errorf("the informer cannot work with %+v", r)
	}
	if again := mustRecord(t, r); again != r {
		t.Error("a record was changed by the second transform")
	}
	d.Annotations[Prefix+"enabled"] = "true"
	if r := mustRecord(t, d); r.untracked == nil || r.untracked.Key() != "web/blog" {
		t.Errorf("untracked is %+v", r.untracked)
	}
	for _, name := range required {
		d.Annotations[Prefix+name] = "kainlite/blog"
	}
	if r := mustRecord(t, d); r.target == nil || r.target.Version != "1" {
		t.Errorf("target is %+v", r.target)
	}
	d.Spec.Template.Spec.Containers = nil
	if r := mustRecord(t, d); r.target == nil || r.target.Container != "" || r.target.Version != "latest" {
		t.Errorf("target without containers is %+v", r.target)
	}
}

func mustRecord(t *testing.T, obj any) *record {
	t.Helper()
	r, err := toRecord(obj)
	if err != nil {
		t.Fatal(err)
	}
	return r.(*record)
}
