package k8s

import "strings"

// Config is the annotations of one Deployment as they are written, with
// surrounding white space removed. Pointers are nil where the annotation is
// missing or blank; the methods give the values that hold then. The fields are
// in the order of the JSON.
type Config struct {
	Enabled            bool   `json:"enabled"`
	Namespace          string `json:"namespace"` // the Deployment's own
	AppRepository      string `json:"app_repository"`
	ManifestRepository string `json:"manifest_repository"`
	ImageName          string `json:"image_name"`      // one or more, see parseImages
	DeploymentPath     string `json:"deployment_path"` // likewise
	ObserveBranch      string `json:"observe_branch"`  // of both repositories, where nothing else is said
	TagType            string `json:"tag_type"`        // TagLong, TagShort, or what Target.Invalid complains about
	// SSHKeyName and SSHKeyNamespace are git_secret_name and …_namespace where
	// those are written instead: they mean the same.
	SSHKeyName                   string  `json:"ssh_key_name"`
	SSHKeyNamespace              string  `json:"ssh_key_namespace"`
	NotificationsSecretName      *string `json:"notifications_secret_name"`
	NotificationsSecretNamespace *string `json:"notifications_secret_namespace"`
	RegistryURL                  *string `json:"registry_url"`
	RegistrySecretName           *string `json:"registry_secret_name"`
	RegistrySecretNamespace      *string `json:"registry_secret_namespace"`
	GitHubTokenSecretName        *string `json:"github_token_secret_name"`
	GitHubTokenSecretNamespace   *string `json:"github_token_secret_namespace"`
	AppGitSecretName             *string `json:"app_git_secret_name,omitempty"`
	AppGitSecretNamespace        *string `json:"app_git_secret_namespace,omitempty"`
	TagConfig
	TagPath            string `json:"tag_path,omitempty"` // one path expression a line
	PinDigest          bool   `json:"pin_digest,omitempty"`
	AppBranchName      string `json:"app_branch,omitempty"`      // instead of ObserveBranch
	ManifestBranchName string `json:"manifest_branch,omitempty"` // instead of ObserveBranch
}

// SSHKey names the Secret with the key for both repositories.
func (c Config) SSHKey() SecretRef {
	return SecretRef{c.SSHKeyNamespace, c.SSHKeyName}
}

// AppSecret names the Secret with which the application's repository is read:
// the one for both repositories, unless app_git_secret_name names another, which
// is in the same namespace unless app_git_secret_namespace says otherwise.
func (c Config) AppSecret() SecretRef {
	if c.AppGitSecretName == nil {
		return c.SSHKey()
	}
	return SecretRef{or(c.AppGitSecretNamespace, c.SSHKeyNamespace), *c.AppGitSecretName}
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
		SSHKeyName:                   gitSecret(annotations, "name"),
		SSHKeyNamespace:              gitSecret(annotations, "namespace"),
		NotificationsSecretName:      optional("notifications_secret_name"),
		NotificationsSecretNamespace: optional("notifications_secret_namespace"),
		RegistryURL:                  optional("registry_secret_url"),
		RegistrySecretName:           optional("registry_secret_name"),
		RegistrySecretNamespace:      optional("registry_secret_namespace"),
		GitHubTokenSecretName:        optional("github_token_secret_name"),
		GitHubTokenSecretNamespace:   optional("github_token_secret_namespace"),
		AppGitSecretName:             optional("app_git_secret_name"),
		AppGitSecretNamespace:        optional("app_git_secret_namespace"),
		TagConfig:                    parseTagConfig(annotations),
		TagPath:                      value(annotations, "tag_path"),
		PinDigest:                    value(annotations, "pin_digest") == "true",
		AppBranchName:                value(annotations, "app_branch"),
		ManifestBranchName:           value(annotations, "manifest_branch"),
	}
}

// gitSecret returns the name or the namespace of the Secret for git, "" if there
// is none.
func gitSecret(annotations map[string]string, of string) string {
	if v := value(annotations, "ssh_key_"+of); v != "" {
		return v
	}
	return value(annotations, "git_secret_"+of)
}

// value returns "" for a missing and for a blank annotation alike.
func value(annotations map[string]string, name string) string {
	return strings.TrimSpace(annotations[Prefix+name])
}
