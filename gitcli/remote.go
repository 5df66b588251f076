package gitcli

import "github.com/kainlite/gitops-operator/internal/repository"

// Remote is a repository that is reached over SSH.
type Remote = repository.URL

// ParseRemote checks a repository's URL. Errors never repeat a password.
func ParseRemote(s string) (Remote, error) { return repository.Parse(s) }

// CheckBranch says whether git would accept a branch of that name.
func CheckBranch(name string) error { return repository.CheckBranch(name) }
