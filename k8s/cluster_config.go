package k8s

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// restConfig finds out how to reach the cluster.
func restConfig(opt ClusterOptions) (*rest.Config, error) {
	if opt.Kubeconfig == "" && opt.Context == "" {
		// A pod without a token, say, may still have a kubeconfig.
		if config, err := rest.InClusterConfig(); err == nil {
			return config, nil
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = opt.Kubeconfig
	loaded, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*loaded, "", &clientcmd.ConfigOverrides{CurrentContext: opt.Context}, rules).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, fmt.Errorf("no cluster: this does not run inside one, and no kubeconfig names one (%s): give --kubeconfig, or --from for YAML files",
			strings.Join(rules.GetLoadingPrecedence(), ", "))
	case err != nil:
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	return config, nil
}

// connect makes the clients for Deployments and for Secrets. client-go's
// clientset would bring every kind there is into the binary.
func (c *Cluster) connect(config *rest.Config, wrap func(http.RoundTripper) http.RoundTripper) error {
	scheme := runtime.NewScheme()
	if err := errors.Join(appsv1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		return err
	}
	config = rest.CopyConfig(config)
	config.QPS = -1 // the API server shares itself out fairly, and workers are bounded
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	if config.Dial == nil {
		c.conns = newConns()
		config.Dial = c.conns.dial
	}
	if wrap != nil {
		config.Wrap(wrap)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("use kubeconfig: %w", err)
	}
	c.http = client
	for _, group := range []struct {
		version schema.GroupVersion
		path    string
		client  *rest.Interface
	}{
		{appsv1.SchemeGroupVersion, "/apis", &c.apps},
		{corev1.SchemeGroupVersion, "/api", &c.core},
	} {
		config.GroupVersion, config.APIPath = &group.version, group.path
		if *group.client, err = rest.RESTClientForConfigAndClient(config, client); err != nil {
			return fmt.Errorf("use kubeconfig: %w", err)
		}
	}
	return nil
}
