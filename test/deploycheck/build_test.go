package deploycheck

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/moby/patternmatcher/ignorefile"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
)

const testVersion = "v9.8.7-deploycheck"

// buildContext copies what BuildKit would send of dir to a builder, by the
// product's .dockerignore, and returns the copy.
func buildContext(t *testing.T, dir string) string {
	t.Helper()
	patterns, err := ignorefile.ReadAll(bytes.NewReader(read(t, ".dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	all, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := fsutil.NewFilterFS(all, &fsutil.FilterOpt{ExcludePatterns: patterns})
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	err = sent.Walk(t.Context(), "", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(out, name)
		if e.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		r, err := sent.Open(name)
		if err != nil {
			return err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestBuilderIsSentNothingButSource(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"main.go", "main_test.go", "go.mod", "go.sum", "gitcli/known_hosts", "gitcli/push.go", "gitcli/push_test.go", "test/world/world.go",
		"page/page.html", "page/page.css", "page/page.js", "page/page_test.go", "page/secret.pem", "test/browser/doc.go",
		".env", "kubeconfig", "id_ed25519", "demo/key.pem", ".git/config", ".git/hooks/hook.go", "bin/gitops-operator", "README.md",
		"Dockerfile", ".dockerignore", "deploy/base/known_hosts", "test/deploycheck/doc.go", "test/deploycheck/go.mod", "test/apiserver/main.go",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"gitcli/known_hosts", "gitcli/push.go", "go.mod", "go.sum", "main.go", "page/page.css", "page/page.html", "page/page.js", "test/world/world.go"}
	if got := files(t, buildContext(t, dir)); !slices.Equal(got, want) {
		t.Errorf("sent: %q", got)
	}
}

// buildBinary runs the Dockerfile's own build command on what a builder would
// be sent, and returns the binary.
func buildBinary(t *testing.T, p ocispecs.Platform) string {
	t.Helper()
	command := dockerfile(t, p, map[string]string{"VERSION": testVersion}).run(t, "go build")
	dir := buildContext(t, root)
	env := map[string]string{}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	for _, kv := range command.Env {
		if k, v, _ := strings.Cut(kv, "="); k != "PATH" {
			env[k] = v
		}
	}
	cmd := exec.CommandContext(t.Context(), command.Args[0], command.Args[1:]...)
	cmd.Dir = dir
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", command.Args, err, out)
	}
	return filepath.Join(dir, "bin/gitops-operator")
}

func TestBuildCommandMakesAStaticBinaryOfThisVersion(t *testing.T) {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for _, p := range platforms {
		t.Run(p.Architecture, func(t *testing.T) {
			file := buildBinary(t, p)
			f, err := elf.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Machine != machines[p.Architecture] {
				t.Errorf("built for %s", f.Machine)
			}
			libs, _ := f.ImportedLibraries()
			dynamic := slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC })
			if dynamic || len(libs) > 0 {
				t.Errorf("not static: needs %q", libs)
			}
			info, err := buildinfo.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			settings := map[string]string{}
			for _, s := range info.Settings {
				settings[s.Key] = s.Value
			}
			if settings["GOOS"] != "linux" || settings["GOARCH"] != p.Architecture || settings["CGO_ENABLED"] != "0" || settings["-trimpath"] != "true" {
				t.Errorf("settings %v", settings)
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(content, []byte(testVersion)) {
				t.Error("the version is not in it")
			}
			if runtime.GOOS != "linux" || runtime.GOARCH != p.Architecture {
				return // another machine's
			}
			out, err := exec.CommandContext(t.Context(), file, "version").CombinedOutput()
			want := "gitops-operator " + testVersion + " (" + info.GoVersion + ", linux/" + p.Architecture + ")\n" // .git is not in the context, so no commit
			if err != nil || string(out) != want {
				t.Errorf("version: %v: %s", err, out)
			}
		})
	}
}
