// Package hostile holds the tests of what the operator does with input that
// means harm: annotations, manifests repositories, git servers, Secrets,
// registries and webhooks. Each case is a Deployment in a real pass of the real
// program, over real SSH with real git, beside a healthy Deployment that must
// still be patched. It has tests only.
//
// A case is added to one of the lists in annotations_test.go, manifests_test.go,
// kinds_test.go, servers_test.go and secrets_test.go; what every case must satisfy is in
// check_test.go.
package hostile
