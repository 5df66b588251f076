package k8s

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/kainlite/gitops-operator/internal/repository"
	"github.com/kainlite/gitops-operator/mask"
	"github.com/kainlite/gitops-operator/patcher"
	"github.com/kainlite/gitops-operator/policy"
)

// Spec is what the annotations of one Deployment ask for, parsed and validated
// completely. What its Invalid method complains about is zero.
type Spec struct {
	Config

	App, Manifests            repository.URL
	AppBranch, ManifestBranch string
	Files                     []string        // in the manifests repository, canonical, each once
	Image                     patcher.Name    // the first of image_name
	Request                   patcher.Request // what is looked for in each of the files
	RequestKey                string          // the Request's
	Tag                       *policy.Policy

	invalid error
}

// Group names what workloads have in common that are worked on together: the
// manifests repository, however its URL is written, its branch, and the Secret
// that is used for them. The text means nothing else.
func (s *Spec) Group() string {
	repo := string(s.Manifests.Key())
	if repo == "" {
		repo = "invalid: " + s.ManifestRepository
	}
	return strings.Join([]string{repo, s.ManifestBranch, s.SSHKey().String()}, "\x00")
}

// Invalid says in plain words what is wrong with the annotations, nil if nothing
// is.
func (s *Spec) Invalid() error { return s.invalid }

// Holds says that the tag of the image is to stay as it is: the Deployment is
// disabled, or its enabled is neither "true" nor "false", and what was meant is
// not known.
func (s *Spec) Holds() bool { return !s.Enabled }

// Same says whether two Specs ask for the same.
func (s *Spec) Same(other *Spec) bool {
	return s == other || reflect.DeepEqual(s.Config, other.Config) && fmt.Sprint(s.invalid) == fmt.Sprint(other.invalid)
}

// ParseSpec reads the annotations of a Deployment. All faults are found at once.
func ParseSpec(of Ref, annotations map[string]string) *Spec {
	s := &Spec{Config: parseConfig(of.Namespace, annotations)}
	faults := append(s.checkWords(annotations), s.parse()...)
	faults = append(faults, s.parseTag(of)...)
	if faults != nil {
		s.invalid = errors.New(strings.Join(faults, "; "))
	}
	return s
}

// checkWords finds what is wrong with values that are of a few words, or names.
func (s *Spec) checkWords(annotations map[string]string) (faults []string) {
	if v := value(annotations, "enabled"); v != "" && v != "true" && v != "false" {
		faults = append(faults, fmt.Sprintf(`%senabled is %.100q: set it to "true" or "false"`, Prefix, mask.Value(v)))
	}
	if v := value(annotations, "tag_type"); v != "" && v != TagLong && v != TagShort {
		faults = append(faults, fmt.Sprintf("%stag_type is %.100q: set it to %q or %q", Prefix, mask.Value(v), TagLong, TagShort))
	}
	if v := value(annotations, "pin_digest"); v != "" && v != "true" && v != "false" {
		faults = append(faults, fmt.Sprintf(`%spin_digest is %.100q: set it to "true" or "false"`, Prefix, mask.Value(v)))
	}
	for _, secret := range secrets {
		if v := value(annotations, secret+"_name"); v != "" && !dnsName(v, 253, true) {
			faults = append(faults, fmt.Sprintf("%s%s_name is %+.100q, and no Secret can have that name: use lower-case letters, digits, '-' and '.'", Prefix, secret, mask.Value(v)))
		}
		if v := value(annotations, secret+"_namespace"); v != "" && !dnsName(v, 63, false) {
			faults = append(faults, fmt.Sprintf("%s%s_namespace is %+.100q, and no namespace can have that name: use lower-case letters, digits and '-'", Prefix, secret, mask.Value(v)))
		}
	}
	for _, of := range []string{"name", "namespace"} {
		one, other := value(annotations, "ssh_key_"+of), value(annotations, "git_secret_"+of)
		if one != "" && other != "" && one != other {
			faults = append(faults, fmt.Sprintf("%sssh_key_%s is %+.100q and %sgit_secret_%s is %+.100q, but they mean the same: keep one of them", Prefix, of, mask.Value(one), Prefix, of, mask.Value(other)))
		}
	}
	if s.AppGitSecretName != nil && *s.AppGitSecretName == "none" {
		faults = append(faults, Prefix+"app_git_secret_name is none, and a repository that is reached over SSH needs a key: name a Secret with one")
	}
	return faults
}

// parse reads what is more than a word. The faults are in the order of the
// annotations' importance, always the same.
func (s *Spec) parse() (faults []string) {
	var err error
	fault := func(name string, err error) {
		if err != nil {
			faults = append(faults, Prefix+name+": "+err.Error())
		}
	}
	// What looks like a secret is in no message, and so not looked at further.
	plain := func(name, value string) bool {
		if mask.Value(value) == value {
			return true
		}
		faults = append(faults, Prefix+name+" looks as if it held a password or a token: remove it")
		return false
	}
	s.Manifests, err = repository.Parse(s.ManifestRepository)
	fault("manifest_repository", err)
	if s.AppRepository != "" { // else it is not needed, or missing
		s.App, err = repository.Parse(s.AppRepository)
		fault("app_repository", err)
	}
	for _, b := range []struct {
		name, value string
		all         []*string
	}{
		{"observe_branch", s.ObserveBranch, []*string{&s.AppBranch, &s.ManifestBranch}},
		{"app_branch", s.AppBranchName, []*string{&s.AppBranch}},
		{"manifest_branch", s.ManifestBranchName, []*string{&s.ManifestBranch}},
	} {
		if b.value == "" || !plain(b.name, b.value) {
			continue
		}
		if err = repository.CheckBranch(b.value); err == nil {
			for _, branch := range b.all {
				*branch = b.value
			}
		}
		fault(b.name, err)
	}
	if s.App.Key() != "" && s.App.Same(s.Manifests) && s.AppBranch == s.ManifestBranch {
		faults = append(faults, fmt.Sprintf("%sapp_repository and manifest_repository are both %s: each update would be a new commit that calls for another", Prefix, s.App))
	}
	if plain("deployment_path", s.DeploymentPath) {
		s.Files, err = parseFiles(s.DeploymentPath)
		fault("deployment_path", err)
	}
	host, noHost := "", error(nil)
	if s.RegistryURL != nil {
		host, noHost = registryHost(*s.RegistryURL)
	}
	if plain("image_name", s.ImageName) {
		s.Request.Images, err = parseImages(s.ImageName, s.RegistryURL == nil, host)
		fault("image_name", err)
	}
	if s.TagPath != "" && plain("tag_path", s.TagPath) {
		s.Request.Paths, err = parsePaths(s.TagPath)
		fault("tag_path", err)
	}
	fault("registry_secret_url", noHost)
	if s.Request.Pin = s.PinDigest; len(s.Request.Images) > 0 {
		s.Image, s.RequestKey = s.Request.Images[0], s.Request.Key()
	}
	return faults
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

// registryURL is what docker config files call a registry: a host, with a port
// perhaps, or a URL of it.
var registryURL = regexp.MustCompile(`^(?:https?://)?([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(?:/[A-Za-z0-9._/-]*)?$`)

// registryHost returns the host of a registry_secret_url, with its port. The
// error does not repeat it: it may hold a password.
func registryHost(url string) (string, error) {
	m := registryURL.FindStringSubmatch(url)
	if m == nil || len(url) > 1024 {
		return "", errors.New("it is no address of a registry: use https://HOST/ or HOST:PORT, without user or password")
	}
	if port, _ := strconv.Atoi(strings.TrimPrefix(m[2], ":")); m[2] != "" && (port < 1 || port > 65535) {
		return "", errors.New("it has an invalid port: use https://HOST/ or HOST:PORT")
	}
	return m[1] + m[2], nil
}
