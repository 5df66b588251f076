package patcher

import "github.com/mikefarah/yq/v4/pkg/yqlib"

// podSpecs says where the kinds that are edited have their pod spec. Service
// is Knative's (a core Service has no template), Rollout is Argo's.
var podSpecs = map[string][]string{
	"Pod":                   {"spec"},
	"PodTemplate":           {"template", "spec"},
	"Deployment":            {"spec", "template", "spec"},
	"StatefulSet":           {"spec", "template", "spec"},
	"DaemonSet":             {"spec", "template", "spec"},
	"ReplicaSet":            {"spec", "template", "spec"},
	"ReplicationController": {"spec", "template", "spec"},
	"Job":                   {"spec", "template", "spec"},
	"Service":               {"spec", "template", "spec"},
	"Rollout":               {"spec", "template", "spec"},
	"CronJob":               {"spec", "jobTemplate", "spec", "template", "spec"},
}

var containerLists = []string{"containers", "initContainers", "ephemeralContainers"}

// podSpec locates the images in a pod spec, which is below these keys of an object.
func podSpec(keys []string) locator {
	return func(w *walk, n *node, p path) {
		w.read.workloads = true
		w.descend(n, keys, p, (*walk).podSpec)
	}
}

// descend goes down the keys, from the mapping n to a mapping, and does something
// there.
func (w *walk) descend(n *node, keys []string, p path, do locator) {
	if len(keys) == 0 {
		do(w, n, p)
		return
	}
	for _, v := range w.values(n, keys[0], &p) {
		if below, p, ok := w.enter(v, p); ok {
			w.descend(below, keys[1:], p, do)
		}
	}
}

func (w *walk) podSpec(n *node, p path) {
	for _, key := range containerLists {
		for _, list := range w.values(n, key, &p) {
			for _, item := range elements(list) {
				if container, p, ok := w.enter(item, p); ok {
					w.container(container, p)
				}
			}
		}
	}
}

func (w *walk) container(n *node, p path) {
	for _, v := range w.values(n, "image", &p) {
		if v = follow(v); v.Tag != "!!null" {
			w.reference(Workload, slot{ownKey(n, "image"), v}, p)
		}
	}
}

// reference adds a scalar that is NAME:TAG.
func (w *walk) reference(kind Kind, at slot, p path) {
	if w.seen[at.value] {
		return
	}
	w.seen[at.value] = true
	var names []ref
	if at.value.Kind == yqlib.ScalarNode {
		names = []ref{readRef(at.value.Value)}
	}
	w.sites = append(w.sites, site{kind: kind, at: at.value, names: names, tag: at, flaw: p.flaw})
}
