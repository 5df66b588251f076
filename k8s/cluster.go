package k8s

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/kainlite/gitops-operator/policy"
)

// secretTime is how long the reading of one Secret may take.
const secretTime = 20 * time.Second

// ClusterOptions says which cluster to watch, and which Deployments to take.
type ClusterOptions struct {
	// Kubeconfig and Context are as kubectl's flags. When neither is given, the
	// cluster is the one that this process runs in; when it runs in none, the
	// usual rules find a kubeconfig: KUBECONFIG, else ~/.kube/config.
	Kubeconfig, Context string

	Namespaces []string // none: all
	Selector   string   // label selector, as kubectl's --selector
	UserAgent  string
	Log        *zap.Logger
	// Wrap is put around the transport of the single requests. Nil: nothing is.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Cluster takes Deployments from a Kubernetes cluster, which it watches, and
// reads Secrets from it when they are asked for; it never lists, watches or
// keeps Secrets. It is safe for concurrent use.
type Cluster struct {
	log       *zap.Logger
	http      *http.Client
	conns     *conns // nil: somebody else dials
	apps      rest.Interface
	core      rest.Interface
	selector  string
	informers []*informer // one for each namespace, or one for all
	links     links
	stopLists context.CancelFunc

	mu       sync.Mutex
	stale    bool         // the informers know more than snapshot
	promoted map[Ref]bool // the Deployments that others are promoted from
	snapshot Snapshot
}

// OpenCluster prepares to watch a cluster. It does not connect: an error means
// that there is no usable configuration.
func OpenCluster(opt ClusterOptions) (*Cluster, error) {
	if _, err := labels.Parse(opt.Selector); err != nil {
		return nil, fmt.Errorf("parse selector %q: %w", opt.Selector, err)
	}
	namespaces := slices.Compact(slices.Sorted(slices.Values(opt.Namespaces)))
	for _, ns := range namespaces {
		if faults := validation.IsDNS1123Label(ns); len(faults) > 0 {
			return nil, fmt.Errorf("namespace %q is invalid: %s", ns, faults[0])
		}
	}
	config, err := restConfig(opt)
	if err != nil {
		return nil, err
	}
	config.UserAgent = cmp.Or(opt.UserAgent, rest.DefaultKubernetesUserAgent())
	c := &Cluster{log: opt.Log, selector: opt.Selector}
	c.links = links{log: opt.Log, server: config.Host, quiet: c.Ready}
	if err := c.connect(config, opt.Wrap); err != nil {
		return nil, err
	}
	if namespaces == nil {
		namespaces = []string{metav1.NamespaceAll}
	}
	// The informers list with a context that nothing ends.
	lists, stop := context.WithCancel(context.Background())
	c.stopLists = stop
	for _, ns := range namespaces {
		informer, err := c.newInformer(lists, ns)
		if err != nil {
			stop()
			return nil, err
		}
		c.informers = append(c.informers, informer)
	}
	return c, nil
}

// Run watches until ctx ends, and returns when nothing of it is left. It may
// be called once. As long as the API server cannot be asked, it keeps trying,
// with growing pauses of at most a minute.
func (c *Cluster) Run(ctx context.Context) {
	defer func() {
		utilnet.CloseIdleConnectionsFor(c.http.Transport) // the client's own method does not find them
		if c.conns != nil {
			c.conns.close()
		}
	}()
	defer c.stopLists()
	c.log.Info("watching Deployments", zap.String("server", c.links.server))
	logged := klog.NewContext(ctx, debugLogger(c.log))
	var wg sync.WaitGroup
	for _, informer := range c.informers {
		wg.Go(func() { informer.RunWithContext(logged) })
	}
	wg.Wait()
}

// Ready says whether the first listing of Deployments is complete.
func (c *Cluster) Ready() bool {
	for _, informer := range c.informers {
		if !cache.IsDone(informer.listed) {
			return false
		}
	}
	return true
}

// WaitReady waits until the first listing of Deployments is complete. When ctx
// ends first, the error says what is in the way, as Problem does.
func (c *Cluster) WaitReady(ctx context.Context) error {
	for _, informer := range c.informers {
		select {
		case <-informer.listed.Done():
		case <-ctx.Done():
			err := context.Cause(ctx)
			if problem := c.Problem(); problem != "" {
				return fmt.Errorf("list Deployments: %s (%w)", problem, err)
			}
			return fmt.Errorf("list Deployments: %w", err)
		}
	}
	return nil
}

// Problem says in plain words what is wrong with the connection to the API
// server at present, "" if nothing is known to be.
func (c *Cluster) Problem() string { return c.links.problem() }

// Deployments returns the current Deployments. When the API server cannot be
// asked, it returns the error and, with it, the Deployments as they were; only
// until the first listing, what is in the way is logged instead.
func (c *Cluster) Deployments(context.Context) (Snapshot, error) {
	if !c.Ready() {
		return Snapshot{}, errors.New("list Deployments: the first listing is not complete yet")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stale {
		c.stale = false // before looking: what comes meanwhile is looked at next time
		c.snapshot = c.look()
	}
	if problem := c.Problem(); problem != "" {
		return c.snapshot, fmt.Errorf("watch Deployments: %s", problem)
	}
	return c.snapshot, nil
}

// look collects what the informers know.
func (c *Cluster) look() Snapshot {
	var records []*record
	for _, informer := range c.informers {
		for _, obj := range informer.GetStore().List() {
			if r := obj.(*record); r.concerns() {
				records = append(records, r)
			}
		}
	}
	slices.SortFunc(records, func(a, b *record) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	s := Snapshot{Targets: make([]Target, 0, len(records))}
	for _, r := range records {
		if r.target != nil {
			s.Targets = append(s.Targets, *r.target)
		} else {
			s.Untracked = append(s.Untracked, *r.untracked)
		}
	}
	c.promoted, s.observed = promoted(s.Targets), map[Ref]*policy.Observed{}
	for ref := range c.promoted {
		for _, informer := range c.informers {
			if obj, found, _ := informer.GetStore().GetByKey(ref.Namespace + "/" + ref.Name); found {
				s.observed[ref] = obj.(*record).observed
			}
		}
	}
	return s
}

// Secret reads a Secret from the API server; the content is the caller's to
// keep. errors.Is tells ErrSecretNotFound and ErrSecretForbidden.
func (c *Cluster) Secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	if validation.IsDNS1123Label(namespace) != nil || validation.IsDNS1123Subdomain(name) != nil {
		return nil, &secretNotFoundError{SecretRef{namespace, name}} // nor can there be one
	}
	ctx, cancel := context.WithTimeout(ctx, secretTime)
	defer cancel()
	var secret corev1.Secret
	err := c.core.Get().Namespace(namespace).Resource("secrets").Name(name).Do(ctx).Into(&secret)
	ref := SecretRef{namespace, name}
	switch {
	case err == nil:
		return secret.Data, nil
	case apierrors.IsNotFound(err):
		return nil, &secretNotFoundError{ref}
	case apierrors.IsForbidden(err):
		return nil, &secretForbiddenError{ref, fmt.Sprintf("%s: allow it to get secrets in namespace %s, with a Role and a RoleBinding there", denial(err), namespace)}
	}
	_, text := c.links.explain(err)
	return nil, fmt.Errorf("secret %s: %s", ref, text)
}
