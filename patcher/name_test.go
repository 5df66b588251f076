package patcher

import (
	"errors"
	"strings"
	"testing"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
	"go.yaml.in/yaml/v2"
)

func TestParseNameRefusesWhatIsNoName(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for name, message := range map[string]string{
		"":                          "the image name is empty: give it without a tag, as in kainlite/blog",
		"kainlite/blog:1.0":         `the image name "kainlite/blog:1.0" has a tag: remove :1.0`,
		"blog:5000":                 `the image name "blog:5000" has a tag: remove :5000`,
		"kainlite/blog@" + digest:   `the image name "kainlite/blog@` + digest + `" has a digest: remove @` + digest,
		"kainlite/blog:1@" + digest: `the image name "kainlite/blog:1@` + digest + `" has a digest: remove @` + digest,
		"Kainlite/Blog":             `"Kainlite/Blog" is not an image name: invalid reference format: repository name (Blog) must be lowercase`,
		"kainlite/blog\x1b[31m":     `"kainlite/blog\x1b[31m" is not an image name: it is too long, or has characters that no image name has`,
		"kainlite/bl\u043eg":        `"kainlite/blоg" is not an image name: it is too long, or has characters that no image name has`,
		" kainlite/blog":            `" kainlite/blog" is not an image name: invalid reference format`,
		"kainlite/blog:":            `"kainlite/blog:" is not an image name: invalid reference format`,
		"https://ghcr.io/x":         `"https://ghcr.io/x" is not an image name: invalid reference format`,
		strings.Repeat("a", 64):     `"` + strings.Repeat("a", 64) + `" is not an image name: invalid repository name (` + strings.Repeat("a", 64) + `), cannot specify 64-byte hexadecimal strings`,
	} {
		for _, anyRegistry := range []bool{false, true} {
			_, err := ParseName(name, anyRegistry)
			if !errors.Is(err, ErrName) || err.Error() != message {
				t.Errorf("ParseName(%q): got\n%v\nwant\n%s", name, err, message)
			}
		}
	}
}

func TestNameIsWrittenAsItWasGiven(t *testing.T) {
	for _, name := range []string{"blog", "kainlite/blog", "GHCR.io/kainlite/blog", "localhost:5000/x", "index.docker.io/x"} {
		if got := mustName(t, name, true).String(); got != name {
			t.Errorf("got %q, want %q", got, name)
		}
	}
}

func TestNamesMatchExactly(t *testing.T) {
	for _, test := range []struct {
		name        string
		anyRegistry bool
		image       string
		want        bool
	}{
		{"kainlite/blog", false, "kainlite/blog:1", true},
		{"kainlite/blog", false, "kainlite/blog", true},
		{"kainlite/blog", false, "docker.io/kainlite/blog:1", true},
		{"kainlite/blog", false, "index.docker.io/kainlite/blog:1", true},
		{"docker.io/kainlite/blog", false, "kainlite/blog:1", true},
		{"docker.io/kainlite/blog", true, "kainlite/blog:1", true},
		{"docker.io/kainlite/blog", true, "ghcr.io/kainlite/blog:1", false},
		{"kainlite/blog", false, "kainlite/blog-api:1", false},
		{"kainlite/blog", false, "x/kainlite/blog:1", false},
		{"kainlite/blog", false, "ghcr.io/kainlite/blog:1", false},
		{"kainlite/blog", true, "ghcr.io/kainlite/blog:1", true},
		{"kainlite/blog", true, "localhost:5000/kainlite/blog", true},
		{"kainlite/blog", true, "ghcr.io/x/kainlite/blog:1", false},
		{"ghcr.io/kainlite/blog", true, "GHCR.IO/kainlite/blog:1", true},
		{"ghcr.io/kainlite/blog", false, "kainlite/blog:1", false},
		{"nginx", false, "docker.io/library/nginx:1", true},
		{"library/nginx", true, "nginx:1", true},
		{"nginx", true, "library/nginx:1", true},
		{"nginx", true, "ghcr.io/nginx:1", true},
		{"nginx", true, "ghcr.io/library/nginx:1", false},
		{"localhost/x", true, "docker.io/x:1", false},
		{"localhost:5000/x", false, "localhost:5000/x:1", true},
		{"localhost:5000/x", false, "localhost:5001/x:1", false},
		{"INDEX.docker.io/nginx", true, "Docker.IO/nginx:1", true},
		{"FOO/bar", false, "foo/bar:1", false},

		// No valid references, but perhaps ours.
		{"kainlite/blog", false, "kainlite/blog:${TAG}", true},
		{"kainlite/blog", false, "docker.io/kainlite/blog:$TAG", true},
		{"kainlite/blog", false, "kainlite/blog:-x", true},
		{"kainlite/blog", false, "kainlite/blog@sha256:x", true},
		{"kainlite/blog", false, "$(REGISTRY)/kainlite/blog:1", true},
		{"kainlite/blog", false, "$REGISTRY/kainlite/blog:1", true},
		{"kainlite/blog", false, "${REGISTRY:-ghcr.io/x}/kainlite/blog:${TAG}", true},
		{"nginx", false, "{{ .Values.registry }}/nginx:{{ .Values.tag }}", true},
		{"kainlite/blog", false, "kainlite/blog-${X}:1", false},
		{"kainlite/blog", false, "kainlite/${NAME}:1", false},
		{"kainlite/blog", false, "${IMAGE}", false},
		{"kainlite/blog", false, "${REGISTRY}/kainlite/blog-api:1", false},
		{"kainlite/blog", false, "a kainlite/blog", false},
		{"kainlite/blog", false, "", false},
	} {
		if _, got := mustName(t, test.name, test.anyRegistry).read(test.image); got != test.want {
			t.Errorf("%s (any registry: %v) matches %s: got %v, want %v", test.name, test.anyRegistry, test.image, got, test.want)
		}
	}
}

func TestTheSameNameInTwoRegistriesIsAmbiguous(t *testing.T) {
	f := mustParse(t, pod("image: kainlite/blog:1\n  - image: ghcr.io/kainlite/blog:1"))
	_, err := f.Find(mustName(t, "kainlite/blog", true))
	const message = `line 5: "kainlite/blog" stands in two registries, docker.io (line 4) and ghcr.io: name the registry in the image name`
	if !errors.Is(err, ErrAmbiguous) || err.Error() != message {
		t.Errorf("got %v, want %s", err, message)
	}
	if images, err := f.Find(mustName(t, "ghcr.io/kainlite/blog", true)); err != nil || len(images) != 1 {
		t.Errorf("got %v, %v for the name with its registry", images, err)
	}
}

func TestSetTagRefusesWhatIsNoTag(t *testing.T) {
	f, n := mustParse(t, pod("image: kainlite/blog:1")), mustName(t, "kainlite/blog", false)
	for _, tag := range []string{"", ".1", "-1", "a b", "a:b", "a/b", "é", "1\n", "a#", strings.Repeat("a", 129)} {
		got, err := f.SetTag(n, tag)
		message := quote(tag) + " is not an image tag: use 1 to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'"
		if got != nil || !errors.Is(err, ErrTag) || err.Error() != message {
			t.Errorf("tag %q: got %q, %v", tag, got, err)
		}
	}
}

func TestReadsAsNumberKnowsBase60(t *testing.T) {
	for value, want := range map[string]bool{
		"12:30": true, "1:0": true, "1_000:59": true, "12:30.5": true, "12:5.": true, "0:5": true,
		"12:60": false, "12:300": false, "12:3a": false, "a12:30": false, "12:1.2.3": false, "1.2:30": false,
		"kainlite/blog:30": false, "localhost:5000/12:30": false, "12:1e3": false, "12:_1": false,
	} {
		if got := readsAsNumber(value); got != want {
			t.Errorf("readsAsNumber(%q) = %v, want %v", value, got, want)
		}
	}
}

// A plain scalar NAME:TAG is a string to the readers at hand, whatever the tag
// looks like.
func TestPlainImagesAreStringsToOtherReaders(t *testing.T) {
	names := []string{"12", "1_000", "0x1f", "1e3", "true", "null", "y", "no", "2001-12-14", "nan", "1.5/x"}
	tags := []string{"30", "59", "5", "0", "1.10", "7e12345", "1e3", "0x1F", "0o17", "true", "null", "yes", "1234567", "2001-12-14", "_1", "1_0", "NaN"}
	for _, name := range names {
		for _, tag := range tags {
			value := name + ":" + tag
			if readsAsNumber(value) {
				continue
			}
			var got map[string]any
			if err := yaml.Unmarshal([]byte("image: "+value), &got); err != nil || got["image"] != value {
				t.Errorf("yaml/v2 reads %s as %#v, %v", value, got["image"], err)
			}
			docs, err := decode([]byte(value))
			if err != nil || docs[0].Tag != "!!str" || docs[0].Kind != yqlib.ScalarNode {
				t.Errorf("yq reads %s as something other than a string", value)
			}
		}
	}
}
