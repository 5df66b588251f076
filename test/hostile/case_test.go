package hostile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/world"
)

// hostile is one Deployment that means harm.
type hostile struct {
	name string
	// edit replaces annotations; an empty value removes one. CANARY stands for
	// a file that must never appear, MANIFESTS for the repository's URL.
	edit map[string]string
	// file is the manifest, in place of a good one.
	file *gitrepo.Change
	// repo is the manifests repository's, for cases that need one of their own.
	repo func(s *stage, r gitrepo.Repo, canary string)
	// with changes the stage, and may return more annotations.
	with func(s *stage, id string) map[string]string
	// want is a part of the failure's message; empty: the Deployment is patched.
	want  string
	limit int // of a bomb: the operator's peak memory in MiB
}

// subject is a case on the stage.
type subject struct {
	hostile
	id        string // the Deployment's name
	manifests string // its repository
	canary    string
}

const (
	old   = "3c0a88249fb61a0a4f4a65295f42b2dee3963c28"
	image = "kainlite/blog"
	app   = "kainlite/app"
)

// cases are all lists together but the bombs.
func cases() []hostile {
	var all []hostile
	for _, list := range [][]hostile{annotationCases(), manifestCases(), kindCases(), serverCases(), secretCases()} {
		all = append(all, list...)
	}
	return all
}

// escapes is the kind of thing that must not reach a terminal: a colour, a
// clipboard write, a link, an 8-bit control, a text that runs backwards.
const escapes = "\x1b[31m\x1b]52;c;cm0gLXJmIC8=\a\x1b]8;;http://evil.example\x1b\\\u009b2J\u202e\u200b\x7f\r"

// deployment writes a Deployment as JSON with nothing but ASCII: YAML knows
// these escapes too.
func deployment(name string, annotations map[string]string, imageOf string) string {
	full := map[string]string{}
	for k, v := range annotations {
		if v != "" {
			full[k8s.Prefix+k] = v
		}
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": name, "namespace": "default", "annotations": full},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"containers": []any{map[string]string{"name": "main", "image": imageOf}},
		}}},
	})
	if err != nil {
		panic(err)
	}
	return ascii(string(text)) + "\n"
}

func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x7f {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// unprintable finds what a terminal might act on; line breaks are allowed.
func unprintable(s string) string {
	for i, r := range s {
		if r != '\n' && (!unicode.IsPrint(r) || r == unicode.ReplacementChar) {
			return fmt.Sprintf("%q in %.200q", r, s[max(0, i-40):min(len(s), i+40)])
		}
	}
	return ""
}

func good(name string) gitrepo.Change {
	return gitrepo.Change{Path: name + ".yaml", Content: world.Manifest(name, image+":"+old)}
}

func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}
