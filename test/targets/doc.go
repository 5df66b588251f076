// Package targets holds tests only: what the patcher writes into kustomizations
// and Helm values, as kustomize's and Helm's own libraries read it. It is a module
// of its own, so that these stay out of the product's dependencies.
package targets
