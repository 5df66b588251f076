package reconcile

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

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
