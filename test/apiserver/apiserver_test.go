package apiserver

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(M{m}) }

func TestServerKeepsItsStateWhenItStartsAgain(t *testing.T) {
	s := Start(t)
	ns := s.Namespace(t, "restart")
	if _, err := s.Client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.StopAPI()
	if _, err := s.Client.CoreV1().ConfigMaps(ns).Get(t.Context(), "kept", metav1.GetOptions{}); err == nil {
		t.Error("answers although it was stopped")
	}
	s.StartAPI(t)
	if _, err := s.Client.CoreV1().ConfigMaps(ns).Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestTokensGiveTheRightsOfTheirOwnerOnly(t *testing.T) {
	s := Start(t)
	ns := s.Namespace(t, "tokens")
	other := s.Namespace(t, "tokens")
	role, err := s.Client.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "configmap-reader-"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token := s.ServiceAccount(t, ns, "reader")
	s.Bind(t, role.Name, ns, "reader", ns)
	s.ServiceAccount(t, ns, "nobody")
	list := func(token, namespace string) error {
		config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig(t, token))
		if err != nil {
			t.Fatal(err)
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := list(token, ns); err != nil {
		t.Error("bound:", err)
	}
	if err := list(token, other); !apierrors.IsForbidden(err) {
		t.Error("another namespace:", err)
	}
	if err := list(s.AdminToken(), other); err != nil {
		t.Error("administrator:", err)
	}
	if err := list(s.ExpiredToken(t, ns, "reader"), ns); !apierrors.IsUnauthorized(err) {
		t.Error("expired:", err)
	}
	if err := list("invented", ns); !apierrors.IsUnauthorized(err) {
		t.Error("invented:", err)
	}
	s.Bind(t, role.Name, ns, "nobody")
	if err := list(s.signToken(t, ns, "nobody", time.Now().Add(time.Minute)), other); err != nil {
		t.Error("own signature, not expired:", err)
	}
}

func TestAssetsComeFromTheFolderThatEnvtestNames(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(envAssets, dir)
	_, err := Assets()
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "KUBEBUILDER_ASSETS: ") {
		t.Errorf("error %v", err)
	}
	t.Setenv(envAssets, "")
	b, err := readBuild()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.assets, "kubernetes-"+b.kubernetes+"-etcd-"+b.etcd) {
		t.Errorf("built into %s", b.assets)
	}
}
