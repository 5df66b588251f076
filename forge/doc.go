// Package forge asks git hosts for what they offer beside git: pull requests,
// builds, checks and commit statuses. GitHub, GitLab, Gitea with Forgejo, and
// Bitbucket Cloud look the same through it.
//
// It talks to the hosts' HTTP APIs and touches nothing else: no git, no
// registry, no Kubernetes. Branches are pushed and deleted by whoever calls it.
// Which host serves which API is said by the operator's flags alone. Tokens
// reach the package as arguments and go to the API of their host only; they
// appear in no error and no log.
package forge
