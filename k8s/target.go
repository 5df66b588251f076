// Package k8s says which Deployments the operator works on and hands out the
// Secrets they name. It turns the gitops.operator. annotations into a Spec, which
// it validates completely, and reads Deployments and Secrets from a cluster or
// from YAML files.
//
// It only reads, and where it is asked to, writes Events about Deployments. It
// starts no process and asks no git host or registry, and it never puts a
// Secret's value into an error.
package k8s

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kainlite/gitops-operator/policy"
)

// Prefix starts the name of every annotation that concerns the operator.
const Prefix = "gitops.operator."

// The two values of tag_type: the whole commit hash, or its first 7 characters.
const (
	TagLong  = "long"
	TagShort = "short"
)

const (
	defaultBranch          = "master"
	defaultSecretNamespace = "gitops-operator"
	defaultRegistryURL     = "https://index.docker.io/v1/"
	defaultRegistrySecret  = "regcred"
)

// required is in the order in which missing annotations are reported.
var required = []string{
	"enabled", "app_repository", "manifest_repository", "deployment_path",
	"image_name", "ssh_key_name", "ssh_key_namespace",
}

var optional = []string{
	"observe_branch", "app_branch", "manifest_branch", "tag_type", "tag_path", "pin_digest",
	"tag_from", "version", "tag_pattern", "tag_order", "tag_format", "soak", "pin",
	"notifications_secret_name", "notifications_secret_namespace",
	"registry_secret_url", "registry_secret_name", "registry_secret_namespace",
	"github_token_secret_name", "github_token_secret_namespace",
	"git_secret_name", "git_secret_namespace", "app_git_secret_name", "app_git_secret_namespace",
}

// secrets begin the annotations that name a Secret and its namespace.
var secrets = []string{"ssh_key", "git_secret", "app_git_secret", "notifications_secret", "registry_secret", "github_token_secret"}

// legacy names were read by older releases; they are ignored without a word.
var legacy = []string{"namespace"}

// Ref names a workload. Refs are comparable.
type Ref struct {
	Kind            string // empty: a Deployment
	Namespace, Name string
}

// String returns "namespace/name", with the kind between them where it is not a
// Deployment.
func (r Ref) String() string {
	if r.Kind == "" {
		return r.Namespace + "/" + r.Name
	}
	return r.Namespace + "/" + r.Kind + "/" + r.Name
}

// Target is one Deployment that carries the required annotations.
type Target struct {
	Ref
	UID types.UID // as the cluster gave it; files have none

	// Annotations are all of the Deployment's. The map is shared: do not
	// modify it.
	Annotations map[string]string

	// Container is the image, without tag and digest and spelled as in the
	// Deployment, of the container that image_name names, else of the first
	// container; "" if there is none.
	Container string

	// Version is the tag of that image, "latest" if it has none.
	Version string

	Spec *Spec // shared: do not modify it
}

// Key returns the Ref as text.
func (t Target) Key() string { return t.Ref.String() }

// Invalid says in plain words which annotation values make the Deployment
// impossible to reconcile, nil when there are none. Ask it before
// Config.Enabled, which is false when the value of enabled is invalid.
func (t Target) Invalid() error { return t.Spec.invalid }

// Disabled says that the Deployment is switched off, whatever else is wrong
// with its annotations.
func (t Target) Disabled() bool { return value(t.Annotations, "enabled") == "false" }

// Unknown returns, sorted, the full names of the gitops.operator. annotations
// that mean nothing to the operator: most likely typing errors.
func (t Target) Unknown() []string { return unknown(t.Annotations) }

// Untracked is a Deployment that carries some gitops.operator. annotation but
// cannot be tracked; Reason says why.
type Untracked struct {
	Namespace, Name, Reason string
}

// Key returns "namespace/name".
func (u Untracked) Key() string { return u.Namespace + "/" + u.Name }

// Snapshot is the state of all Deployments at one moment, each list sorted by
// namespace and name. The lists may be shared: do not modify them.
type Snapshot struct {
	Targets   []Target
	Untracked []Untracked

	observed map[Ref]*policy.Observed // those that targets are promoted from
}

// ParseDeployment sorts a Deployment into one of three: tracked (the first
// result), untracked for the given reason (the second), or none of the
// operator's business (both nil). The Target shares the Deployment's
// annotations.
func ParseDeployment(d *appsv1.Deployment) (*Target, *Untracked) {
	if !concerns(d.Annotations) {
		return nil, nil
	}
	namespace := orDefaultNamespace(d.Namespace)
	if reason := missing(d.Annotations); reason != "" {
		return nil, &Untracked{namespace, d.Name, reason}
	}
	if reason := badName(namespace, d.Name); reason != "" {
		return nil, &Untracked{namespace, d.Name, reason}
	}
	spec := ParseSpec(Ref{Namespace: namespace, Name: d.Name}, d.Annotations)
	container, version := running(d.Spec.Template.Spec, spec.ImageName)
	return &Target{
		Ref:         Ref{Namespace: namespace, Name: d.Name},
		UID:         d.UID,
		Annotations: d.Annotations,
		Container:   container,
		Version:     version,
		Spec:        spec,
	}, nil
}

// badName says what the API server would say of a name. Files may hold anything,
// and the names go into commit messages.
func badName(namespace, name string) string {
	if faults := validation.IsDNS1123Label(namespace); len(faults) > 0 {
		return fmt.Sprintf("namespace %q is invalid: %s", namespace, faults[0])
	}
	if faults := validation.IsDNS1123Subdomain(name); len(faults) > 0 {
		return fmt.Sprintf("name %q is invalid: %s", name, faults[0])
	}
	return ""
}

func concerns(annotations map[string]string) bool {
	for name := range annotations {
		if strings.HasPrefix(name, Prefix) {
			return true
		}
	}
	return false
}

// missing returns what keeps the Deployment from being tracked, "" if nothing
// does. Unknown names come along: one of them may be the missing one, mistyped.
func missing(annotations map[string]string) string {
	var names []string
	for _, name := range required {
		of, secret := strings.CutPrefix(name, "ssh_key_")
		switch {
		case value(annotations, name) != "" || name == "app_repository" && !needsApp(annotations):
		case secret && gitSecret(annotations, of) != "":
		case secret && (value(annotations, "git_secret_name") != "" || value(annotations, "git_secret_namespace") != ""):
			names = append(names, Prefix+"git_secret_"+of)
		default:
			names = append(names, Prefix+name)
		}
	}
	if names == nil {
		return ""
	}
	reason := "missing annotation "
	if len(names) > 1 {
		reason = "missing annotations "
	}
	reason += strings.Join(names, ", ")
	if strange := unknown(annotations); strange != nil {
		reason += " (unknown: " + strings.Join(strange, ", ") + ")"
	}
	return reason
}

func unknown(annotations map[string]string) []string {
	var names []string
	for full := range annotations {
		name, ours := strings.CutPrefix(full, Prefix)
		if ours && !slices.Contains(required, name) && !slices.Contains(optional, name) && !slices.Contains(legacy, name) {
			names = append(names, full)
		}
	}
	slices.Sort(names)
	return names
}

func orDefaultNamespace(namespace string) string {
	if namespace == "" {
		return metav1.NamespaceDefault
	}
	return namespace
}
