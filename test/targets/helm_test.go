package targets

import (
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"

	"github.com/kainlite/gitops-operator/patcher"
)

// charts are values, and a template as charts with such values have it.
var charts = []struct{ promise, template, values string }{
	{"repository and tag", `{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}`, "image:\n  repository: acme/web\n  tag: 1.10 # the release\n"},
	{"an empty tag", `{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}`, "image:\n  repository: acme/web\n  tag: \"\"\n"},
	{"a tag that is left out", `{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}`, "image:\n  repository: acme/web\n  tag:\n"},
	{"registry and repository", `{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}`, "image: {registry: docker.io, repository: acme/web, tag: 123}\n"},
	{"image and imageTag", `{{ .Values.image }}:{{ .Values.imageTag }}`, "image: acme/web\nimageTag: true\n"},
	{"NAME:TAG", `{{ .Values.web.image }}`, "web:\n  image: acme/web:v1\n"},
	{"a digest beside it", `{{ .Values.image.repository }}:{{ .Values.image.tag }}{{ with .Values.image.digest }}@{{ . }}{{ end }}`, "image: {repository: acme/web, tag: '1', digest: ''}\n"},
	{"a digest without its algorithm", `{{ .Values.image.repository }}:{{ .Values.image.tag }}{{ with .Values.image.sha }}@sha256:{{ . }}{{ end }}`, "image: {repository: acme/web, tag: '1', sha: ''}\n"},
}

// What Helm renders from the edited values is the image with the new version.
func TestHelmRendersTheNewVersion(t *testing.T) {
	name, err := patcher.ParseName("acme/web", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range charts {
		for _, v := range []patcher.Version{{Tag: "v2"}, {Tag: "7e12345"}, {Tag: "1.20"}, {Tag: "1234567"}, {Tag: "0x1F"}, {Tag: "true"}, {Tag: "1.20", Digest: digest}} {
			t.Run(test.promise+" "+v.Tag, func(t *testing.T) {
				f, err := patcher.ParseFile("values.yaml", []byte(test.values))
				if err != nil {
					t.Fatal(err)
				}
				after, err := f.Edit(patcher.Request{Images: []patcher.Name{name}, Pin: v.Digest != ""}, v)
				if err != nil {
					t.Fatal(err)
				}
				if got := render(t, test.template, after); got != "acme/web:"+v.String() {
					t.Errorf("Helm renders %s from\n%s", got, after)
				}
			})
		}
	}
}

func render(t *testing.T, template string, values []byte) string {
	t.Helper()
	given, err := chartutil.ReadValues(values)
	if err != nil {
		t.Fatal(err)
	}
	c := &chart.Chart{
		Metadata:  &chart.Metadata{APIVersion: "v2", Name: "web", Version: "1.0.0", AppVersion: "0.0.1"},
		Templates: []*chart.File{{Name: "templates/web.yaml", Data: []byte(template)}},
	}
	all, err := chartutil.ToRenderValues(c, given, chartutil.ReleaseOptions{Name: "web"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := engine.Render(c, all)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(rendered["web/templates/web.yaml"], "docker.io/")
}
