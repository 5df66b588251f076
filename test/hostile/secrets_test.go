package hostile

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/kainlite/gitops-operator/test/world"
)

// secretCases are Secrets, registries and webhooks that mean harm.
func secretCases() []hostile {
	var list []hostile
	key := func(name, want string, change func(s *stage, data map[string][]byte)) {
		list = append(list, hostile{name: name, want: want, with: func(s *stage, id string) map[string]string {
			data := map[string][]byte{"ssh-privatekey": s.Private, "known_hosts": s.Server.KnownHosts()}
			change(s, data)
			s.secret("key-"+id, data)
			return map[string]string{"ssh_key_name": "key-" + id}
		}})
	}
	private := func(name, want, text string) {
		key(name, want, func(_ *stage, data map[string][]byte) { data["ssh-privatekey"] = []byte(text) })
	}
	private("a key that is options", "gitops-operator/key-", "-oProxyCommand=touch /tmp/x\nProxyCommand touch /tmp/x\n")
	private("a key of 10 MiB", "gitops-operator/key-", strings.Repeat("-----BEGIN OPENSSH PRIVATE KEY-----\n", 10<<20/36))
	private("a key of escapes", "gitops-operator/key-", "-----BEGIN "+escapes+"PRIVATE KEY-----\nAAAA\n-----END "+escapes+"PRIVATE KEY-----\n")
	private("a key of NULs", "gitops-operator/key-", strings.Repeat("\x00", 1<<18))
	private("an empty key", "gitops-operator/key-", "")
	private("a certificate in place of a key", "gitops-operator/key-", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	private("a path in place of a key", "gitops-operator/key-", "/etc/passwd")
	key("a key with configuration around it", "authentication refused", func(_ *stage, data map[string][]byte) {
		data["ssh-privatekey"] = append(append([]byte("ProxyCommand touch /tmp/x\n"), data["ssh-privatekey"]...), "Host *\n  ProxyCommand touch /tmp/x\n"...)
	})
	hosts := func(name, want, text string) {
		key(name, want, func(_ *stage, data map[string][]byte) { data["known_hosts"] = []byte(text) })
	}
	line := func(s *stage) []string { return strings.Fields(string(s.Server.KnownHosts())) }
	hosts("known hosts that know nobody", "host key not trusted", "")
	hosts("known hosts of garbage", "host key not trusted", strings.Repeat("\x00\xff"+escapes, 10_000))
	hosts("known hosts of 1 MiB in a line", "host key not trusted", strings.Repeat("x", 1<<20))
	hosts("known hosts that are options", "host key not trusted", "-oStrictHostKeyChecking=no\nStrictHostKeyChecking no\n* ssh-ed25519 AAAA\n")
	key("known hosts that revoke", "host key not trusted", func(s *stage, data map[string][]byte) {
		data["known_hosts"] = append(data["known_hosts"], fmt.Appendf(nil, "@revoked * %s %s\n", line(s)[1], line(s)[2])...)
	})
	key("known hosts with another key", "host key", func(s *stage, data map[string][]byte) {
		other := newEvil(s.t, &evil{answer: func(string, ssh.Channel) uint32 { return 1 }})
		data["known_hosts"] = fmt.Appendf(nil, "%s %s", line(s)[0], ssh.MarshalAuthorizedKey(other.signer.PublicKey()))
	})
	key("known hosts with an authority for all", "", func(_ *stage, data map[string][]byte) {
		data["known_hosts"] = append(data["known_hosts"], "@cert-authority * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGj1r8Vd0WnEKPDsBQoX0Yq4WkSpPqHlmRVvV0mGJYDs\n"...)
	})

	// Webhooks: a hostile one fails nothing.
	for _, url := range []string{"file:///etc/passwd", "gopher://127.0.0.1/x", "http://user:password@127.0.0.1:1/x", "http://[::1", escapes, "http://127.0.0.1:99999/", strings.Repeat("http://x/", 10_000), "-x"} {
		list = append(list, hostile{name: "a webhook at " + fmt.Sprintf("%.30q", url), with: func(s *stage, id string) map[string]string {
			s.secret("hook-"+id, map[string][]byte{"webhook-url": []byte(url)})
			return map[string]string{"notifications_secret_name": "hook-" + id}
		}})
	}
	list = append(list, hostile{name: "a webhook that redirects and answers with escapes", with: func(s *stage, id string) map[string]string {
		server := s.http(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", s.slack.URL()+"/services/stolen?"+r.URL.RawQuery)
			w.WriteHeader(http.StatusTemporaryRedirect)
			io.WriteString(w, strings.Repeat(escapes, 10_000))
		})
		s.secret("hook-"+id, map[string][]byte{"webhook-url": []byte(server.URL + "/x")})
		return map[string]string{"notifications_secret_name": "hook-" + id}
	}})

	// Registries: the manifest names a hostile one.
	config := func(name, want, text string) {
		list = append(list, hostile{name: name, want: want, with: func(s *stage, id string) map[string]string {
			s.secret("reg-"+id, map[string][]byte{".dockerconfigjson": []byte(text)})
			return map[string]string{"registry_secret_name": "reg-" + id}
		}})
	}
	const secret = "secret gitops-operator/reg-"
	config("a docker config of garbage", secret, escapes)
	config("a docker config 100,000 levels deep", secret, strings.Repeat(`{"auths":`, 100_000))
	config("a docker config with helpers", secret, `{"credsStore":"touch","credHelpers":{"docker.io":"/bin/sh"}}`)
	config("a docker config that is a list", secret, `[{"auths":{}}]`)
	config("a docker config with an auth that is none", secret, `{"auths":{"docker.io":{"auth":"`+strings.Repeat("A", 1<<18)+`!"}}}`)
	config("a docker config of 1 MiB", secret, `{"auths":{`+strings.TrimSuffix(strings.Repeat(`"x":{},`, 1<<20/7), ",")+`}}`)
	registry := func(name, want string, answer http.HandlerFunc) {
		list = append(list, hostile{name: name, want: want, with: func(s *stage, id string) map[string]string {
			server := s.http(answer)
			host := strings.TrimPrefix(server.URL, "http://")
			s.secret("reg-"+id, map[string][]byte{".dockerconfigjson": fmt.Appendf(nil, `{"auths":{"%s":{"username":"u","password":"p4ssw0rd"},"*":{"username":"u","password":"p4ssw0rd"},"[":{"username":"u","password":"p"},"%s":{"username":"u","password":"p"}}}`, host, strings.Repeat("*a", 500))})
			s.at[id] = host + "/" + image
			return map[string]string{"registry_secret_name": "reg-" + id, "image_name": host + "/" + image}
		}})
	}
	const check = "check image 127.0.0.1:"
	registry("a registry that answers gigabytes", check, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		for block := bytes.Repeat([]byte("x"), 1<<20); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	registry("a registry that redirects to itself", check, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path+"x", http.StatusTemporaryRedirect)
	})
	registry("a registry with escapes", check, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, `{"errors":[{"code":"X","message":%q}]}`, ascii(escapes)+"\u202e")
	})
	registry("a registry that sends its clients to another token server", check, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Www-Authenticate", `Bearer realm="http://evil.example/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	registry("a registry that redirects to plain http elsewhere", check, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		http.Redirect(w, r, "http://evil.example/", http.StatusTemporaryRedirect)
	})
	registry("a registry with headers without end", check, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 2000 {
			w.Header().Add("X", fmt.Sprintf("%d%s", i, strings.Repeat("y", 1000)))
		}
	})
	registry("a registry that says yes", "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("a", 64))
		w.Header().Set("Content-Length", "2")
		io.WriteString(w, "{}")
	})
	return list
}

// http starts a server on the loopback address, to which plain http is allowed.
func (s *stage) http(answer http.HandlerFunc) *httptest.Server {
	server := httptest.NewServer(answer)
	s.t.Cleanup(server.Close)
	return server
}

// withImage is a good manifest with another image.
func withImage(id, name string) string { return world.Manifest(id, name+":"+old) }
