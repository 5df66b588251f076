package container

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const root = "../.." // the checkout

// imagePath is PATH in Alpine's image.
const imagePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// program is the operator in the image.
const program = "/usr/local/bin/gitops-operator"

// build builds the operator as the image has it, but for its smaller yq.
func build(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gitops-operator")
	cmd := exec.Command("go", "build", "-trimpath", "-o", file, ".")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// pod is what deploy/base and the Dockerfile say, with the operator's program
// and the directories for its volumes on disks, made in dir. args follow those
// of the Deployment.
func pod(t *testing.T, operator, dir string, args ...string) spec {
	t.Helper()
	deployment := read(t, "deploy/base/deployment.yaml")
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict(deployment, &d); err != nil {
		t.Fatal(err)
	}
	p := d.Spec.Template.Spec
	if len(p.Containers) != 1 || len(p.Containers[0].Command) != 0 {
		t.Fatal("not one container with the image's entrypoint")
	}
	c := p.Containers[0]
	if ro := c.SecurityContext.ReadOnlyRootFilesystem; ro == nil || !*ro {
		t.Fatal("the root file system is not read-only")
	}
	image := read(t, "Dockerfile")
	uid := *p.SecurityContext.RunAsUser
	home := find(t, image, `(?m)^WORKDIR (/home/\S+)$`)
	name := find(t, image, `(?m)adduser -D -u `+strconv.FormatInt(uid, 10)+` -G (\S+) `)
	if user := find(t, image, `(?m)^USER (\S+)$`); user != fmt.Sprintf("%d:%d", uid, *p.SecurityContext.RunAsGroup) || home != "/home/"+name {
		t.Fatalf("the image runs as %s in %s, the pod as %d", user, home, uid)
	}

	mounts, links, err := machine()
	if err != nil {
		t.Fatal(err)
	}
	newer, programs := fromPath(t)
	mounts = append(mounts, newer...)
	mounts = append(mounts, mount{Path: filepath.Dir(program), Source: filepath.Dir(operator), ReadOnly: true})
	for link, to := range programs {
		if err := os.Symlink(to, filepath.Join(filepath.Dir(operator), link)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	s := spec{
		Root: filepath.Join(dir, "root"), UID: int(uid), Dir: home,
		Env:    []string{"PATH=" + imagePath, "HOSTNAME=gitops-operator"},
		Argv:   append(append([]string{program}, c.Args...), args...),
		Mounts: mounts, Links: links,
		Files: map[string]string{
			"/etc/passwd": fmt.Sprintf("root:x:0:0:root:/root:/bin/sh\n%s:x:%d:%d::%s:/sbin/nologin\n", name, uid, uid, home),
			"/etc/group":  fmt.Sprintf("root:x:0:\n%s:x:%d:\n", name, uid),
		},
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil {
			t.Fatalf("%s has no plain value", e.Name)
		}
		s.Env = append(s.Env, e.Name+"="+e.Value)
	}
	volumes := map[string]corev1.Volume{}
	for _, v := range p.Volumes {
		volumes[v.Name] = v
	}
	for _, v := range c.VolumeMounts {
		s.Mounts = append(s.Mounts, volume(t, v, volumes[v.Name], dir))
	}
	if err := os.MkdirAll(s.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

// volume is an emptyDir: in memory with its size, or a directory below dir that
// lives on. A ConfigMap that is not there is an empty one.
func volume(t *testing.T, m corev1.VolumeMount, v corev1.Volume, dir string) mount {
	t.Helper()
	switch {
	case v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumMemory:
		return mount{Path: m.MountPath, Size: v.EmptyDir.SizeLimit.Value(), ReadOnly: m.ReadOnly}
	case v.EmptyDir != nil:
		source := filepath.Join(dir, "volumes", m.Name)
		if err := os.MkdirAll(source, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(source, 0o777); err != nil { // whatever the umask is
			t.Fatal(err)
		}
		return mount{Path: m.MountPath, Source: source, ReadOnly: m.ReadOnly}
	case v.ConfigMap != nil && v.ConfigMap.Optional != nil && *v.ConfigMap.Optional:
		return mount{Path: m.MountPath, ReadOnly: m.ReadOnly}
	}
	t.Fatalf("volume %s is of a kind that this test does not know", m.Name)
	return mount{}
}

// fromPath returns the directories of git and ssh as PATH has them, where they
// are not among the machine's own, and their programs.
func fromPath(t *testing.T) (mounts []mount, programs map[string]string) {
	t.Helper()
	programs = map[string]string{}
	for _, name := range []string{"git", "ssh"} {
		file, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		bin := filepath.Dir(file)
		if bin == "/usr/bin" || bin == "/bin" {
			continue
		}
		prefix := filepath.Dir(bin)
		mounts = append(mounts, mount{Path: prefix, Source: prefix, ReadOnly: true})
		entries, err := os.ReadDir(bin)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			programs[e.Name()] = filepath.Join(bin, e.Name())
		}
	}
	return mounts, programs
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func find(t *testing.T, text []byte, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		t.Fatalf("nothing matches %s", pattern)
	}
	return string(m[1])
}
