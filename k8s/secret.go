package k8s

import "errors"

// ErrSecretNotFound is what errors.Is finds when a Secret does not exist.
var ErrSecretNotFound = errors.New("secret not found")

// SecretRef names a Secret.
type SecretRef struct{ Namespace, Name string }

// String returns "namespace/name".
func (r SecretRef) String() string { return r.Namespace + "/" + r.Name }

type secretNotFoundError struct{ ref SecretRef }

func (e *secretNotFoundError) Error() string { return "secret " + e.ref.String() + " not found" }

func (e *secretNotFoundError) Is(target error) bool { return target == ErrSecretNotFound }
