package k8s

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kainlite/gitops-operator/test/apiserver"
)

// recording is Events under test, with a Deployment in a namespace of its own.
type recording struct {
	*Events
	t      *testing.T
	s      *apiserver.Server
	logs   *observer.ObservedLogs
	target Target
	uid    string // the Deployment's, as the API server knows it
}

// rights are those that Events are written with.
type rights int

const (
	noRights rights = iota
	eventRights
	allRights // an API server that starts has not read the other roles yet
)

func recordEvents(t *testing.T, with rights) recording {
	t.Helper()
	s := apiserver.Start(t)
	ns := s.Namespace(t, "events")
	create(t, s, newBlog(t, ns, "blog", "1"))
	d, err := s.Client.AppsV1().Deployments(ns).Get(t.Context(), "blog", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	target, _ := ParseDeployment(d)
	token := s.ServiceAccount(t, ns, "operator")
	switch with {
	case allRights:
		token = s.AdminToken()
	case eventRights:
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "events"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
		}}
		if _, err := s.Client.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
		s.Bind(t, role.Name, ns, "operator", ns)
	}
	core, logs := observer.New(zapcore.WarnLevel)
	cluster, err := OpenCluster(ClusterOptions{Kubeconfig: s.Kubeconfig(t, token), Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	r := recording{cluster.RecordEvents(), t, s, logs, *target, string(d.UID)}
	t.Cleanup(cluster.http.CloseIdleConnections)
	t.Cleanup(r.flush)
	return r
}

func (r recording) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r.Close(ctx)
}

// written are the Deployment's Events, as kubectl describe finds them: by its
// UID.
func (r recording) written() (lines []string) {
	r.t.Helper()
	list, err := r.s.Client.CoreV1().Events(r.target.Namespace).List(r.t.Context(), metav1.ListOptions{
		FieldSelector: "involvedObject.kind=Deployment,involvedObject.name=blog,involvedObject.uid=" + r.uid,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range list.Items {
		lines = append(lines, fmt.Sprintf("%s %s x%d %s: %s", e.Type, e.Reason, e.Count, e.Source.Component, e.Message))
	}
	slices.Sort(lines)
	return lines
}

func (r recording) wantWritten(want ...string) {
	r.t.Helper()
	if got := r.written(); !slices.Equal(got, want) {
		r.t.Errorf("Events:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// recorded records an Event and waits until it is written.
func (r recording) recorded(ev Event) {
	r.t.Helper()
	r.Record(r.target, ev)
	eventually(r.t, "the Event is written", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.line) == 0 && r.idle
	})
}

var broken = Event{Warning: true, Reason: "ReconcileFailed", Message: "Deployment blog failed: no key"}

func TestEventsTellOfADeployment(t *testing.T) {
	r := recordEvents(t, eventRights)
	r.Record(r.target, Event{Reason: "ImageUpdated", Message: "Deployment blog patched successfully to version 2"})
	r.recorded(broken)
	r.recorded(broken)
	r.recorded(broken)
	r.flush()
	r.wantWritten(
		"Normal ImageUpdated x1 gitops-operator: Deployment blog patched successfully to version 2",
		"Warning ReconcileFailed x3 gitops-operator: Deployment blog failed: no key",
	)
	if r.logs.Len() != 0 {
		t.Errorf("logged %v", r.logs.All())
	}
}

// A failure in every pass for days, and one whose text is new each time.
func TestEventsAreFewHoweverMuchIsRecorded(t *testing.T) {
	r := recordEvents(t, eventRights)
	for range 100 {
		r.recorded(broken)
	}
	other := newBlog(t, r.target.Namespace, "other", "1")
	create(t, r.s, other)
	noisy := r
	noisy.target.Name, noisy.target.UID = "other", "other"
	for i := range 20 {
		noisy.recorded(Event{Warning: true, Reason: "ReconcileFailed", Message: fmt.Sprint("request ", i)})
	}
	r.flush()
	// Beyond the 25th write, only now and then one.
	r.wantWritten("Warning ReconcileFailed x25 gitops-operator: Deployment blog failed: no key")
	list, err := r.s.Client.CoreV1().Events(r.target.Namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=other"})
	if err != nil {
		t.Fatal(err)
	}
	combined := slices.ContainsFunc(list.Items, func(e corev1.Event) bool {
		return e.Count == 11 && e.Message == "(combined from similar events): request 19"
	})
	if len(list.Items) != 10 || !combined {
		t.Errorf("%d Events for 20 texts: %v", len(list.Items), list.Items)
	}
}

// The API server forgets Events after an hour, or when somebody deletes them.
func TestEventsThatAreGoneAreWrittenAnew(t *testing.T) {
	r := recordEvents(t, eventRights)
	r.recorded(broken)
	if err := r.s.Client.CoreV1().Events(r.target.Namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	r.wantWritten()
	r.recorded(broken)
	r.wantWritten("Warning ReconcileFailed x2 gitops-operator: Deployment blog failed: no key")
}

func TestEventsWithoutTheRightAreLoggedOnce(t *testing.T) {
	r := recordEvents(t, noRights)
	for i := range 5 {
		r.recorded(Event{Reason: "ImageUpdated", Message: fmt.Sprint(i)})
	}
	r.flush()
	r.wantWritten()
	want := fmt.Sprintf(`User "system:serviceaccount:%s:operator" cannot create resource "events" in API group "" in the namespace "%[1]s"`, r.target.Namespace)
	if all := r.logs.All(); len(all) != 1 || all[0].ContextMap()["reason"] != want {
		t.Errorf("logged %v, want once %s", all, want)
	}
}

func TestEventsWaitForAnAPIServerThatIsAway(t *testing.T) {
	r := recordEvents(t, allRights)
	r.recorded(broken) // while there is a connection
	r.s.StopAPI()
	for range 3 {
		r.Record(r.target, broken)
		r.Record(r.target, Event{Reason: "ImageUpdated", Message: "2"})
	}
	r.s.StartAPI(t)
	r.flush()
	for _, line := range r.written() {
		// An Event that waits is one, however often it is recorded; one that is
		// being written is not waiting any more.
		if line != "Normal ImageUpdated x1 gitops-operator: 2" && !strings.HasPrefix(line, "Warning ReconcileFailed x") {
			t.Errorf("unexpected %s", line)
		}
	}
	if n := len(r.written()); n != 2 {
		t.Errorf("%d Events; logged %v", n, r.logs.All())
	}
}

// The queue, the patience and the end are bounded, whatever the API server does.
func TestEventsThatCannotBeWrittenAreDropped(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	before := goleak.IgnoreCurrent()
	config := t.TempDir() + "/kubeconfig"
	if err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: "http://" + listener.Addr().String()}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c"}},
		CurrentContext: "c",
	}, config); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.WarnLevel)
	cluster, err := OpenCluster(ClusterOptions{Kubeconfig: config, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	e := cluster.RecordEvents()
	for i := range maxEvents + 100 {
		e.Record(Target{Ref: Ref{Namespace: "default", Name: "blog"}}, Event{Reason: "ImageUpdated", Message: fmt.Sprint(i)})
	}
	e.mu.Lock()
	if len(e.line) > maxEvents || len(e.line) < maxEvents-1 {
		t.Errorf("%d wait", len(e.line))
	}
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	e.Close(ctx)
	e.Record(Target{Ref: Ref{Namespace: "default", Name: "blog"}}, broken) // nothing happens
	cluster.http.CloseIdleConnections()
	goleak.VerifyNone(t, before)
	if all := logs.FilterMessageSnippet("Events were dropped").All(); len(all) != 1 {
		t.Errorf("logged %v", logs.All())
	}
}

func TestEventMessagesAreOneBoundedLine(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"plain", "plain"},
		{"two\nlines\r\n\tand a tab", "two lines   and a tab"},
		{"\x1b[31mred\x00 \xff\u202e", "[31mred "},
		{strings.Repeat("a", 1024), strings.Repeat("a", 1024)},
		{strings.Repeat("a", 1025), strings.Repeat("a", 1021) + "…"},
		{strings.Repeat("ä", 1000), strings.Repeat("ä", 510) + "…"},
	} {
		got := oneLine(test.in, maxEventMessage)
		if got != test.want || len(got) > maxEventMessage || !utf8.ValidString(got) {
			t.Errorf("%.40q: got %q", test.in, got)
		}
	}
}
