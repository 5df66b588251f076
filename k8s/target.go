// Package k8s says which Deployments the operator works on and hands out the
// Secrets they name. It turns the gitops.operator. annotations into a Target
// and reads Deployments and Secrets from a cluster or from YAML files.
//
// It only reads, and where it is asked to, writes Events about Deployments. It
// knows nothing of git, of registries or of the other rooms, and it never puts a
// Secret's value into an error.
package k8s

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kainlite/gitops-operator/mask"
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
	"observe_branch", "tag_type",
	"notifications_secret_name", "notifications_secret_namespace",
	"registry_secret_url", "registry_secret_name", "registry_secret_namespace",
	"github_token_secret_name", "github_token_secret_namespace",
}

// secrets begin the annotations that name a Secret and its namespace.
var secrets = []string{"ssh_key", "notifications_secret", "registry_secret", "github_token_secret"}

// legacy names were read by older releases; they are ignored without a word.
var legacy = []string{"namespace"}

// Target is one Deployment that carries the required annotations.
type Target struct {
	Namespace, Name string
	UID             types.UID // as the cluster gave it; files have none

	// Annotations are all of the Deployment's. The map is shared: do not
	// modify it.
	Annotations map[string]string

	// Container is the image, without tag and digest and spelled as in the
	// Deployment, of the container that image_name names, else of the first
	// container; "" if there is none.
	Container string

	// Version is the tag of that image, "latest" if it has none.
	Version string

	Config *Config // shared: do not modify it
}

// Key returns "namespace/name".
func (t Target) Key() string { return t.Namespace + "/" + t.Name }

// Invalid says in plain words which annotation values make the Deployment
// impossible to reconcile, nil when there are none. Ask it before
// Config.Enabled, which is false when the value of enabled is invalid.
func (t Target) Invalid() error {
	var faults []string
	if v := value(t.Annotations, "enabled"); v != "" && v != "true" && v != "false" {
		faults = append(faults, fmt.Sprintf(`%senabled is %.100q: set it to "true" or "false"`, Prefix, mask.Value(v)))
	}
	if v := value(t.Annotations, "tag_type"); v != "" && v != TagLong && v != TagShort {
		faults = append(faults, fmt.Sprintf("%stag_type is %.100q: set it to %q or %q", Prefix, mask.Value(v), TagLong, TagShort))
	}
	for _, secret := range secrets {
		if v := value(t.Annotations, secret+"_name"); v != "" && !dnsName(v, 253, true) {
			faults = append(faults, fmt.Sprintf("%s%s_name is %+.100q, and no Secret can have that name: use lower-case letters, digits, '-' and '.'", Prefix, secret, mask.Value(v)))
		}
		if v := value(t.Annotations, secret+"_namespace"); v != "" && !dnsName(v, 63, false) {
			faults = append(faults, fmt.Sprintf("%s%s_namespace is %+.100q, and no namespace can have that name: use lower-case letters, digits and '-'", Prefix, secret, mask.Value(v)))
		}
	}
	if faults == nil {
		return nil
	}
	return errors.New(strings.Join(faults, "; "))
}

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
}

// Config is the parsed annotations of one Deployment, with surrounding white
// space removed. Pointers are nil where the annotation is missing or blank;
// the methods give the values that hold then. The fields are in the order of
// the JSON.
type Config struct {
	Enabled                      bool    `json:"enabled"`
	Namespace                    string  `json:"namespace"` // the Deployment's own
	AppRepository                string  `json:"app_repository"`
	ManifestRepository           string  `json:"manifest_repository"`
	ImageName                    string  `json:"image_name"`
	DeploymentPath               string  `json:"deployment_path"`
	ObserveBranch                string  `json:"observe_branch"` // of both repositories
	TagType                      string  `json:"tag_type"`       // TagLong, TagShort, or what Target.Invalid complains about
	SSHKeyName                   string  `json:"ssh_key_name"`
	SSHKeyNamespace              string  `json:"ssh_key_namespace"`
	NotificationsSecretName      *string `json:"notifications_secret_name"`
	NotificationsSecretNamespace *string `json:"notifications_secret_namespace"`
	RegistryURL                  *string `json:"registry_url"`
	RegistrySecretName           *string `json:"registry_secret_name"`
	RegistrySecretNamespace      *string `json:"registry_secret_namespace"`
	GitHubTokenSecretName        *string `json:"github_token_secret_name"`
	GitHubTokenSecretNamespace   *string `json:"github_token_secret_namespace"`
}

// SSHKey names the Secret with the key for both repositories.
func (c Config) SSHKey() SecretRef {
	return SecretRef{c.SSHKeyNamespace, c.SSHKeyName}
}

// RegistrySecret names the Secret with the registry's credentials. Nobody may
// have made it: then the registry is asked without credentials.
func (c Config) RegistrySecret() SecretRef {
	return SecretRef{
		or(c.RegistrySecretNamespace, defaultSecretNamespace),
		or(c.RegistrySecretName, defaultRegistrySecret),
	}
}

// RegistryServer returns registry_secret_url, or Docker Hub's address.
func (c Config) RegistryServer() string { return or(c.RegistryURL, defaultRegistryURL) }

// NotificationsSecret names the Secret with the webhook; false if none is
// wanted.
func (c Config) NotificationsSecret() (SecretRef, bool) {
	return optionalSecret(c.NotificationsSecretNamespace, c.NotificationsSecretName)
}

// GitHubTokenSecret names the Secret with the token for the Actions API; false
// if none is wanted.
func (c Config) GitHubTokenSecret() (SecretRef, bool) {
	return optionalSecret(c.GitHubTokenSecretNamespace, c.GitHubTokenSecretName)
}

func optionalSecret(namespace, name *string) (SecretRef, bool) {
	if name == nil {
		return SecretRef{}, false
	}
	return SecretRef{or(namespace, defaultSecretNamespace), *name}, true
}

func or(v *string, byDefault string) string {
	if v == nil {
		return byDefault
	}
	return *v
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
	config := parseConfig(namespace, d.Annotations)
	container, version := running(d.Spec.Template.Spec, config.ImageName)
	return &Target{
		Namespace:   namespace,
		Name:        d.Name,
		UID:         d.UID,
		Annotations: d.Annotations,
		Container:   container,
		Version:     version,
		Config:      &config,
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

// dnsName says whether Kubernetes would take s for a name: labels of at most 63
// lower-case letters, digits and inner hyphens, with dots between them where
// they are allowed. It is asked for each Deployment of each listing, which is
// why it is not one of apimachinery's regular expressions.
func dnsName(s string, most int, dots bool) bool {
	label := 0 // bytes of it so far
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			label++
		case c == '-' && label > 0 && i+1 < len(s) && s[i+1] != '.':
			label++
		case c == '.' && dots && label > 0:
			label = 0
		default:
			return false
		}
	}
	return label > 0 && len(s) <= most
}

func parseConfig(namespace string, annotations map[string]string) Config {
	optional := func(name string) *string {
		if v := value(annotations, name); v != "" {
			return &v
		}
		return nil
	}
	return Config{
		Enabled:                      value(annotations, "enabled") == "true",
		Namespace:                    namespace,
		AppRepository:                value(annotations, "app_repository"),
		ManifestRepository:           value(annotations, "manifest_repository"),
		ImageName:                    value(annotations, "image_name"),
		DeploymentPath:               value(annotations, "deployment_path"),
		ObserveBranch:                or(optional("observe_branch"), defaultBranch),
		TagType:                      or(optional("tag_type"), TagLong),
		SSHKeyName:                   value(annotations, "ssh_key_name"),
		SSHKeyNamespace:              value(annotations, "ssh_key_namespace"),
		NotificationsSecretName:      optional("notifications_secret_name"),
		NotificationsSecretNamespace: optional("notifications_secret_namespace"),
		RegistryURL:                  optional("registry_secret_url"),
		RegistrySecretName:           optional("registry_secret_name"),
		RegistrySecretNamespace:      optional("registry_secret_namespace"),
		GitHubTokenSecretName:        optional("github_token_secret_name"),
		GitHubTokenSecretNamespace:   optional("github_token_secret_namespace"),
	}
}

// value returns "" for a missing and for a blank annotation alike.
func value(annotations map[string]string, name string) string {
	return strings.TrimSpace(annotations[Prefix+name])
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
		if value(annotations, name) == "" {
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
