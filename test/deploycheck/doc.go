// Package deploycheck holds tests only: of the Dockerfile, .dockerignore and
// deploy/. It is a module of its own, so that kustomize, BuildKit and the Pod
// Security checks stay out of the product's dependencies. Where the operator
// itself must be asked, the tests run its binary, built as the Dockerfile says.
package deploycheck
