package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// The environment variables that are asked: envtest's for a folder with both
// programs, and one with which a test fails where it would be skipped.
const (
	envAssets  = "KUBEBUILDER_ASSETS"
	envRequire = "TEST_REQUIRE_APISERVER"
)

var programs = []string{"kube-apiserver", "etcd"}

// Assets returns the folder that has kube-apiserver and etcd: what
// KUBEBUILDER_ASSETS names, else where Install puts them. The error wraps
// fs.ErrNotExist when they are not there.
func Assets() (string, error) {
	if dir := os.Getenv(envAssets); dir != "" {
		if err := complete(dir); err != nil {
			return "", fmt.Errorf("%s: %w", envAssets, err)
		}
		return dir, nil
	}
	b, err := readBuild()
	if err != nil {
		return "", err
	}
	return b.assets, complete(b.assets)
}

func complete(dir string) error {
	for _, name := range programs {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// build is how the programs are built.
type build struct {
	module           string // the folder of the module that requires both
	kubernetes, etcd string // versions
	assets           string // the folder for the programs
}

var requirement = regexp.MustCompile(`(?m)^(?:require)?\s*(k8s\.io/kubernetes|go\.etcd\.io/etcd/server/v3) (v\S+)`)

// readBuild finds the module from anywhere in this repository: tests run in
// the folder of their package.
func readBuild() (b build, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return b, err
	}
	for {
		b.module = filepath.Join(dir, "test", "apiserver", "build")
		mod, err := os.ReadFile(filepath.Join(b.module, "go.mod"))
		if err == nil {
			for _, m := range requirement.FindAllStringSubmatch(string(mod), -1) {
				if m[1] == "k8s.io/kubernetes" {
					b.kubernetes = m[2]
				} else {
					b.etcd = m[2]
				}
			}
			break
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return b, errors.New("find test/apiserver/build/go.mod: not in this folder or above")
	}
	if b.kubernetes == "" || b.etcd == "" {
		return b, fmt.Errorf("read %s/go.mod: no version of Kubernetes or of etcd", b.module)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return b, err
	}
	b.assets = filepath.Join(cache, "gitops-operator-test", "kubernetes-"+b.kubernetes+"-etcd-"+b.etcd)
	return b, nil
}

// Install builds the programs, unless they are there, and returns their folder.
// What happens is written to log.
func Install(ctx context.Context, log io.Writer) (string, error) {
	dir, err := Assets()
	if err == nil || os.Getenv(envAssets) != "" {
		return dir, err
	}
	b, err := readBuild()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(log, "building kube-apiserver %s and etcd %s into %s: once, and it takes minutes\n", b.kubernetes, b.etcd, b.assets)
	parent := filepath.Dir(b.assets)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	// Renamed when complete, so that a build that is cut leaves nothing half.
	tmp, err := os.MkdirTemp(parent, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	start := time.Now()
	const variables = "k8s.io/component-base/version."
	for _, p := range []struct{ program, source, ldflags string }{
		{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", "-s -w -X " + variables + "gitVersion=" + b.kubernetes},
		{"etcd", "go.etcd.io/etcd/server/v3", "-s -w"},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", p.ldflags, "-o", filepath.Join(tmp, p.program), p.source)
		cmd.Dir = b.module
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("build %s: %w", p.program, err)
		}
	}
	if err := os.Rename(tmp, b.assets); err != nil && complete(b.assets) != nil { // another build may have been first
		return "", err
	}
	fmt.Fprintf(log, "built in %s\n", time.Since(start).Round(time.Second))
	return b.assets, nil
}
