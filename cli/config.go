package cli

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/builds"
	"github.com/kainlite/gitops-operator/gitcli"
	"github.com/kainlite/gitops-operator/internal/procguard"
	"github.com/kainlite/gitops-operator/operator"
	"github.com/kainlite/gitops-operator/registry"
	"github.com/kainlite/gitops-operator/registry/identity"
	"github.com/kainlite/gitops-operator/telemetry"
)

// Config is what the flags of a command say. The zero Serve is of commands
// without an HTTP API.
type Config struct {
	Operator  operator.Options
	Serve     Serve
	LogLevel  string
	LogFormat string
}

// Define defines the flags that serve and reconcile share.
func (c *Config) Define(fs *Flags) {
	s := &c.Operator
	fs.StringVar(&s.From, "from", "", "take Deployments and Secrets from YAML files (`PATH`: a file, or every .yaml and .yml below a folder) instead of a cluster")
	fs.StringVar(&s.Cluster.Kubeconfig, "kubeconfig", "", "kubeconfig `FILE` (default: in a cluster that one, else KUBECONFIG or ~/.kube/config)")
	fs.StringVar(&s.Cluster.Context, "context", "", "`NAME` of the kubeconfig's context")
	fs.List(&s.Cluster.Namespaces, "namespace", "track Deployments of this `NS` only (repeatable)")
	fs.StringVar(&s.Cluster.Selector, "selector", "", "track Deployments with labels that match `SEL` only")
	fs.BoolVar(&s.Policy.NoCrossNamespace, "no-cross-namespace-secrets", false, "refuse annotations that name a Secret outside the Deployment's namespace")
	fs.List(&s.Policy.Namespaces, "secret-namespace", "allow annotations to name Secrets of this `NS` only (repeatable)")
	fs.IntVar(&s.Workers, "workers", 8, "manifests repositories, and git processes, at once")
	fs.StringVar(&s.Git.CacheDir, "cache-dir", "", "`DIR` for mirrors; may be deleted at any time (default: the user's cache directory)")
	s.Git.CacheSize = gitcli.DefaultCacheSize
	fs.Var(size{&s.Git.CacheSize}, "cache-size", "`SIZE` of all mirrors, such as 500MiB or 2GiB; beyond it, those used least recently are removed, as are those unused for a day")
	fs.List(&s.Git.KnownHosts, "known-hosts", "`FILE` of SSH host keys (repeatable; default: built-in keys of the large hosts, and ~/.ssh/known_hosts)")
	fs.DurationVar(&s.Git.Timeout, "git-timeout", 60*time.Second, "time for one git command")
	fs.IntVar(&s.Wait.Attempts, "image-attempts", 5, "looks for an image that is still being built, after the first")
	fs.DurationVar(&s.Wait.First, "image-wait", 10*time.Second, "delay before the first of these looks; it doubles")
	fs.DurationVar(&s.Wait.Max, "image-wait-max", 60*time.Second, "longest delay between looks")
	fs.StringVar(&s.GitHubAPI, "github-api", "", "base `URL` of the GitHub Actions API (default: GitHub's)")
	fs.List(&s.Insecure, "insecure-registry", "registry `HOST` that may be asked over plain http (repeatable; loopback always may)")
	fs.IntVar(&s.RegistryTags, "registry-tags", registry.DefaultTags, "the most tags that a repository in a registry may have for tag_from: registry; with more, nothing moves")
	fs.List(&s.RegistryIdentity, "registry-identity", "ask the registries of this `CLOUD` (aws, azure or gcp; repeatable) with the pod's own identity, where no Secret names the host")
	fs.StringVar(&s.Git.Author.Name, "author-name", envOr("DEFAULT_FROM_NAME", "GitOps Operator"), "commit author; also DEFAULT_FROM_NAME")
	fs.StringVar(&s.Git.Author.Email, "author-email", envOr("DEFAULT_FROM_EMAIL", "gitops-operator@localhost"), "commit author; also DEFAULT_FROM_EMAIL")
	fs.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&c.LogFormat, "log-format", "json", "json, console or bunyan; logs go to standard error")
	fs.BoolVar(&s.MetricsPerDeployment, "metrics-per-deployment", false, "metrics for each Deployment too")
	fs.BoolVar(&s.Events, "events", false, "write Kubernetes Events about the Deployments, for kubectl describe; needs the right to")
	fs.BoolVar(&s.DryRun, "dry-run", false, "do everything but push")
}

// Check adds what is wrong with the values to the flags' faults.
func (c *Config) Check(fs *Flags) {
	s := c.Operator
	if s.Workers < 1 {
		fs.Faultf("--workers is %d: use 1 or more", s.Workers)
	}
	if s.Git.Timeout <= 0 {
		fs.Faultf("--git-timeout is %s: use more than 0", s.Git.Timeout)
	}
	if s.Wait.Attempts < 0 {
		fs.Faultf("--image-attempts is %d: use 0 or more", s.Wait.Attempts)
	}
	if s.Wait.First <= 0 || s.Wait.Max < s.Wait.First {
		fs.Faultf("--image-wait is %s and --image-wait-max is %s: use more than 0, and no more than the longest", s.Wait.First, s.Wait.Max)
	}
	if _, err := builds.New(builds.Options{API: s.GitHubAPI}); err != nil {
		fs.Faultf("--github-api: %s", err)
	}
	for _, host := range s.Insecure {
		if host == "" || strings.ContainsAny(host, "/ ") {
			fs.Faultf("--insecure-registry is %q: give a host, with its port if it has one, and no scheme", host)
		}
	}
	if s.RegistryTags < 1 {
		fs.Faultf("--registry-tags is %d: use 1 or more", s.RegistryTags)
	}
	if _, err := identity.New(s.RegistryIdentity...); err != nil {
		fs.Faultf("--registry-identity: %s", err)
	}
	for _, author := range []struct{ flag, value string }{{"author-name", s.Git.Author.Name}, {"author-email", s.Git.Author.Email}} {
		if name, value := author.flag, author.value; strings.TrimSpace(value) == "" || strings.ContainsAny(value, "<>\n\r\x00") {
			fs.Faultf("--%s is %q: use a value without <, > and line breaks", name, value)
		}
	}
	if _, err := telemetry.NewLogger(io.Discard, c.LogLevel, c.LogFormat); err != nil {
		fs.Faultf("%s", err)
	}
	if s.From != "" && (s.Cluster.Kubeconfig != "" || s.Cluster.Context != "") {
		fs.Faultf("--from is in place of a cluster: leave --kubeconfig and --context out")
	}
	if s.From != "" && s.Events {
		fs.Faultf("--events needs a cluster to write them to: leave it out, or --from")
	}
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// start prepares the process and starts an operator, which logs to stderr. The
// error says why it could not.
func (c *Config) start(ctx context.Context, version string, stderr io.Writer) (*operator.Operator, *zap.Logger, error) {
	log, err := telemetry.NewLogger(stderr, c.LogLevel, c.LogFormat)
	if err != nil {
		return nil, nil, err
	}
	if err := procguard.Guard(); err != nil {
		return nil, nil, err
	}
	opt := c.Operator
	opt.Version, opt.Revision = versions(version)
	opt.Log = log
	o, err := operator.Start(ctx, opt)
	return o, log, err
}
