package deploycheck

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
)

// accessComponents are those about who may ask, with the flag that names the
// file of each, and the Secret and key that the README tells to make.
var accessComponents = []struct{ name, variable, secret, key string }{
	{"token", "GITOPS_OPERATOR_AUTH_TOKEN_FILE", "gitops-operator-token", "token"},
	{"webhooks", "GITOPS_OPERATOR_WEBHOOK_SECRET_FILE", "gitops-operator-webhook", "secret"},
}

// withAccess renders an install with these components, added as their comments
// say.
func withAccess(t *testing.T, dir string) []byte {
	t.Helper()
	files := deployFiles(t)
	text := "\ncomponents:\n"
	for _, c := range accessComponents {
		path := "components/" + c.name
		if dir != "deploy" {
			path = "../../" + path
		}
		comments, err := files.ReadFile("/deploy/components/" + c.name + "/kustomization.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(comments, []byte("\n# - "+path+" ")) {
			t.Fatalf("the comments do not say %s", path)
		}
		if want := "create secret generic " + c.secret + " --from-literal=" + c.key + "="; !bytes.Contains(comments, []byte(want)) {
			t.Fatalf("the comments do not say %s", want)
		}
		text += "- " + path + "\n"
	}
	b, err := files.ReadFile("/" + dir + "/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := files.WriteFile("/"+dir+"/kustomization.yaml", append(b, text...)); err != nil {
		t.Fatal(err)
	}
	return render(t, files, dir)
}

func TestSecretsAreMountedWhereTheFlagsSay(t *testing.T) {
	for _, dir := range installs {
		objects := decode(t, withAccess(t, dir))
		pod, c := one[*appsv1.Deployment](t, objects).Spec.Template, container(t, objects)
		for _, a := range accessComponents {
			m := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
				return m.MountPath+"/"+a.key == environment(c)[a.variable]
			})
			if m < 0 || !c.VolumeMounts[m].ReadOnly || c.VolumeMounts[m].SubPath != "" { // changes do not reach a subPath
				t.Errorf("%s: %s is not mounted", dir, a.variable)
				continue
			}
			v := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == c.VolumeMounts[m].Name })
			if v < 0 || pod.Spec.Volumes[v].Secret == nil || pod.Spec.Volumes[v].Secret.SecretName != a.secret {
				t.Errorf("%s: %s is not of the secret %s", dir, a.variable, a.secret)
			}
		}
		if got := forbidden(t, map[string]string{api.EnforceLevelLabel: "restricted"}, pod); got != "" {
			t.Errorf("%s: %s", dir, got)
		}
	}
}

func TestOperatorAsksForTheToken(t *testing.T) {
	binary := buildBinary(t, ocispecs.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH})
	rendered := withAccess(t, "deploy")
	c := container(t, decode(t, rendered))
	env := environment(c)
	for _, a := range accessComponents {
		env[a.variable] = filepath.Join(t.TempDir(), a.key)
		if err := os.WriteFile(env[a.variable], []byte("s3cret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	url := serve(t, binary, env, rendered)
	for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if code, body := get(t, url+p.HTTPGet.Path); code != http.StatusOK || p.HTTPGet.Port.String() != "http" {
			t.Errorf("%v: %d %s", p.HTTPGet, code, body)
		}
	}
	if code, body := get(t, url+"/reconcile"); code != http.StatusUnauthorized {
		t.Errorf("/reconcile: %d %s", code, body)
	}
	resp, err := http.Post(url+"/webhook", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized { // and not 404
		t.Errorf("/webhook: %s", resp.Status)
	}
}
