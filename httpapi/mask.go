package httpapi

import (
	"maps"
	"regexp"
	"strings"

	"github.com/kainlite/gitops-operator/k8s"
)

// What may be a secret in a URL, wherever it stands in a text: a password, or a
// token in a user's place. SSH's user names are none.
var (
	userinfo    = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^\s"'<>]*)@`)
	scpPassword = regexp.MustCompile(`^([^\s:/@]+):[^@]*@`)
)

// mask takes the secrets of URLs out of a text.
func mask(s string) string {
	masked := userinfo.ReplaceAllStringFunc(s, func(url string) string {
		m := userinfo.FindStringSubmatch(url)
		user, _, password := strings.Cut(m[2], ":")
		switch {
		case !strings.EqualFold(m[1], "ssh://"):
			return m[1] + "***@"
		case password:
			return m[1] + user + ":***@"
		}
		return url
	})
	if strings.Contains(s, "://") {
		return masked
	}
	return scpPassword.ReplaceAllString(s, "$1:***@")
}

// maskAnnotations masks all: kubectl keeps a copy of them in one of its own.
func maskAnnotations(annotations map[string]string) map[string]string {
	masked := maps.Clone(annotations)
	for name, value := range masked {
		masked[name] = mask(value)
	}
	return masked
}

func maskConfig(c k8s.Config) k8s.Config {
	c.AppRepository, c.ManifestRepository = mask(c.AppRepository), mask(c.ManifestRepository)
	if c.RegistryURL != nil {
		url := mask(*c.RegistryURL)
		c.RegistryURL = &url
	}
	return c
}
