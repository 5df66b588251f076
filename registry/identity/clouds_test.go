package identity

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serve starts a token server over plain HTTP and returns its URL.
func serve(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return s.URL
}

// pod is the environment of one, without what the machine itself has.
func pod(t *testing.T, env map[string]string) {
	t.Helper()
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		for _, prefix := range []string{"AWS_", "AZURE_", "GOOGLE_", "GCE_", "IDENTITY_", "MSI_"} {
			if strings.HasPrefix(name, prefix) {
				t.Setenv(name, value) // so that it comes back
				os.Unsetenv(name)
			}
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ask makes an Identity for one cloud and says what it shows, or why not.
func ask(t *testing.T, c cloud, host string) (shown string, ends time.Duration) {
	t.Helper()
	i := &Identity{clouds: []cloud{c}, now: time.Now, scopes: map[string]*scope{}}
	cred, ok, err := i.Credentials(t.Context(), host)
	if ok != (err == nil) {
		t.Errorf("%t, %v", ok, err)
	}
	if err != nil {
		return err.Error(), 0
	}
	return strings.Trim(cred.Username+":"+cred.Password+":"+cred.IdentityToken, ":"), time.Until(i.scope(c.scope(host)).token.ends)
}

const ecrExample = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

func TestAWS(t *testing.T) {
	var status int
	answer := fmt.Sprintf(`{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d}]}`,
		base64.StdEncoding.EncodeToString([]byte("AWS:ecr-password")), time.Now().Add(12*time.Hour).Unix())
	var log []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch strings.TrimSuffix(r.URL.Path, "/") {
		case "/sts":
			r.ParseForm()
			log = append(log, r.Form.Get("Action")+" "+r.Form.Get("RoleArn")+" "+r.Form.Get("WebIdentityToken"))
			fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ROLE</AccessKeyId>`+
				`<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials>`+
				`</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		case "/pod":
			log = append(log, "pod identity "+r.Header.Get("Authorization"))
			fmt.Fprintf(w, `{"AccessKeyId":"POD","SecretAccessKey":"s","Token":"t","Expiration":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		case "/ecr":
			_, who, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
			key, scope, _ := strings.Cut(who, "/")
			_, scope, _ = strings.Cut(scope, "/")
			scope, _, _ = strings.Cut(scope, ",")
			log = append(log, r.Header.Get("X-Amz-Target")+" "+key+" "+scope)
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(status)
			io.WriteString(w, answer)
		}
	})
	webIdentity := map[string]string{
		"AWS_ROLE_ARN": "arn:aws:iam::1:role/reader", "AWS_WEB_IDENTITY_TOKEN_FILE": file(t, "jwt-of-the-pod"),
		"AWS_ENDPOINT_URL_STS": url + "/sts", "AWS_ENDPOINT_URL_ECR": url + "/ecr", "AWS_EC2_METADATA_DISABLED": "true",
	}
	podIdentity := map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": url + "/pod", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file(t, "token-of-the-pod"),
		"AWS_ENDPOINT_URL_ECR": url + "/ecr", "AWS_EC2_METADATA_DISABLED": "true",
	}
	const asked = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken "
	for _, test := range []struct {
		name   string
		env    map[string]string
		status int
		want   string
		log    string
	}{
		{"IRSA", webIdentity, 200, "AWS:ecr-password", "AssumeRoleWithWebIdentity arn:aws:iam::1:role/reader jwt-of-the-pod; " + asked + "ROLE eu-west-1/ecr/aws4_request"},
		{"EKS Pod Identity", podIdentity, 200, "AWS:ecr-password", "pod identity token-of-the-pod; " + asked + "POD eu-west-1/ecr/aws4_request"},
		{"refused", podIdentity, 400, "get token for ECR in eu-west-1: AccessDeniedException: not allowed", ""},
		{"no identity", map[string]string{"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL_ECR": url + "/ecr"}, 200,
			"get token for ECR in eu-west-1: access disabled to EC2 IMDS via client option, or \"AWS_EC2_METADATA_DISABLED\" environment variable", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod(t, test.env)
			if status, log = test.status, nil; status != 200 {
				old := answer
				answer = `{"__type":"AccessDeniedException","message":"not allowed"}`
				defer func() { answer = old }()
			}
			got, ends := ask(t, aws{}, ecrExample)
			equal(t, "shown", got, test.want)
			if test.log != "" {
				equal(t, "requests", strings.Join(log, "; "), test.log)
				if ends < 11*time.Hour || ends > 12*time.Hour {
					t.Errorf("it ends in %v", ends)
				}
			}
		})
	}
}

// reroute sends what would go to Azure to a fake, which learns the host.
type reroute string

func (to reroute) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Host", r.URL.Host)
	r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(string(to), "http://")
	return http.DefaultTransport.RoundTrip(r)
}

func TestAzure(t *testing.T) {
	refresh := "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(3*time.Hour).Unix())) + ".x"
	loginStatus, exchangeStatus := 200, 200
	var log []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		host := r.Header.Get("X-Host")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
			base := "https://login.example.com/tenant"
			json.NewEncoder(w).Encode(map[string]string{"issuer": base + "/v2.0", "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/oauth2/v2.0/token"})
		case r.URL.Path == "/tenant/oauth2/v2.0/token":
			log = append(log, host+" "+r.Form.Get("client_id")+" "+r.Form.Get("client_assertion")+" "+r.Form.Get("scope"))
			w.WriteHeader(loginStatus)
			if loginStatus != 200 {
				io.WriteString(w, `{"error":"invalid_client","error_description":"AADSTS700213: No matching federated identity record found. Trace ID: 11-22 Correlation ID: 33 Timestamp: 2026-08-01 10:00:00Z\nmore"}`)
				return
			}
			io.WriteString(w, `{"token_type":"Bearer","expires_in":3600,"access_token":"entra-token"}`)
		case r.URL.Path == "/metadata/identity/oauth2/token":
			log = append(log, host+" managed "+r.Form.Get("client_id")+" "+r.Form.Get("resource"))
			fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":"3600","expires_on":"%d","access_token":"entra-token","resource":"x"}`, time.Now().Add(time.Hour).Unix())
		case r.URL.Path == "/oauth2/exchange":
			log = append(log, host+" "+r.Form.Get("grant_type")+" "+r.Form.Get("service")+" "+r.Form.Get("access_token"))
			w.WriteHeader(exchangeStatus)
			if exchangeStatus != 200 {
				io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}`)
				return
			}
			fmt.Fprintf(w, `{"refresh_token":%q}`, refresh)
		default:
			w.WriteHeader(404)
		}
	})
	workload := map[string]string{
		"AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant", "AZURE_FEDERATED_TOKEN_FILE": file(t, "jwt-of-the-pod"),
		"AZURE_AUTHORITY_HOST": "https://login.example.com/",
	}
	const scope = "https://containerregistry.azure.net/.default"
	const exchange = "myregistry.azurecr.io access_token myregistry.azurecr.io entra-token"
	for _, test := range []struct {
		name            string
		env             map[string]string
		login, exchange int
		want, log       string
	}{
		{"workload identity", workload, 200, 200, refresh, "login.example.com client jwt-of-the-pod " + scope + " openid offline_access profile; " + exchange},
		{"managed identity", map[string]string{"AZURE_CLIENT_ID": "client"}, 200, 200, refresh, "169.254.169.254 managed client https://containerregistry.azure.net; " + exchange},
		{"refused by the login", workload, 401, 200, "get token for myregistry.azurecr.io: invalid_client: AADSTS700213: No matching federated identity record found.", ""},
		{"refused by the registry", workload, 200, 401, "get token for myregistry.azurecr.io: 401", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod(t, test.env)
			loginStatus, exchangeStatus, log = test.login, test.exchange, nil
			got, ends := ask(t, azure{reroute(url)}, "myregistry.azurecr.io")
			equal(t, "shown", got, test.want)
			if test.log != "" {
				equal(t, "requests", strings.Join(log, "; "), test.log)
				if ends < 2*time.Hour || ends > 3*time.Hour {
					t.Errorf("it ends in %v", ends)
				}
			}
		})
	}
}

func TestGoogle(t *testing.T) {
	status := 200
	var log []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/computeMetadata/v1/instance/service-accounts/default/token":
			log = append(log, "metadata "+r.Header.Get("Metadata-Flavor"))
			w.WriteHeader(status)
			io.WriteString(w, `{"access_token":"google-token","expires_in":3599,"token_type":"Bearer"}`)
		case "/token":
			log = append(log, r.Form.Get("grant_type")+" "+r.Form.Get("subject_token"))
			w.WriteHeader(status)
			if status != 200 {
				io.WriteString(w, `{"error":"invalid_grant","error_description":"account deleted"}`)
				return
			}
			io.WriteString(w, `{"access_token":"google-token","expires_in":3599,"token_type":"Bearer","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`)
		}
	})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	credentials := func(fields map[string]any) map[string]string {
		content, _ := json.Marshal(fields)
		return map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": file(t, string(content))}
	}
	account := credentials(map[string]any{"type": "service_account", "client_email": "a@b", "private_key": private, "token_uri": url + "/token"})
	federation := credentials(map[string]any{"type": "external_account", "audience": "//iam.googleapis.com/x", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": url + "/token", "credential_source": map[string]any{"file": file(t, "jwt-of-the-pod")}})
	program := credentials(map[string]any{"type": "external_account", "audience": "x", "subject_token_type": "y",
		"token_url": url + "/token", "credential_source": map[string]any{"executable": map[string]any{"command": "/bin/true"}}})
	metadata := map[string]string{"GCE_METADATA_HOST": strings.TrimPrefix(url, "http://")}
	const by = "get token by the file of GOOGLE_APPLICATION_CREDENTIALS: "
	for _, test := range []struct {
		name      string
		env       map[string]string
		status    int
		want, log string
	}{
		{"metadata server", metadata, 200, "oauth2accesstoken:google-token", "metadata Google"},
		{"service account", account, 200, "oauth2accesstoken:google-token", "urn:ietf:params:oauth:grant-type:jwt-bearer "},
		{"federation", federation, 200, "oauth2accesstoken:google-token", "urn:ietf:params:oauth:grant-type:token-exchange jwt-of-the-pod"},
		{"no service account", metadata, 404, "get token from Google's metadata server: it has no service account for this pod", ""},
		{"refused by the metadata server", metadata, 403, "get token from Google's metadata server: 403 Forbidden", ""},
		{"refused", account, 400, by + "invalid_grant: account deleted", ""},
		{"a program", program, 200, by + "it names a program to run, which is not done: use a credential source of another kind", ""},
		{"something else", credentials(map[string]any{"type": "authorized_user"}), 200, by + "it is neither a service account's key nor the configuration of workload identity federation", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod(t, test.env)
			status, log = test.status, nil
			got, ends := ask(t, google{}, "europe-west1-docker.pkg.dev")
			equal(t, "shown", got, test.want)
			if test.log != "" {
				equal(t, "requests", strings.Join(log, "; "), test.log)
				if ends < 50*time.Minute || ends > time.Hour {
					t.Errorf("it ends in %v", ends)
				}
			}
		})
	}
}
