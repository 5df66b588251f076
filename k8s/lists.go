package k8s

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kainlite/gitops-operator/internal/repository"
	"github.com/kainlite/gitops-operator/patcher"
)

// maxValues is how many values one annotation may have: what a pass does for one
// Deployment is to be bounded.
const maxValues = 100

// values splits an annotation that takes several values, separated by commas or
// new lines. There is at least one, which may be empty.
func values(list string) []string {
	split := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' })
	all := split[:0]
	for _, v := range split {
		if v = strings.TrimSpace(v); v != "" {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return []string{""}
	}
	return all
}

func tooMany(n int) error {
	if n <= maxValues {
		return nil
	}
	return fmt.Errorf("it has %d values, more than %d: divide them among several Deployments", n, maxValues)
}

// parseFiles reads deployment_path. A file that is named twice is one file.
func parseFiles(list string) ([]string, error) {
	given := values(list)
	if err := tooMany(len(given)); err != nil {
		return nil, err
	}
	var files []string
	for _, v := range given {
		file, err := repository.CheckPath(v)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	return files, nil
}

// parseImages reads image_name. host, if any, is a registry in which the names
// that name none match too.
func parseImages(list string, anyRegistry bool, host string) ([]patcher.Name, error) {
	given := values(list)
	if err := tooMany(len(given)); err != nil {
		return nil, err
	}
	var images []patcher.Name
	for _, v := range given {
		name, err := patcher.ParseName(v, anyRegistry)
		if err != nil {
			return nil, err
		}
		if host != "" {
			name = name.Or(host)
		}
		if !slices.Contains(images, name) {
			images = append(images, name)
		}
	}
	return images, nil
}

// parsePaths reads tag_path.
func parsePaths(lines string) ([]patcher.Expression, error) {
	paths, err := patcher.ParsePaths(lines)
	if err != nil {
		return nil, err
	}
	return paths, tooMany(len(paths))
}

// Images returns the names of the images, for messages.
func (s *Spec) Images() string {
	names := make([]string, len(s.Request.Images))
	for i, n := range s.Request.Images {
		names[i] = n.String()
	}
	return strings.Join(names, ", ")
}

// References returns the images as registries know them: registry_secret_url names
// the registry of those that name none. There is at least one, which may be empty.
func (s *Spec) References() []string {
	host := ""
	if s.RegistryURL != nil {
		host, _ = registryHost(*s.RegistryURL)
	}
	all := values(s.ImageName)
	for i, name := range all {
		first, _, more := strings.Cut(name, "/")
		if host != "" && !(more && (strings.ContainsAny(first, ".:") || first == "localhost")) {
			all[i] = host + "/" + name
		}
	}
	return all
}

// Branches returns the application's branch, and that of the manifests where it
// is another, for people.
func (s *Spec) Branches() string {
	if s.AppBranch == s.ManifestBranch || s.AppBranch == "" || s.ManifestBranch == "" {
		if s.AppBranch != "" {
			return s.AppBranch
		}
		return s.ObserveBranch
	}
	return s.AppBranch + " -> " + s.ManifestBranch
}
