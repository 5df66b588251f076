package apiserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	issuer     = "https://kubernetes.default.svc"
	adminToken = "admin-of-the-test-cluster"
)

// writeFiles writes what kube-apiserver is started with.
func (s *Server) writeFiles() error {
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		return err
	}
	s.ca = certificate
	accounts, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	accountsPEM, err := keyutil.MarshalPrivateKeyToPEM(accounts)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"server.crt":   certificate,
		"server.key":   key,
		"accounts.key": accountsPEM,
		"tokens.csv":   []byte(adminToken + ",admin,admin,system:masters\n"),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// AdminToken is the bearer token of the cluster's administrator.
func (s *Server) AdminToken() string { return adminToken }

// Config returns how to connect as the owner of a bearer token.
func (s *Server) Config(token string) *rest.Config {
	return &rest.Config{
		Host:            s.URL,
		BearerToken:     token,
		TLSClientConfig: rest.TLSClientConfig{CAData: s.ca},
		QPS:             -1, // no limit
	}
}

// Kubeconfig writes a kubeconfig file for the owner of a bearer token. Its
// context is called "test".
func (s *Server) Kubeconfig(t testing.TB, token string) string {
	t.Helper()
	const name = "test"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: s.URL, CertificateAuthorityData: s.ca}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {Token: token}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}, path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Namespace creates a namespace, prefix-SOMETHING, and returns its name.
func (s *Server) Namespace(t testing.TB, prefix string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}
	ns, err := s.Client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// ServiceAccount creates a service account and returns a token of it, as a pod
// would get.
func (s *Server) ServiceAccount(t testing.TB, namespace, name string) (token string) {
	t.Helper()
	accounts := s.Client.CoreV1().ServiceAccounts(namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := accounts.Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	request, err := accounts.CreateToken(t.Context(), name, &authv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// Bind gives a service account the rights of a ClusterRole, in the whole
// cluster or in the given namespaces only, and waits until it has them.
func (s *Server) Bind(t testing.TB, clusterRole, namespace, account string, only ...string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	role, err := s.Client.RbacV1().ClusterRoles().Get(t.Context(), clusterRole, metav1.GetOptions{})
	must(err)
	meta := metav1.ObjectMeta{GenerateName: account + "-"}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole}
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}}
	if len(only) == 0 {
		_, err := s.Client.RbacV1().ClusterRoleBindings().Create(t.Context(),
			&rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}, metav1.CreateOptions{})
		must(err)
		only = []string{metav1.NamespaceAll}
	} else {
		for _, ns := range only {
			_, err := s.Client.RbacV1().RoleBindings(ns).Create(t.Context(),
				&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}, metav1.CreateOptions{})
			must(err)
		}
	}
	for _, ns := range only {
		for !s.may(t, namespace, account, role.Rules[0], ns) {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// may asks the API server whether a service account has the rights of a rule.
func (s *Server) may(t testing.TB, namespace, account string, rule rbacv1.PolicyRule, in string) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:" + namespace + ":" + account,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: in, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: rule.Resources[0],
		},
	}}
	review, err := s.Client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// ExpiredToken returns a token of a service account that was good until an hour
// ago. The API server itself issues none that is good for less than ten minutes.
func (s *Server) ExpiredToken(t testing.TB, namespace, name string) string {
	t.Helper()
	return s.signToken(t, namespace, name, time.Now().Add(-time.Hour))
}

// signToken makes a token as the API server does.
func (s *Server) signToken(t testing.TB, namespace, name string, expires time.Time) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	account, err := s.Client.CoreV1().ServiceAccounts(namespace).Get(t.Context(), name, metav1.GetOptions{})
	must(err)
	key, err := keyutil.PrivateKeyFromFile(filepath.Join(s.dir, "accounts.key"))
	must(err)
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "aud": []string{issuer}, "sub": "system:serviceaccount:" + namespace + ":" + name,
		"iat": expires.Add(-time.Hour).Unix(), "nbf": expires.Add(-time.Hour).Unix(), "exp": expires.Unix(),
		"kubernetes.io": map[string]any{
			"namespace":      namespace,
			"serviceaccount": map[string]string{"name": name, "uid": string(account.UID)},
		},
	})
	must(err)
	base64 := base64.RawURLEncoding.EncodeToString
	signed := base64([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + base64(claims)
	sum := sha256.Sum256([]byte(signed))
	x, y, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), sum[:])
	must(err)
	signature := slices.Concat(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32)))
	return signed + "." + base64(signature)
}
