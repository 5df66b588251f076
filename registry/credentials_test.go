package registry

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// resolve says whom an image's registry is asked as: the user, or the token.
func resolve(t testing.TB, c *Credentials, image string) string {
	t.Helper()
	k, err := New(Options{}).newCheck("check image", image, c)
	if err != nil {
		t.Fatal(err)
	}
	auth, err := k.auth.Authorization()
	if err != nil {
		t.Fatal(err)
	}
	if k.auth == authn.Anonymous {
		return "anonymous"
	}
	return auth.Username + auth.IdentityToken + auth.RegistryToken
}

func TestFindsTheCredentialsForAnImage(t *testing.T) {
	for _, test := range []struct {
		image string
		keys  string // of the docker config; each entry's user is its key
		want  string
	}{
		{"ghcr.io/owner/app:1", "ghcr.io", "ghcr.io"},
		{"ghcr.io/owner/app:1", "GHCR.IO", "GHCR.IO"},
		{"ghcr.io/owner/app:1", "https://ghcr.io", "https://ghcr.io"},
		{"ghcr.io/owner/app:1", "https://ghcr.io/", "https://ghcr.io/"},
		{"ghcr.io/owner/app:1", "https://ghcr.io/v1/", "https://ghcr.io/v1/"},
		{"ghcr.io/owner/app:1", "https://ghcr.io/v2", "https://ghcr.io/v2"},
		{"ghcr.io/owner/app:1", "ghcr.io:443", "ghcr.io:443"},
		{"ghcr.io:443/owner/app:1", "ghcr.io", "ghcr.io"},
		{"ghcr.io/owner/app:1", "quay.io", "anonymous"},
		{"ghcr.io/owner/app:1", "notghcr.io", "anonymous"},
		{"ghcr.io/owner/app:1", "ghcr.io.evil.example", "anonymous"},

		{"owner/app:1", "https://index.docker.io/v1/", "https://index.docker.io/v1/"},
		{"owner/app:1", "https://index.docker.io/v1", "https://index.docker.io/v1"},
		{"owner/app:1", "index.docker.io", "index.docker.io"},
		{"owner/app:1", "docker.io", "docker.io"},
		{"owner/app:1", "https://registry-1.docker.io/v2/", "https://registry-1.docker.io/v2/"},
		{"owner/app:1", "registry.hub.docker.com", "registry.hub.docker.com"},
		{"docker.io/owner/app:1", "https://index.docker.io/v1/", "https://index.docker.io/v1/"},
		{"index.docker.io/owner/app:1", "docker.io", "docker.io"},
		{"registry-1.docker.io/owner/app:1", "docker.io", "docker.io"},
		{"nginx:1", "docker.io/library", "docker.io/library"},
		{"nginx:1", "docker.io/nginx", "anonymous"},
		{"owner/app:1", "ghcr.io", "anonymous"},

		{"localhost:5000/app:1", "localhost:5000", "localhost:5000"},
		{"localhost:5000/app:1", "http://localhost:5000", "http://localhost:5000"},
		{"localhost:5000/app:1", "localhost", "anonymous"},
		{"localhost:5000/app:1", "localhost:5001", "anonymous"},
		{"[::1]:5000/app:1", "[::1]:5000", "[::1]:5000"},

		{"eu.gcr.io/project/app:1", "*.gcr.io", "*.gcr.io"},
		{"gcr.io/project/app:1", "*.gcr.io", "anonymous"},
		{"a.b.gcr.io/project/app:1", "*.gcr.io", "anonymous"},
		{"eu.gcr.io/project/app:1", "*.*.io", "*.*.io"},
		{"123.dkr.ecr.eu-west-1.amazonaws.com/app:1", "123.dkr.ecr.*.amazonaws.com", "123.dkr.ecr.*.amazonaws.com"},
		{"eu1.gcr.io/project/app:1", "eu*.gcr.io", "eu*.gcr.io"},
		{"r.example.com:5000/app:1", "*.example.com", "anonymous"},
		{"r.example.com:5000/app:1", "*.example.com:5000", "*.example.com:5000"},
		{"localhost:5000/app:1", "*", "anonymous"},
		{"ghcr.io/owner/app:1", "[.io", "anonymous"},

		{"ghcr.io/owner/app:1", "ghcr.io/owner", "ghcr.io/owner"},
		{"ghcr.io/owner/app:1", "ghcr.io/owner/", "ghcr.io/owner/"},
		{"ghcr.io/owner/app:1", "ghcr.io/owner/app", "ghcr.io/owner/app"},
		{"ghcr.io/owner/app:1", "ghcr.io/own", "anonymous"},
		{"ghcr.io/owner/app:1", "ghcr.io/owner/app-api", "anonymous"},
		{"ghcr.io/v1/app:1", "ghcr.io/app", "anonymous"},

		{"ghcr.io/owner/app:1", "ghcr.io ghcr.io/owner ghcr.io/owner/app", "ghcr.io/owner/app"},
		{"ghcr.io/owner/api:1", "ghcr.io ghcr.io/owner ghcr.io/owner/app", "ghcr.io/owner"},
		{"ghcr.io/other/api:1", "ghcr.io ghcr.io/owner ghcr.io/owner/app", "ghcr.io"},
		{"eu.gcr.io/project/app:1", "*.gcr.io eu.gcr.io", "eu.gcr.io"},
		{"us.gcr.io/project/app:1", "*.gcr.io eu.gcr.io", "*.gcr.io"},
		{"owner/app:1", "https://index.docker.io/v1/ docker.io", "docker.io"}, // always the same one
	} {
		var entries []string
		for key := range strings.FieldsSeq(test.keys) {
			entries = append(entries, fmt.Sprintf(`%q:{"username":%q,"password":"secret"}`, key, key))
		}
		c := parse(t, `{"auths":{`+strings.Join(entries, ",")+`}}`)
		equal(t, test.image+" with "+test.keys, resolve(t, c, test.image), test.want)
	}
}

func TestReadsEveryFormOfCredentials(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, test := range []struct{ entry, user, password, identity, token string }{
		{`{"username":"me","password":"secret"}`, "me", "secret", "", ""},
		{`{"auth":"` + encode("me:secret") + `"}`, "me", "secret", "", ""},
		{`{"auth":"` + encode("me:se:cr:et") + `"}`, "me", "se:cr:et", "", ""},
		{`{"auth":"` + strings.TrimRight(encode("me:secret1"), "=") + `"}`, "me", "secret1", "", ""},
		{`{"auth":"` + encode("me:secret") + `\n"}`, "me", "secret", "", ""},
		{`{"auth":"` + encode("me:secret") + `","username":"you","password":"other","email":"me@example.com"}`, "me", "secret", "", ""},
		{`{"username":"_json_key","password":"{\n\"type\": \"service_account\"}"}`, "_json_key", "{\n\"type\": \"service_account\"}", "", ""},
		{`{"auth":"` + encode("00000000-0000-0000-0000-000000000000:") + `","identitytoken":"id"}`, "00000000-0000-0000-0000-000000000000", "", "id", ""},
		{`{"identitytoken":"id"}`, "", "", "id", ""},
		{`{"registrytoken":"bearer"}`, "", "", "", "bearer"},
	} {
		c := parse(t, `{"auths":{"ghcr.io":`+test.entry+`,"quay.io":{}},"credsStore":"desktop","HttpHeaders":{"User-Agent":"Docker-Client"}}`)
		target, err := name.NewRepository("ghcr.io/owner/app")
		if err != nil {
			t.Fatal(err)
		}
		auth, err := c.Resolve(target)
		if err != nil {
			t.Fatal(err)
		}
		got, err := auth.Authorization()
		if err != nil {
			t.Fatal(err)
		}
		got.Auth = ""
		equal(t, test.entry, *got, authn.AuthConfig{Username: test.user, Password: test.password, IdentityToken: test.identity, RegistryToken: test.token})
	}
}

func TestRefusesADockerConfigThatCannotBeUsed(t *testing.T) {
	const (
		object    = `parse docker config: it must be an object with "auths", an object of registries`
		malformed = `parse docker config: an entry of "auths" is malformed: "auth" must be the base64 form of USER:PASSWORD, and all values strings`
		empty     = `parse docker config: it holds no credentials: put them into "auths"`
		helper    = `parse docker config: it holds no credentials but leaves them to a credential helper: put them into "auths"`
	)
	for config, want := range map[string]string{
		``:                                `parse docker config: not JSON at byte 0 of 0`,
		`hunter2`:                         `parse docker config: not JSON at byte 1 of 7`,
		`{"auths":{"hunter2`:              `parse docker config: not JSON at byte 18 of 18`,
		`{"auths":{}} hunter2`:            `parse docker config: not JSON at byte 14 of 20`,
		`"hunter2"`:                       object,
		`[1]`:                             object,
		`{"auths":"hunter2"}`:             object,
		`{"auths":["hunter2"]}`:           object,
		`{"auths":{"ghcr.io":"hunter2"}}`: malformed,
		`{"auths":{"ghcr.io":{"auth":"hunter2!"}}}`:                malformed,
		`{"auths":{"ghcr.io":{"auth":"aHVudGVyMg=="}}}`:            malformed, // no colon
		`{"auths":{"ghcr.io":{"auth":1234567}}}`:                   malformed,
		`{"auths":{"ghcr.io":{"username":"me","password":12345}}}`: malformed,
		`null`:                       empty,
		`{}`:                         empty,
		`{"auths":{}}`:               empty,
		`{"auths":null}`:             empty,
		`{"auths":{"ghcr.io":{}}}`:   empty,
		`{"auths":{"ghcr.io":null}}`: empty,
		`{"ghcr.io":{"auth":"bWU6aHVudGVyMg=="}}`:             empty,
		`{"auths":{"ghcr.io":{}},"credsStore":"desktop"}`:     helper,
		`{"credHelpers":{"123.dkr.ecr.aws.com":"ecr-login"}}`: helper,
	} {
		c, err := ParseCredentials([]byte(config))
		if err == nil || c != nil {
			t.Errorf("%s was taken", config)
			continue
		}
		equal(t, config, err.Error(), want)
	}
}

func TestCredentialsDoNotPrintTheirContent(t *testing.T) {
	c := parse(t, `{"auths":{"ghcr.io":{"username":"me","password":"hunter2"}}}`)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		equal(t, verb, fmt.Sprintf(verb, c), "registry credentials")
	}
}

// Whatever is accepted gives credentials to some registry and none to one it
// does not name; whatever is not, is refused without repeating it.
func FuzzParseCredentials(f *testing.F) {
	for _, config := range []string{
		`{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6aHVudGVyMg=="}}}`,
		`{"auths":{"*.gcr.io":{"username":"me","password":"hunter2"},"[":{"identitytoken":"hunter2"}}}`,
		`{"auths":{"ghcr.io/owner":{"registrytoken":"hunter2"}},"credsStore":"desktop"}`,
		`{"auths":{"://":{"auth":"hunter2"}}}`,
		`{"AUTHS":{"":{"AUTH":"Og=="}}}`,
		`hunter2`,
	} {
		f.Add([]byte(config))
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		c, err := ParseCredentials(config)
		if err != nil {
			if text := err.Error(); c != nil || strings.Contains(text, "hunter2") || line(text) != text {
				t.Errorf("refused with %v, %q", c, text)
			}
			return
		}
		if len(c.entries) == 0 {
			t.Error("taken without credentials")
		}
		again, err := ParseCredentials(config)
		if err != nil {
			t.Fatal(err)
		}
		for _, image := range []string{"owner/app:1", "ghcr.io/owner/app:1", "localhost:5000/app:1", "eu.gcr.io/app:1"} {
			equal(t, "the same for "+image, resolve(t, again, image), resolve(t, c, image))
		}
		for _, e := range c.entries {
			if e.host != "not.named.example" && !strings.ContainsAny(e.host, `*?[\`) && matchHost(e.host, "not.named.example") {
				t.Errorf("%q matches another host", e.key)
			}
		}
	})
}
