package operator_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/httpapi"
	"github.com/kainlite/gitops-operator/operator"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
)

// options take Deployments and Secrets from files, and log nothing.
func options(t *testing.T, cluster string) operator.Options {
	opt := operator.Options{From: cluster, Workers: 8, Wait: reconcile.Wait{First: time.Second, Max: time.Second}, Version: "v1.2.3", Log: zap.NewNop()}
	opt.Git.CacheDir, opt.Git.Timeout = t.TempDir(), time.Minute
	opt.Git.Author.Name, opt.Git.Author.Email = "GitOps Operator", "gitops-operator@localhost"
	return opt
}

func logTo(t *testing.T, w io.Writer, level, format string) *zap.Logger {
	t.Helper()
	log, err := telemetry.NewLogger(w, level, format)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// served is an operator with its HTTP API.
type served struct {
	*operator.Operator
	handler http.Handler
}

func start(t *testing.T, opt operator.Options) served {
	t.Helper()
	o, err := operator.Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return served{o, httpapi.New(o, o.Metrics(), opt.Log.Named("httpapi")).Handler()}
}
