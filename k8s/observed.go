package k8s

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/kainlite/gitops-operator/policy"
)

// observe returns what a Deployment runs, in the terms of promotion.
func observe(d *appsv1.Deployment) *policy.Observed {
	o := &policy.Observed{
		Replicas: 1, Generation: d.Generation, ObservedGeneration: d.Status.ObservedGeneration,
		CurrentReplicas: d.Status.Replicas, UpdatedReplicas: d.Status.UpdatedReplicas, ReadyToUse: d.Status.AvailableReplicas,
	}
	if d.Spec.Replicas != nil {
		o.Replicas = *d.Spec.Replicas
	}
	pod := d.Spec.Template.Spec
	for _, c := range slices.Concat(pod.Containers, pod.InitContainers) {
		o.Images = append(o.Images, c.Image)
	}
	for _, c := range d.Status.Conditions {
		condition := &policy.Condition{
			Status: string(c.Status), Reason: c.Reason, LastTransition: c.LastTransitionTime.Time, LastUpdate: c.LastUpdateTime.Time,
		}
		switch c.Type {
		case appsv1.DeploymentAvailable:
			o.Available = condition
		case appsv1.DeploymentProgressing:
			o.Progressing = condition
		}
	}
	return o
}

// Observed returns what a Deployment runs that some target is promoted from; nil
// if there is no such Deployment, or it is not watched.
func (s Snapshot) Observed(w policy.Workload) *policy.Observed {
	return s.observed[Ref{Namespace: w.Namespace, Name: w.Name}]
}

// promoted returns the Deployments that targets are promoted from.
func promoted(targets []Target) map[Ref]bool {
	from := map[Ref]bool{}
	for _, t := range targets {
		if t.Spec.Tag != nil && t.Spec.Tag.Unpinned() == policy.Promotion {
			w := t.Spec.Tag.From()
			from[Ref{Namespace: w.Namespace, Name: w.Name}] = true
		}
	}
	return from
}
