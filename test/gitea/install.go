package gitea

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// What is built, and the checksum of its module, as go.sum would hold it. Gitea
// is built as the main module, in its own folder: so its own go.mod counts,
// with the versions and replacements that its people have tested.
const (
	module  = "code.gitea.io/gitea"
	version = "v1.26.4"
	sum     = "h1:VDA00oYg16VrQf3sES0NuS/oiDLAIVng/7jKHsBMP/w="
)

// envRequire names the environment variable with which a test fails where it
// would be skipped.
const envRequire = "TEST_REQUIRE_GITEA"

// static are the folders that the server reads beside its program.
var static = []string{"templates", "options", "public"}

// Assets returns the directory with the program and its static files, where
// Install puts them. The error wraps fs.ErrNotExist when they are not there.
func Assets() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "gitops-operator-test", "gitea-"+version)
	_, err = os.Stat(filepath.Join(dir, "gitea"))
	return dir, err
}

// Install builds Gitea, unless it is there, and returns its directory. What
// happens is written to log. It needs a C compiler, for SQLite.
func Install(ctx context.Context, log io.Writer) (string, error) {
	dir, err := Assets()
	if err == nil {
		return dir, nil
	}
	fmt.Fprintf(log, "building Gitea %s into %s: once, and it takes minutes\n", version, dir)
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	// Renamed when complete, so that a build that is cut leaves nothing half.
	tmp, err := os.MkdirTemp(parent, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	begin := time.Now()
	source, err := download(ctx, tmp, log)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-tags", "sqlite sqlite_unlock_notify", "-ldflags", "-s -w", "-o", filepath.Join(tmp, "gitea"), ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build gitea: %w", err)
	}
	for _, name := range static {
		if err := os.CopyFS(filepath.Join(tmp, name), os.DirFS(filepath.Join(source, name))); err != nil {
			return "", fmt.Errorf("copy gitea's %s: %w", name, err)
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, missing := Assets(); missing != nil { // another build may have been first
			return "", err
		}
	}
	fmt.Fprintf(log, "built in %s\n", time.Since(begin).Round(time.Second))
	return dir, nil
}

// download brings the module and returns its folder.
func download(ctx context.Context, tmp string, log io.Writer) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
	cmd.Dir = tmp // outside of any module
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	cmd.Stderr = log
	out, err := cmd.Output()
	var answer struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &answer); err == nil && jsonErr != nil {
		err = jsonErr
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("download %s@%s: %w: %s", module, version, err, strings.TrimSpace(answer.Error))
	case answer.Sum != sum:
		return "", fmt.Errorf("download %s@%s: the checksum is %s, want %s", module, version, answer.Sum, sum)
	case answer.Dir == "":
		return "", errors.New("download gitea: no folder")
	}
	return answer.Dir, nil
}
