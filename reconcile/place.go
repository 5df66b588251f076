package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kainlite/gitops-operator/patcher"
)

// Place is where a tag of a Deployment is in the manifests repository.
type Place struct {
	Path string // of the file
	Line int
	Kind patcher.Kind
}

// places are all of the deployment's.
func (d *deployment) places() []Place {
	var all []Place
	for _, s := range d.spots {
		for _, p := range s.places {
			all = append(all, Place{s.file.path, p.Line, p.Kind})
		}
	}
	return all
}

// paths are the files that the deployment changes.
func (d *deployment) paths() string {
	var paths []string
	for _, s := range d.spots {
		if s.steps > 0 {
			paths = append(paths, s.file.path)
		}
	}
	return strings.Join(paths, ", ")
}

// maxPlaces bounds the places in a message.
const maxPlaces = 8

// Where tells people where tags are: "kustomization at apps/kustomization.yaml:4".
// It is empty where that goes without saying: in the workloads of one file.
func Where(places []Place) string {
	if !slices.ContainsFunc(places, func(p Place) bool { return p.Kind != patcher.Workload || p.Path != places[0].Path }) {
		return ""
	}
	var all []string
	for _, p := range places[:min(len(places), maxPlaces)] {
		all = append(all, fmt.Sprintf("%s at %s:%d", p.Kind, p.Path, p.Line))
	}
	if more := len(places) - maxPlaces; more > 0 {
		all = append(all, fmt.Sprintf("%d more", more))
	}
	return strings.Join(all, ", ")
}
