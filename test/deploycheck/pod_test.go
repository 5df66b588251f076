package deploycheck

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func container(t *testing.T, objects []object) corev1.Container {
	t.Helper()
	spec := one[*appsv1.Deployment](t, objects).Spec.Template.Spec
	if len(spec.Containers) != 1 || len(spec.InitContainers) != 0 {
		t.Fatal("not one container")
	}
	return spec.Containers[0]
}

func environment(c corev1.Container) map[string]string {
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	return env
}

// forbidden is what a namespace with the given labels says to the pod, as the
// API server checks it.
func forbidden(t *testing.T, labels map[string]string, pod corev1.PodTemplateSpec) string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// What an API server is set to out of the box.
	defaults := api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()}
	rules, errs := api.PolicyToEvaluate(labels, api.Policy{Enforce: defaults, Audit: defaults, Warn: defaults})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(rules.Enforce, &pod.ObjectMeta, &pod.Spec))
	return result.ForbiddenDetail()
}

func TestPodIsRestricted(t *testing.T) {
	for _, dir := range installs {
		objects := install(t, dir)
		labels := one[*corev1.Namespace](t, objects).Labels
		if labels[api.EnforceLevelLabel] != "restricted" {
			t.Errorf("%s: the namespace's labels are %v", dir, labels)
		}
		pod := one[*appsv1.Deployment](t, objects).Spec.Template
		if got := forbidden(t, labels, pod); got != "" {
			t.Errorf("%s: %s", dir, got)
		}
		pod.Spec.SecurityContext.SeccompProfile = nil
		if got := forbidden(t, labels, pod); !strings.Contains(got, "seccompProfile") {
			t.Errorf("the check lets everything pass: %q", got)
		}
	}
}

// Beyond what `restricted` asks for.
func TestPodWritesOnlyToItsVolumes(t *testing.T) {
	for _, dir := range installs {
		objects := install(t, dir)
		pod, c := one[*appsv1.Deployment](t, objects).Spec.Template.Spec, container(t, objects)
		if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
			t.Errorf("%s: the root file system is writable", dir)
		}
		var got []string
		for _, m := range c.VolumeMounts {
			i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
			if i < 0 {
				t.Fatalf("%s: no volume %s", dir, m.Name)
			}
			switch v := pod.Volumes[i]; {
			case v.EmptyDir != nil:
				got = append(got, fmt.Sprintf("%s %s %s", m.MountPath, v.EmptyDir.SizeLimit, v.EmptyDir.Medium))
			case v.ConfigMap != nil && m.ReadOnly && *v.ConfigMap.Optional:
				got = append(got, fmt.Sprintf("%s %s", m.MountPath, v.ConfigMap.Name))
			}
		}
		env := environment(c)
		want := []string{env["GITOPS_OPERATOR_CACHE_DIR"] + " 2Gi ", "/dev/shm 16Mi Memory", "/tmp 64Mi ", env["HOME"] + "/.ssh gitops-operator-known-hosts"}
		if !slices.Equal(got, want) || len(pod.Volumes) != len(want) || env["GITOPS_OPERATOR_CACHE_DIR"] == "" {
			t.Errorf("%s: volumes %q", dir, got)
		}
	}
}

func TestPodRunsAsTheImagesUserInItsHome(t *testing.T) {
	image := dockerfile(t, platforms[0], nil).config
	for _, dir := range installs {
		objects := install(t, dir)
		s := one[*appsv1.Deployment](t, objects).Spec.Template.Spec.SecurityContext
		if got := fmt.Sprintf("%d:%d", *s.RunAsUser, *s.RunAsGroup); got != image.User {
			t.Errorf("%s: runs as %s, the image's user is %s", dir, got, image.User)
		}
		c := container(t, objects)
		if home := environment(c)["HOME"]; home != image.WorkingDir {
			t.Errorf("%s: HOME is %s, the image's is %s", dir, home, image.WorkingDir)
		}
		// The entrypoint is tini's; serving the cluster is the default.
		if c.Command != nil || c.Args != nil {
			t.Errorf("%s: command %q, arguments %q", dir, c.Command, c.Args)
		}
	}
}

func TestHostKeysAreAddedAsTheCommentsSay(t *testing.T) {
	const keys = "git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJUGyTQmSKGp4KKqh8HOy7HJkRXrN2BRRoTsTqXBgXdo\n"
	added := deployFiles(t)
	uncomment(t, added, "deploy/base/kustomization.yaml", "configMapGenerator:")
	if err := added.WriteFile("/deploy/base/known_hosts", []byte(keys)); err != nil {
		t.Fatal(err)
	}
	objects := decode(t, render(t, added, "deploy"))
	m := one[*corev1.ConfigMap](t, objects)
	pod := one[*appsv1.Deployment](t, objects)
	i := slices.IndexFunc(pod.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == m.Name })
	// Under a name of its content, the pod would have to be replaced to see a change.
	if i < 0 || m.Name != "gitops-operator-known-hosts" || m.Namespace != pod.Namespace || len(m.Data) != 1 || m.Data["known_hosts"] != keys {
		t.Errorf("%s/%s: %v", m.Namespace, m.Name, m.Data)
	}
}

func TestProbes(t *testing.T) {
	for _, dir := range installs {
		c := container(t, install(t, dir))
		for _, test := range []struct {
			name  string
			probe *corev1.Probe
			path  string
			// seconds, and how often
			delay, period, timeout, failures int32
		}{
			{"startup", c.StartupProbe, "/health", 0, 5, 3, 720},
			{"liveness", c.LivenessProbe, "/health", 0, 30, 10, 4},
			{"readiness", c.ReadinessProbe, "/reconcile?wait=50s", 0, 300, 60, 3},
		} {
			p := test.probe
			if p.HTTPGet.Path != test.path || p.HTTPGet.Port.String() != "http" || p.HTTPGet.Scheme != "" {
				t.Errorf("%s: %s asks %v", dir, test.name, p.HTTPGet)
			}
			if p.InitialDelaySeconds != test.delay || p.PeriodSeconds != test.period || p.TimeoutSeconds != test.timeout || p.FailureThreshold != test.failures {
				t.Errorf("%s: %s is %v", dir, test.name, p)
			}
		}
		_, wait, _ := strings.Cut(c.ReadinessProbe.HTTPGet.Path, "wait=")
		d, err := time.ParseDuration(wait)
		if timeout := time.Duration(c.ReadinessProbe.TimeoutSeconds) * time.Second; err != nil || d > timeout-5*time.Second {
			t.Errorf("%s: an answer after %s can miss the time-out of %s", dir, wait, timeout)
		}
	}
}

// From the Service to the port that the image says it listens on, and that the
// policy lets in.
func TestPortsFit(t *testing.T) {
	image := dockerfile(t, platforms[0], nil).config
	for _, dir := range installs {
		objects := install(t, dir)
		c := container(t, objects)
		if len(c.Ports) != 1 || c.Ports[0].Name != "http" || c.Ports[0].ContainerPort != 8000 {
			t.Errorf("%s: ports %v", dir, c.Ports)
		}
		if _, ok := image.ExposedPorts["8000/tcp"]; !ok {
			t.Errorf("the image exposes %v", image.ExposedPorts)
		}
		if p := one[*corev1.Service](t, objects).Spec.Ports; len(p) != 1 || p[0].Port != 80 || p[0].TargetPort.String() != "http" {
			t.Errorf("%s: the Service's ports are %v", dir, p)
		}
		spec := one[*networkingv1.NetworkPolicy](t, objects).Spec
		if len(spec.PolicyTypes) != 2 || len(spec.Ingress) != 1 || spec.Ingress[0].From != nil || len(spec.Egress) != 1 || spec.Egress[0].To != nil {
			t.Fatalf("%s: policy %v", dir, spec)
		}
		if in, out := ports(spec.Ingress[0].Ports), ports(spec.Egress[0].Ports); in != "8000/TCP" || out != "53/UDP 53/TCP 22/TCP 443/TCP 6443/TCP" {
			t.Errorf("%s: in %s, out %s", dir, in, out)
		}
	}
}

func ports(ports []networkingv1.NetworkPolicyPort) string {
	var s []string
	for _, p := range ports {
		protocol := corev1.ProtocolTCP
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		s = append(s, fmt.Sprintf("%s/%s", p.Port, protocol))
	}
	return strings.Join(s, " ")
}

func TestPodEndsInTimeAndIsTheOnlyOne(t *testing.T) {
	for _, dir := range installs {
		spec := one[*appsv1.Deployment](t, install(t, dir)).Spec
		if *spec.Replicas != 1 || spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
			t.Errorf("%s: %d replicas, %s", dir, *spec.Replicas, spec.Strategy.Type)
		}
		if *spec.Template.Spec.TerminationGracePeriodSeconds != 30 {
			t.Errorf("%s: %d s to end", dir, *spec.Template.Spec.TerminationGracePeriodSeconds)
		}
		c := spec.Template.Spec.Containers[0]
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := c.Resources.Requests[r], c.Resources.Limits[r]
			if request.IsZero() || limit.Cmp(request) < 0 {
				t.Errorf("%s: %s: %s of %s", dir, r, &request, &limit)
			}
		}
	}
}

// Variables that Kubernetes makes of a Service's name would look like flags.
func TestEnvironmentIsTheOperatorsOwn(t *testing.T) {
	for _, dir := range installs {
		pod := one[*appsv1.Deployment](t, install(t, dir)).Spec.Template.Spec
		if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
			t.Errorf("%s: service links are on", dir)
		}
		if pod.AutomountServiceAccountToken == nil || !*pod.AutomountServiceAccountToken || pod.ServiceAccountName != "gitops-operator" {
			t.Errorf("%s: no token of the service account", dir)
		}
	}
}
