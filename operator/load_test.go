package operator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kainlite/gitops-operator/httpapi"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
	"github.com/kainlite/gitops-operator/test/world"
)

// until waits for something that other goroutines bring about.
func until(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !true(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// However many ask at once, each gets a full answer, and each repository is
// looked at twice at most: by the run that is under way, and by the one that
// all others share.
func TestManyRequestsAtOnceShareTwoRuns(t *testing.T) {
	const requests, deployments, apps, manifests = 200, 1000, 20, 4
	w := world.New(t)
	cluster := t.TempDir()
	put := func(name string, v any) {
		t.Helper()
		b, err := json.Marshal(v) // which is YAML
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cluster, name+".yaml"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("key", corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "gitops-operator", Name: "ssh-key"}, Data: w.Secrets[world.SSHSecret],
	})
	repos, files := map[string]bool{}, make([]map[string]string, manifests)
	for i := range apps {
		w.App(fmt.Sprintf("kainlite/app-%d", i))
		repos[fmt.Sprintf("kainlite/app-%d.git", i)] = true
	}
	var list []any
	for i := range deployments {
		name, repo := fmt.Sprintf("d%d", i), i/apps%manifests // each with all apps
		list = append(list, map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{
			"name": name, "annotations": w.Annotations(name, map[string]string{
				"app_repository":      w.Server.URL(fmt.Sprintf("kainlite/app-%d.git", i%apps)),
				"manifest_repository": w.Server.URL(fmt.Sprintf("kainlite/manifests-%d.git", repo)),
			}),
		}})
		if files[repo] == nil {
			files[repo] = map[string]string{}
		}
		files[repo][name+".yaml"] = world.Manifest(name, "kainlite/"+name+":old")
	}
	put("deployments", map[string]any{"apiVersion": "v1", "kind": "List", "items": list})
	for i := range manifests {
		w.Commit(fmt.Sprintf("kainlite/manifests-%d", i), files[i])
		repos[fmt.Sprintf("kainlite/manifests-%d.git", i)] = true
	}

	opt := options(t, cluster)
	opt.Git.Timeout = 5 * time.Minute
	opt.Log = logTo(t, t.Output(), "error", "json")
	o := start(t, opt)
	defer o.Stop()
	submitted := o.CountSubmits()
	server, err := httpapi.Listen(t.Context(), httpapi.ServerOptions{Address: "127.0.0.1:0", Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(httpapi.New(o.Operator, telemetry.NewMetrics(telemetry.MetricsOptions{}), zap.NewNop()).Handler())
	}()
	defer func() {
		server.Shutdown(context.Background())
		<-served
	}()

	// The first run is held until all have asked.
	w.Server.Stall("", true)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answered := make(chan error)
	ask := func() error {
		resp, err := client.Get("http://" + server.Addr().String() + "/reconcile")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		var results []reconcile.Result
		if err := json.Unmarshal(body, &results); err != nil || len(results) != deployments {
			return fmt.Errorf("%s: %d results: %w", resp.Status, len(results), err)
		}
		for _, r := range results {
			if r.Status != "success" {
				return fmt.Errorf("%s: %s", r.Status, r.Message)
			}
		}
		return nil
	}
	go func() { answered <- ask() }()
	until(t, "the first run is under way", func() bool { return w.Server.Stats().UploadPacks > 0 })
	for range requests - 1 {
		go func() { answered <- ask() }()
	}
	until(t, "all have asked", func() bool { return submitted.Load() == requests })
	begin := time.Now()
	w.Server.Stall("", false)
	for range requests {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
	stats := w.Server.Stats()
	t.Logf("%d requests answered %s after the hold: %d connections, %d sessions, %d pushes", requests, time.Since(begin).Round(time.Millisecond), stats.Connections, stats.Sessions, stats.Pushes)
	if len(stats.ByRepo) != len(repos) {
		t.Errorf("%d repositories were touched", len(stats.ByRepo))
	}
	for repo, n := range stats.ByRepo {
		t.Logf("%s: read %d times, pushed to %d times", repo, n.UploadPacks, n.ReceivePacks)
		if !repos[repo] || n.UploadPacks > 2 || n.ReceivePacks > 1 {
			t.Errorf("%s: %+v", repo, n)
		}
	}
}
