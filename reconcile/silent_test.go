package reconcile_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/registry"
	"github.com/kainlite/gitops-operator/test/registryserver"
	"github.com/kainlite/gitops-operator/test/world"
)

// silentServer accepts connections and never answers. It counts them.
func silentServer(t *testing.T) (address string, connections *atomic.Int32) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int32)
	var serving sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
		for _, c := range open {
			c.Close()
		}
	})
	return listener.Addr().String(), connections
}

// outcomes runs a group and returns what became of each, in order.
func (s *stage) outcomes(targets []k8s.Target) []reconcile.Outcome {
	s.track(targets...)
	jobs := make([]reconcile.Job, len(targets))
	for i, t := range targets {
		jobs[i] = reconcile.Job{Target: t, Since: time.Now()}
	}
	all := make([]reconcile.Outcome, len(targets))
	var mu sync.Mutex
	s.reconciler.Group(s.T.Context(), jobs, func(_ context.Context, i int, o reconcile.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		all[i] = o
	})
	return all
}

// A registry that accepts connections and never answers is nobody's trouble but
// of those who have their images there; and of them, those that it was not asked
// for have not failed.
func TestASilentRegistryHoldsNobodyElseUp(t *testing.T) {
	s := newStage(t)
	good, err := registryserver.Start(registryserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(good.Close)
	dead, connections := silentServer(t)
	const many = 20 // more than are asked at once
	files := map[string]string{}
	var targets []k8s.Target
	head := s.App("kainlite/app")
	for i := range 2 * many {
		name, at := fmt.Sprintf("app-%02d", i), good.Addr()
		if i >= many {
			at = dead
		} else if err := good.Push("kainlite/"+name, head); err != nil {
			t.Fatal(err)
		}
		files[name+".yaml"] = world.Manifest(name, at+"/kainlite/"+name+":"+old)
		targets = append(targets, s.Target(name, map[string]string{
			"image_name": at + "/kainlite/" + name, "app_repository": s.Server.URL("kainlite/app.git"), "registry_secret_url": at,
		}))
	}
	s.Commit(manifests, files)
	client := registry.New(registry.Options{Timeout: 3 * time.Second})
	s.reconciler = s.another(reconcile.Options{Registry: client, Patience: 5 * time.Second})

	first := s.outcomes(targets)
	for i, o := range first {
		r := o.Result
		switch {
		case i < many && r.Action != "patched":
			t.Errorf("%s: %s: %s", r.Deployment, r.Action, r.Message)
		case i >= many && (r.Action != "pending" || o.Again == 0 || r.Message != "Deployment "+r.Deployment+" waits for an answer from registry "+dead):
			t.Errorf("%s: %s: %s", r.Deployment, r.Action, r.Message)
		}
	}

	// They ask until there is an answer, as the queue would.
	count := map[string]int{}
	for todo := targets[many:]; len(todo) > 0; {
		var again []k8s.Target
		for i, o := range s.outcomes(todo) {
			switch r := o.Result; {
			case o.Again > 0:
				again = append(again, todo[i])
			case r.Action == "failed" && strings.Contains(r.Message, "no answer within 3s"):
				count["asked"]++
			case r.Action == "pending" && strings.Contains(r.Message, "registry "+dead+" has not answered since "):
				count["not asked"]++
			default:
				t.Errorf("%s: %s: %s", r.Deployment, r.Action, r.Message)
			}
		}
		todo = again
	}
	if count["asked"] != 8 || count["not asked"] != many-8 {
		t.Errorf("%v, want 8 asked", count)
	}

	// The next pass does not ask again, and what does not depend on it moves.
	before := connections.Load()
	s.App("kainlite/app") // whose image is nowhere yet
	next := s.outcomes(targets)
	for i, o := range next {
		if i >= many && (o.Result.Action != "pending" || o.Again != 0) {
			t.Errorf("%s: %s: %s", o.Result.Deployment, o.Result.Action, o.Result.Message)
		}
	}
	if asked := connections.Load() - before; asked != 0 {
		t.Errorf("the silent registry was asked %d times", asked)
	}
}

// What a server adds to each of its answers does not make a failure another one:
// it is logged, and told of, once.
func TestAFailureWhoseWordsVaryIsToldOnce(t *testing.T) {
	g := newGateStage(t, hours)
	g.app("blog")
	var n atomic.Int32
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"request %x%06d was denied at %s"}]}`, n.Add(1), n.Load()*7919, time.Now())
	}))
	defer busy.Close()
	at := strings.TrimPrefix(busy.URL, "http://")
	g.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", at+"/kainlite/blog:"+old)})
	target := g.target("blog", map[string]string{"image_name": at + "/kainlite/blog", "registry_secret_url": at})
	var messages []string
	for range 3 {
		messages = append(messages, g.look(target)[0].Message)
	}
	if messages[0] == messages[1] {
		t.Fatalf("the failure does not vary: %s", messages[0])
	}
	g.wantMessages(":x: " + messages[0])

	g.app("blog") // another commit is other news
	g.Commit(manifests, map[string]string{"blog.yaml": world.Manifest("blog", at+"/kainlite/blog:"+old)})
	next := g.look(target)[0].Message
	g.wantMessages(":x: "+messages[0], ":x: "+next)
}
