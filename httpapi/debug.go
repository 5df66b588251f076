package httpapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/mask"
	"github.com/kainlite/gitops-operator/telemetry"
)

// lastApplied is where kubectl keeps a copy of all that was applied, with the
// values of environment variables.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// debug answers with the parsed configuration. What may be a secret is masked:
// who asks may know less than who wrote it.
func (a *API) debug(w http.ResponseWriter, req *http.Request) {
	type entry struct {
		Container   string            `json:"container"`
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Annotations map[string]string `json:"annotations"`
		Version     string            `json:"version"`
		Config      k8s.Config        `json:"config"`
	}
	entries := []entry{}
	for _, t := range a.operator.List(req.Context()).Targets {
		entries = append(entries, entry{mask.Value(t.Container), t.Name, t.Namespace, maskAnnotations(t.Annotations), mask.Value(t.Version), maskConfig(t.Spec.Config)})
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(telemetry.Plain(w))
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	enc.Encode(entries) // a client that has gone cannot be told
}

func maskAnnotations(annotations map[string]string) map[string]string {
	masked := maps.Clone(annotations)
	for name, value := range masked {
		masked[name] = mask.Value(value)
		if name == lastApplied {
			masked[name] = "*** (not shown: it holds the values of environment variables)"
		}
	}
	return masked
}

// maskConfig masks every field, also those that nobody expects a secret in.
func maskConfig(c k8s.Config) k8s.Config {
	maskFields(reflect.ValueOf(&c).Elem())
	return c
}

func maskFields(of reflect.Value) {
	for _, v := range of.Fields() {
		if v.Kind() == reflect.Struct {
			maskFields(v)
			continue
		}
		switch s := v.Interface().(type) {
		case string:
			v.SetString(mask.Value(s))
		case *string:
			if s != nil {
				masked := mask.Value(*s)
				v.Set(reflect.ValueOf(&masked))
			}
		}
	}
}
