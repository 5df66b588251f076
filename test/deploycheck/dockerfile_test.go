package deploycheck

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// root is the operator's checkout.
const root = "../.."

// platforms are those that the Dockerfile promises.
var platforms = []ocispecs.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}

// noRegistry stands in for the registry: a base image is its PATH, on any platform.
type noRegistry struct{}

func (noRegistry) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	image := ocispecs.Image{Config: ocispecs.ImageConfig{Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"}}}
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		image.Platform = *opt.ImageOpt.Platform
	}
	config, err := json.Marshal(image)
	return ref, digest.FromBytes(config), config, err
}

func options(dockerfile []byte, p ocispecs.Platform, args map[string]string) dockerfile2llb.ConvertOpt {
	context := llb.Local("context")
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", dockerfile)
	source.Definition = &llb.Definition{} // the linter reads it
	return dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			BuildArgs:      args,
			BuildPlatforms: []ocispecs.Platform{{OS: "linux", Architecture: "amd64"}},
		},
		MainContext:    &context,
		SourceMap:      source,
		TargetPlatform: &p,
		MetaResolver:   noRegistry{},
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// plan is what BuildKit would do.
type plan struct {
	runs   []*pb.Meta // the RUN commands, variables put in
	config ocispecs.ImageConfig
}

func dockerfile(t *testing.T, p ocispecs.Platform, args map[string]string) plan {
	t.Helper()
	dt := read(t, "Dockerfile")
	result, err := dockerfile2llb.Dockerfile2LLB(t.Context(), dt, options(dt, p, args))
	if err != nil {
		t.Fatal(err)
	}
	def, err := result.State.Marshal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := plan{config: result.Image.Config.ImageConfig}
	for _, b := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(b); err != nil {
			t.Fatal(err)
		}
		if exec := op.GetExec(); exec != nil {
			out.runs = append(out.runs, exec.Meta)
		}
	}
	return out
}

// run returns the one RUN command that contains text.
func (p plan) run(t *testing.T, text string) *pb.Meta {
	t.Helper()
	var found []*pb.Meta
	for _, m := range p.runs {
		if strings.Contains(strings.Join(m.Args, " "), text) {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d RUN commands contain %q", len(found), text)
	}
	return found[0]
}

func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ast, err := parser.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	stages, _, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

func lintWarnings(t *testing.T, dt []byte, p ocispecs.Platform) []lint.Warning {
	t.Helper()
	results, err := dockerfile2llb.DockerfileLint(t.Context(), dt, options(dt, p, nil))
	if err != nil {
		t.Fatal(err)
	}
	if results.Error != nil {
		t.Fatal(results.Error.Message)
	}
	return results.Warnings
}

func TestBuildKitHasNoWarnings(t *testing.T) {
	dt := read(t, "Dockerfile")
	if strings.Contains(strings.ToLower(string(dt)), "check=") {
		t.Error("the Dockerfile turns checks off")
	}
	for _, p := range platforms {
		for _, w := range lintWarnings(t, dt, p) {
			t.Errorf("%s: %s: %s: %v", p.Architecture, w.RuleName, w.Detail, w.Location.GetRanges())
		}
	}
	// What the file could have had.
	bad := []byte("FROM alpine:3.24 as Build\nRUN echo $MISSING\nCMD exec sh\n")
	var rules []string
	for _, w := range lintWarnings(t, bad, platforms[0]) {
		rules = append(rules, w.RuleName)
	}
	slices.Sort(rules)
	if got := fmt.Sprint(rules); got != "[FromAsCasing JSONArgsRecommended StageNameCasing]" {
		t.Errorf("the linter says %s", got)
	}
}

func TestImageRunsTheOperatorUnderAnInitAsItsUser(t *testing.T) {
	c := dockerfile(t, platforms[1], map[string]string{"VERSION": "v1.2.3", "REVISION": "e4f5a6b"}).config
	if want := []string{"/sbin/tini", "--", "/usr/local/bin/gitops-operator"}; !slices.Equal(c.Entrypoint, want) || c.Cmd != nil {
		t.Errorf("entrypoint %q, command %q", c.Entrypoint, c.Cmd)
	}
	if c.User != "65532:65532" || c.WorkingDir != "/home/gitops-operator" {
		t.Errorf("user %q in %q", c.User, c.WorkingDir)
	}
	if _, ok := c.ExposedPorts["8000/tcp"]; !ok || len(c.ExposedPorts) != 1 {
		t.Errorf("ports %v", c.ExposedPorts)
	}
	want := map[string]string{
		"title":       "gitops-operator",
		"description": "Moves image tags in a manifests repository to the head commits of the applications' repositories",
		"source":      "https://github.com/kainlite/gitops-operator",
		"licenses":    "Apache-2.0",
		"version":     "v1.2.3",
		"revision":    "e4f5a6b",
	}
	if len(c.Labels) != len(want) {
		t.Errorf("labels %v", c.Labels)
	}
	for k, v := range want {
		if got := c.Labels["org.opencontainers.image."+k]; got != v {
			t.Errorf("label %s is %q", k, got)
		}
	}
}

// OpenSSH refuses to run for a uid that passwd does not name.
func TestImageHasGitSSHAndANamedUser(t *testing.T) {
	p := dockerfile(t, platforms[0], nil)
	script := p.run(t, "apk add").Args
	commands := strings.Split(script[len(script)-1], " && ")
	var got []string
	for _, c := range commands {
		got = append(got, strings.Join(strings.Fields(strings.ReplaceAll(c, "\\\n", " ")), " "))
	}
	uid, gid, _ := strings.Cut(p.config.User, ":")
	want := []string{
		"apk add --no-cache ca-certificates git openssh-client-default tini",
		"addgroup -g " + gid + " gitops-operator",
		"adduser -D -u " + uid + " -G gitops-operator -s /sbin/nologin gitops-operator",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBaseImagesArePinned(t *testing.T) {
	s := stages(t)
	if len(s) != 2 || s[0].Platform != "$BUILDPLATFORM" || s[1].Platform != "" {
		t.Fatalf("stages %+v", s)
	}
	goMod := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(read(t, "go.mod"))
	if want := fmt.Sprintf("golang:%s-alpine", goMod[1]); s[0].BaseName != want {
		t.Errorf("built on %s, go.mod asks for %s", s[0].BaseName, want)
	}
	if !regexp.MustCompile(`^alpine:3\.\d+$`).MatchString(s[1].BaseName) {
		t.Errorf("runs on %s: name a minor release", s[1].BaseName)
	}
}

func TestBuildsWithTheTagsAndFlagsOfMakeBuild(t *testing.T) {
	makefile := string(read(t, "Makefile"))
	tags := regexp.MustCompile(`(?m)^TAGS := (\S+)$`).FindStringSubmatch(makefile)
	build := regexp.MustCompile(`(?m)^\tCGO_ENABLED=0 \$\(GO\) build (.*) -o bin/gitops-operator \.$`).FindStringSubmatch(makefile)
	if tags == nil || build == nil {
		t.Fatal("no TAGS, or no build command, in the Makefile")
	}
	script := strings.Join(dockerfile(t, platforms[0], nil).run(t, "go build").Args, " ")
	got := strings.Join(strings.Fields(strings.ReplaceAll(script, "\\\n", " ")), " ")
	for _, want := range []string{"CGO_ENABLED=0 ", " -trimpath ", " -tags " + tags[1] + " ", ` -ldflags "-s -w`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %s", want, got)
		}
	}
	for _, want := range []string{"-trimpath", "-tags $(TAGS)", "-s -w"} {
		if !strings.Contains(build[1], want) {
			t.Errorf("%q is missing in make build", want)
		}
	}
}

// What is copied from the context must be in it; what is copied from the build
// must be what `go build -o` writes.
func TestWhatIsCopiedExists(t *testing.T) {
	context := buildContext(t, root)
	workdir, output, copied := "", "", 0
	for _, s := range stages(t) {
		for _, c := range s.Commands {
			switch c := c.(type) {
			case *instructions.WorkdirCommand:
				workdir = c.Path
			case *instructions.RunCommand:
				if m := regexp.MustCompile(`go build .* -o (\S+)`).FindStringSubmatch(strings.ReplaceAll(strings.Join(c.CmdLine, " "), "\n", " ")); m != nil {
					output = path.Join(workdir, m[1])
				}
			case *instructions.CopyCommand:
				for _, source := range c.SourcePaths {
					copied++
					if c.From == "build" {
						if source != output {
							t.Errorf("%s is copied, but %s is built", source, output)
						}
					} else if _, err := os.Stat(filepath.Join(context, source)); err != nil {
						t.Errorf("copied, but not in the context: %v", err)
					}
				}
			}
		}
	}
	if copied != 2 {
		t.Errorf("%d sources are copied", copied)
	}
}
