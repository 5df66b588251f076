package k8s

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/kainlite/gitops-operator/policy"
)

// record is what an informer keeps of a Deployment: what was read out of it,
// and for the informer its names and version. Most Deployments of a cluster
// are not the operator's business, and their records are small.
type record struct {
	metav1.ObjectMeta
	target    *Target
	untracked *Untracked
	observed  *policy.Observed
}

// toRecord is the informers' transform. It may be given what it has made.
func toRecord(obj any) (any, error) {
	d, ok := obj.(*appsv1.Deployment)
	if !ok {
		return obj, nil
	}
	r := &record{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name, ResourceVersion: d.ResourceVersion}}
	r.target, r.untracked = ParseDeployment(d)
	r.observed = observe(d)
	return r, nil
}

// concerns says whether the Deployment carries annotations of the operator.
func (r *record) concerns() bool { return r.target != nil || r.untracked != nil }

// informer keeps the records of a namespace's Deployments.
type informer struct {
	cache.SharedIndexInformer
	// listed tells when changed has been called for all of the first listing.
	// The informer's own mark comes earlier: then the snapshot may be empty yet.
	listed cache.DoneChecker
}

// newInformer returns an informer. lists is the context of its listings.
func (c *Cluster) newInformer(lists context.Context, namespace string) (*informer, error) {
	request := func(opts *metav1.ListOptions) *rest.Request {
		opts.LabelSelector = c.selector
		return c.apps.Get().Namespace(namespace).Resource("deployments").VersionedParams(opts, metav1.ParameterCodec)
	}
	source := &cache.ListWatch{
		ListWithContextFunc: func(_ context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			var list appsv1.DeploymentList
			err := request(&opts).Do(lists).Into(&list)
			c.links.report(lists, call{namespace, "list"}, err)
			return &list, err
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			opts.Watch = true
			w, err := request(&opts).Watch(ctx)
			streamed := opts.SendInitialEvents != nil
			if streamed && apierrors.IsInvalid(err) {
				return nil, err // an older API server, which can only list
			}
			c.links.report(ctx, call{namespace, "watch"}, err)
			if streamed && err != nil {
				// client-go would pause here, for a minute at worst, deaf to the
				// end of ctx. A plain error makes it list, and pause after that.
				err = errors.New(err.Error())
			}
			return w, err
		},
	}
	shared := cache.NewSharedIndexInformerWithOptions(source, &appsv1.Deployment{}, cache.SharedIndexInformerOptions{})
	handler, err := shared.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(now any) { c.changed(now) },
		UpdateFunc: func(before, now any) { c.changed(before, now) },
		DeleteFunc: func(before any) { c.changed(before) },
	})
	err = errors.Join(err,
		shared.SetTransform(toRecord),
		// The default handler is for the whole process, and may pause; failures
		// are reported above.
		shared.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
			klog.FromContext(ctx).V(1).Info("failed to list or watch", "err", err)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare to watch Deployments: %w", err)
	}
	return &informer{shared, handler.HasSyncedChecker()}, nil
}

// changed makes the next caller of Deployments look again, if it would see a
// difference.
func (c *Cluster) changed(versions ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ours := func(v any) bool {
		r, ok := v.(*record) // else it was deleted while nobody was watching
		return !ok || r.concerns() || c.promoted[Ref{Namespace: r.Namespace, Name: r.Name}]
	}
	if slices.ContainsFunc(versions, ours) {
		c.stale = true
	}
}
