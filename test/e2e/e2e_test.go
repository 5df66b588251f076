// Package e2e runs the operator as it runs in a cluster: against a real API
// server, with the rights that deploy/ ships, asked as the kubelet asks.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"github.com/kainlite/gitops-operator/test/apiserver"
	"github.com/kainlite/gitops-operator/test/world"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(apiserver.M{M: m}, goleak.Cleanup(func(code int) {
		if programDir != "" {
			os.RemoveAll(programDir)
		}
		os.Exit(code)
	}))
}

const (
	root      = "../.."
	namespace = "gitops-operator" // of the operator, as shipped
	manifests = "kainlite/manifests"
	old       = "3c0a88249fb61a0a4f4a65295f42b2dee3963c28"
)

// programDir is where program is, once somebody has asked for it.
var programDir string

// program is the operator, built once; TestMain removes it.
var program = sync.OnceValues(func() (file string, err error) {
	if programDir, err = os.MkdirTemp("", "gitops-operator-e2e-"); err != nil {
		return "", err
	}
	file = filepath.Join(programDir, "gitops-operator")
	out, err := exec.Command("go", "build", "-C", root, "-o", file, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return file, nil
})

// objects renders a folder of deploy/.
func objects(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join(root, folder))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "./render", abs)
	cmd.Dir = filepath.Join(root, "test/deploycheck")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []*unstructured.Unstructured
	documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := documents.Decode(o); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		if len(o.Object) > 0 {
			list = append(list, o)
		}
	}
}

// apply does what kubectl apply --server-side does.
func apply(t *testing.T, s *apiserver.Server, o *unstructured.Unstructured, dryRun bool) {
	t.Helper()
	config := s.Config(s.AdminToken())
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	found, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(found)
	if err != nil {
		t.Fatal(err)
	}
	kind := o.GroupVersionKind()
	mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		t.Fatal(err)
	}
	resource := dynamic.ResourceInterface(client.Resource(mapping.Resource))
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		resource = client.Resource(mapping.Resource).Namespace(o.GetNamespace())
	}
	opt := metav1.ApplyOptions{FieldManager: "test", Force: true}
	if dryRun {
		opt.DryRun = []string{metav1.DryRunAll}
	}
	if _, err := resource.Apply(t.Context(), o.GetName(), o, opt); err != nil {
		t.Errorf("apply %s %s/%s: %s", kind.Kind, o.GetNamespace(), o.GetName(), err)
	}
}

// makeNamespace makes the operator's, which a dry run does not.
func makeNamespace(t *testing.T, s *apiserver.Server) {
	t.Helper()
	_, err := s.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

func TestAPIServerTakesBaseAndOverlays(t *testing.T) {
	s := apiserver.Start(t)
	makeNamespace(t, s)
	for _, folder := range []string{"deploy", "deploy/overlays/namespaced", "deploy/overlays/self", withEvents(t, "deploy"), withEvents(t, "deploy/overlays/namespaced")} {
		t.Run(folder, func(t *testing.T) {
			list := objects(t, folder)
			if len(list) < 6 {
				t.Fatalf("%d objects", len(list))
			}
			for _, o := range list {
				apply(t, s, o, true)
			}
		})
	}
}

// cluster is a world whose Deployments are in a cluster, where the operator has
// the rights that deploy/ ships.
type cluster struct {
	*world.World
	log  lines
	api  *apiserver.Server
	apps string // the namespace of the Deployments
	url  string // of the running operator
	kill func() // ends it, as Kubernetes does
}

func newCluster(t *testing.T, flags ...string) *cluster {
	t.Helper()
	return newClusterWith(t, "deploy", flags...)
}

// newClusterWith has the rights of a folder.
func newClusterWith(t *testing.T, folder string, flags ...string) *cluster {
	t.Helper()
	c := &cluster{World: world.New(t), api: apiserver.Start(t)}
	makeNamespace(t, c.api)
	for _, o := range objects(t, folder) {
		if o.GetKind() != "Deployment" && o.GetKind() != "Namespace" {
			apply(t, c.api, o, false)
		}
	}
	c.apps = c.api.Namespace(t, "apps")
	c.secret("ssh-key", c.Secrets[world.SSHSecret])
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(file, append([]string{"serve", "--listen", "127.0.0.1:0", "--namespace", c.apps,
		"--kubeconfig", c.api.Kubeconfig(t, c.token()), "--cache-dir", t.TempDir()}, flags...)...)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	for c.url == "" && lines.Scan() {
		var entry struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "listening" {
			c.url = "http://" + entry.Address
		}
	}
	var drained sync.WaitGroup
	drained.Go(func() {
		for lines.Scan() {
			c.log.add(lines.Text())
		}
	})
	c.kill = sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		drained.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the operator ended with %v", err)
		}
	})
	t.Cleanup(c.kill)
	c.eventually("the first listing", func() bool { code, _ := c.get("/health"); return code == http.StatusOK })
	return c
}

// token is one of the shipped service account, as a pod gets it.
func (c *cluster) token() string {
	c.T.Helper()
	r, err := c.api.Client.CoreV1().ServiceAccounts(namespace).CreateToken(c.T.Context(), "gitops-operator", &authv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		c.T.Fatal(err)
	}
	return r.Status.Token
}

// lines is what the operator has logged.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, line)
}

// with returns those that contain a text.
func (l *lines) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.text {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

func (c *cluster) eventually(what string, is func() bool) {
	c.T.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			c.T.Fatalf("still not: %s", what)
		}
	}
}

func (c *cluster) get(path string) (int, string) {
	c.T.Helper()
	resp, err := http.Get(c.url + path)
	if err != nil {
		c.T.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.T.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (c *cluster) secret(name string, data map[string][]byte) {
	c.T.Helper()
	secrets := c.api.Client.CoreV1().Secrets(namespace)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
	_, err := secrets.Create(c.T.Context(), s, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = secrets.Update(c.T.Context(), s, metav1.UpdateOptions{})
	}
	if err != nil {
		c.T.Fatal(err)
	}
}

// deploy makes applications with a Deployment and a manifest each that is
// behind, and waits until the operator tracks them.
func (c *cluster) deploy(names ...string) {
	c.T.Helper()
	files := map[string]string{}
	for _, name := range names {
		c.App("kainlite/" + name)
		files[name+".yaml"] = world.Manifest(name, "kainlite/"+name+":"+old)
		labels := map[string]string{"app": name}
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: c.Annotations(name, nil)}}
		d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		d.Spec.Template.Labels = labels
		d.Spec.Template.Spec.Containers = []corev1.Container{{Name: name, Image: "kainlite/" + name + ":" + old}}
		if _, err := c.api.Client.AppsV1().Deployments(c.apps).Create(c.T.Context(), d, metav1.CreateOptions{}); err != nil {
			c.T.Fatal(err)
		}
	}
	c.Commit(manifests, files)
	want := fmt.Sprintf(`"tracked_deployments":%d}`, len(names))
	c.eventually("the Deployments are tracked", func() bool { _, body := c.get("/health"); return strings.Contains(body, want) })
}

func (c *cluster) wantInGit(name string) {
	c.T.Helper()
	head := c.Git("kainlite/"+name, "rev-parse", "master")
	if got, want := c.File(manifests, name+".yaml"), world.Manifest(name, "kainlite/"+name+":"+head); got != want {
		c.T.Errorf("%s got:\n%s\nwant:\n%s", name, got, want)
	}
}

// The whole job, with the rights as shipped and no others.
func TestWholeJobWithTheShippedRights(t *testing.T) {
	c := newCluster(t)
	c.deploy("blog", "api")
	code, body := c.get("/reconcile")
	if code != http.StatusOK || strings.Count(body, `"action":"patched"`) != 2 {
		t.Fatalf("%d %s", code, body)
	}
	c.wantInGit("blog")
	c.wantInGit("api")
	_, body = c.get("/reconcile?deployment=" + c.apps + "/blog")
	if !strings.Contains(body, `"action":"up_to_date"`) || strings.Contains(body, `"api"`) {
		t.Error(body)
	}

	// A Deployment that goes is forgotten, one that is garbled is told of.
	deployments := c.api.Client.AppsV1().Deployments(c.apps)
	if err := deployments.Delete(t.Context(), "api", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	blog, err := deployments.Get(t.Context(), "blog", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	delete(blog.Annotations, "gitops.operator.image_name")
	if _, err := deployments.Update(t.Context(), blog, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually("blog is not tracked any more", func() bool {
		_, body := c.get("/status")
		return strings.Contains(body, "tracked deployments: 0\n") &&
			strings.Contains(body, "not tracked: "+c.apps+"/blog: missing annotation gitops.operator.image_name\n")
	})

	// The rights do not go further.
	as, err := kubernetes.NewForConfig(c.api.Config(c.token()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := as.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing Secrets: %v", err)
	}
	if _, err := as.AppsV1().Deployments(c.apps).Update(t.Context(), blog, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("changing a Deployment: %v", err)
	}
	if _, err := as.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing ConfigMaps: %v", err)
	}
}

func TestSecretsThatCannotBeHad(t *testing.T) {
	c := newCluster(t, "--secret-namespace", namespace)
	c.deploy("blog")
	for _, x := range []struct{ annotation, value, want string }{
		{"ssh_key_name", "nope", "read SSH key: secret gitops-operator/nope not found: create it, or correct gitops.operator.ssh_key_name and ssh_key_namespace"},
		{"ssh_key_namespace", "kube-system", "read SSH key: secret kube-system/nope is forbidden: Deployments may name Secrets of these namespaces only: gitops-operator (--secret-namespace)"},
	} {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"gitops.operator.%s":%q}}}`, x.annotation, x.value)
		if _, err := c.api.Client.AppsV1().Deployments(c.apps).Patch(t.Context(), "blog", "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		c.eventually(x.want, func() bool {
			_, body := c.get("/reconcile")
			return strings.Contains(body, x.want)
		})
	}
}

// The kubelet gives up at its time-out and closes the connection, again and
// again, while the manifests repository does not answer. Nothing is lost,
// cancelled or done twice.
func TestReadinessProbeThatTimesOut(t *testing.T) {
	c := newCluster(t)
	c.deploy("blog", "api")
	c.Server.ResetStats()
	c.Server.Stall(manifests+".git", true)
	probe := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/reconcile", nil)
		if err != nil {
			return err
		}
		req.Header.Set("User-Agent", "kube-probe/1.37")
		req.Header.Set("Connection", "close")
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext}}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	for range 5 {
		if err := probe(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the probe was to time out: %v", err)
		}
	}
	if code, _ := c.get("/health"); code != http.StatusOK {
		t.Errorf("health while a pass hangs: %d", code)
	}
	// With ?wait, as shipped, the probe gets an answer in time.
	if code, body := c.get("/reconcile?wait=100ms"); code != http.StatusOK || strings.Count(body, `"action":"pending"`) != 2 {
		t.Errorf("%d %s", code, body)
	}
	c.Server.Stall(manifests+".git", false)
	c.eventually("the pass has gone on without anybody who waits", func() bool {
		return c.Git(manifests, "rev-list", "--count", "master") == "3"
	})
	_, body := c.get("/reconcile")
	if strings.Count(body, `"action":"up_to_date"`) != 2 {
		t.Error(body)
	}
	c.wantInGit("blog")
	c.wantInGit("api")
	if s := c.Server.Stats(); s.Pushes != 1 {
		t.Errorf("%d pushes", s.Pushes)
	}
	c.kill()
}
