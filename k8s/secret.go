package k8s

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What errors.Is finds when a Secret cannot be had.
var (
	ErrSecretNotFound  = errors.New("secret not found")
	ErrSecretForbidden = errors.New("secret forbidden") // by the cluster, or by a SecretPolicy
)

// SecretRef names a Secret.
type SecretRef struct{ Namespace, Name string }

// String returns "namespace/name".
func (r SecretRef) String() string { return r.Namespace + "/" + r.Name }

// SecretPolicy says which Secrets a Deployment may name; the zero value lets it
// name any. Without it, who may create a Deployment can borrow every key that
// the operator can read.
type SecretPolicy struct {
	NoCrossNamespace bool     // only those of the Deployment's own namespace
	Namespaces       []string // only those of these namespaces, if there are any
}

// Allow returns nil if a Deployment in that namespace may name the Secret, else
// an error that is ErrSecretForbidden and says which flag refuses it.
func (p SecretPolicy) Allow(deploymentNamespace string, ref SecretRef) error {
	if p.NoCrossNamespace && ref.Namespace != deploymentNamespace {
		return &secretForbiddenError{ref, fmt.Sprintf("a Deployment may name Secrets of its own namespace only, which is %s (--no-cross-namespace-secrets)", deploymentNamespace)}
	}
	if len(p.Namespaces) > 0 && !slices.Contains(p.Namespaces, ref.Namespace) {
		return &secretForbiddenError{ref, fmt.Sprintf("Deployments may name Secrets of these namespaces only: %s (--secret-namespace)", strings.Join(p.Namespaces, ", "))}
	}
	return nil
}

type secretNotFoundError struct{ ref SecretRef }

func (e *secretNotFoundError) Error() string { return "secret " + e.ref.String() + " not found" }

func (e *secretNotFoundError) Is(target error) bool { return target == ErrSecretNotFound }

type secretForbiddenError struct {
	ref    SecretRef
	reason string
}

func (e *secretForbiddenError) Error() string {
	return "secret " + e.ref.String() + " is forbidden: " + e.reason
}

func (e *secretForbiddenError) Is(target error) bool { return target == ErrSecretForbidden }
