package k8s

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
)

// blogYAML is one tracked Deployment.
func blogYAML(namespace, name, tag string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %s
  namespace: %s
  labels:
    app: %s
  annotations:
    gitops.operator.enabled: "true"
    gitops.operator.app_repository: git@github.com:kainlite/blog.git
    gitops.operator.manifest_repository: git@github.com:kainlite/manifests.git
    gitops.operator.deployment_path: apps/blog.yaml
    gitops.operator.image_name: kainlite/blog
    gitops.operator.ssh_key_name: ssh-key
    gitops.operator.ssh_key_namespace: gitops-operator
spec:
  replicas: 2
  selector:
    matchLabels:
      app: %[3]s
  template:
    metadata:
      labels:
        app: %[3]s
    spec:
      containers:
      - name: app
        image: kainlite/blog:%s
        ports:
        - containerPort: 8080
        resources:
          limits:
            cpu: 100m
            memory: 64Mi
        readinessProbe:
          httpGet:
            path: /health
            port: 8080
`, name, namespace, name, tag)
}

func all(*appsv1.Deployment) bool { return true }

// summary tells what was found, in a line.
func (m *manifests) summary() string {
	var words []string
	for _, t := range m.targets {
		words = append(words, t.Key()+"="+t.Container+":"+t.Version)
	}
	for _, u := range m.untracked {
		words = append(words, u.Key()+"!")
	}
	for _, s := range m.secrets {
		words = append(words, s.ref.String()+"*")
	}
	return strings.Join(words, " ")
}

func indent(text, first, rest string) string {
	return first + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+rest) + "\n"
}

func TestEveryFormOfManifestIsRead(t *testing.T) {
	const half = `apiVersion: apps/v1
kind: Deployment
metadata: {name: half, annotations: {gitops.operator.enabled: "true"}}
`
	const key = `apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {a: b}
`
	blog := blogYAML("web", "blog", "1")
	typeless := strings.TrimPrefix(blog, "apiVersion: apps/v1\nkind: Deployment\n")
	tests := []struct{ name, yaml, want string }{
		{"empty file", "", ""},
		{"only comments and separators", "# nothing\n---\n\n--- # here\n# or there\n---", ""},
		{"one document", blog, "web/blog=kainlite/blog:1"},
		{"no namespace", strings.Replace(blog, "  namespace: web\n", "", 1), "default/blog=kainlite/blog:1"},
		{"windows line ends", strings.ReplaceAll(blog+"---\n"+half, "\n", "\r\n"), "web/blog=kainlite/blog:1 default/half!"},
		{"byte order mark", "\ufeff" + blog, "web/blog=kainlite/blog:1"},
		{"several documents", "---\n" + blog + "---\n---\n# none\n--- # next\n" + half + "---\n" + key, "web/blog=kainlite/blog:1 default/half! default/key*"},
		{"a document beside its separator", `--- {apiVersion: v1, kind: Secret, metadata: {name: key}}`, "default/key*"},
		{"a directive and an end mark", "%YAML 1.1\n---\n" + key + "...\n---\n" + half, "default/half! default/key*"},
		{"dashes that separate nothing", "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData:\n  k: |\n    ---\n    -----BEGIN KEY-----\n", "default/key*"},
		{"kind in quotes, with a comment", strings.Replace(blog, "kind: Deployment", `kind: "Deployment" # ours`, 1), "web/blog=kainlite/blog:1"},
		{"kind with an anchor", strings.Replace(blog, "kind: Deployment", `kind: &k Deployment`, 1), "web/blog=kainlite/blog:1"},
		{"indented as a whole", indent(blog, "  ", "  "), "web/blog=kainlite/blog:1"},
		{"old API group", strings.Replace(blog, "apps/v1", "extensions/v1beta1", 1), "web/blog=kainlite/blog:1"},
		{"foreign API group", strings.Replace(blog, "apps/v1", "acme.example/v1", 1), ""},
		{"API group that only starts alike", strings.Replace(blog, "apps/v1", "apps.example/v1", 1), ""},
		{"foreign Secret", strings.Replace(key, "v1", "acme.example/v1", 1), ""},
		{"JSON", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"key"}}]}`, "default/key*"},
		{"List", "apiVersion: v1\nkind: List\nitems:\n" + indent(blog, "- ", "  ") + indent(key, "- ", "  ") + "- {apiVersion: v1, kind: Pod}\n-\n", "web/blog=kainlite/blog:1 default/key*"},
		{"List in a List", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n" + indent(key, "  - ", "    "), "default/key*"},
		{"List without types", "apiVersion: v1\nkind: List\nitems:\n" + indent(typeless, "- ", "  "), ""},
		{"DeploymentList without types", "apiVersion: apps/v1\nkind: DeploymentList\nitems:\n" + indent(typeless, "- ", "  "), "web/blog=kainlite/blog:1"},
		{"SecretList without types", "apiVersion: v1\nkind: SecretList\nitems:\n- metadata: {name: key}\n", "default/key*"},
		{"empty List", "apiVersion: v1\nkind: List\nitems:\n", ""},
		{"other kinds are not decoded", "kind: ConfigMap\nx: [\n---\nkind: Ingress\n{{ if }}\n---\n" + key, "default/key*"},
		{"no Kubernetes object", "kind:\n  enabled: true\nDeployment: Secret\n---\n- op: replace\n---\nkind: 7\n---\n~\n", ""},
		{"Deployment that is not ours", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {annotations: {a: b}}\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := parser{wanted: all}
			if err := p.parse([]byte(test.yaml)); err != nil {
				t.Fatal(err)
			}
			if got := p.found.summary(); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestSecretsAreDecoded(t *testing.T) {
	p := parser{wanted: all}
	err := p.parse([]byte(`apiVersion: v1
kind: Secret
metadata: {name: key, namespace: ops}
data:
  ssh-privatekey: b2xk
  wrapped: |
    aGVs
    bG8=
  empty: ""
  none:
stringData:
  ssh-privatekey: |
    -----BEGIN KEY-----
    new
  webhook-url: https://hooks.example.com/x
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.found.summary(); got != "ops/key*" {
		t.Fatalf("found %q", got)
	}
	want := map[string]string{
		"ssh-privatekey": "-----BEGIN KEY-----\nnew\n",
		"wrapped":        "hello",
		"empty":          "",
		"none":           "",
		"webhook-url":    "https://hooks.example.com/x",
	}
	got := p.found.secrets[0].data
	if len(got) != len(want) {
		t.Errorf("got %q", got)
	}
	for key, value := range want {
		if string(got[key]) != value {
			t.Errorf("%s is %q, want %q", key, got[key], value)
		}
	}
}

func TestFaultsNameTheirPlace(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\n"
	const ours = `annotations: {gitops.operator.enabled: "true"}`
	tests := []struct{ name, yaml, want string }{
		{"scalar", "\n# c\nnot a manifest\n", "document 1, line 3: neither a mapping nor a list"},
		{
			"syntax", "a: b\n---\n---\n# c\n" + deployment + "metadata:\n  name: @x\n",
			"document 2, line 8: not valid YAML: found character that cannot start any token",
		},
		{
			"syntax in the document's first line", "a: b\n---\n{a: b\n",
			"document 2, line 3: not valid YAML: did not find expected ',' or '}'",
		},
		{
			"template", deployment + "metadata:\n  name: {{ .Values.name }}\n",
			"document 1, line 1: not valid YAML (is it a template?)",
		},
		{
			"no name", "---\n" + deployment + "metadata: {" + ours + "}\n",
			"document 1, line 2: deployment without a name",
		},
		{
			"unquoted annotation", deployment + "metadata: {name: blog, annotations: {gitops.operator.enabled: true}}\n",
			"document 1, line 1: deployment default/blog: metadata.annotations: got bool, want string: put the value in quotes",
		},
		{
			"wrong types", deployment + "metadata: {name: blog, namespace: web}\nspec: {template: {spec: {containers: {image: x}}}}\n",
			"document 1, line 1: deployment web/blog: spec.template.spec.containers: got mapping, want list",
		},
		{
			"number out of range", deployment + "metadata: {name: blog}\nspec: {replicas: 99999999999}\n",
			"document 1, line 1: deployment default/blog: spec.replicas: got number, want int32",
		},
		{
			"quantity", deployment + "metadata: {name: blog}\nspec: {template: {spec: {containers: [{resources: {limits: {cpu: much}}}]}}}\n",
			"document 1, line 1: deployment default/blog: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
		},
		{
			"item", "apiVersion: v1\nkind: List\nitems:\n- {}\n- {apiVersion: v1, kind: Secret}\n",
			"document 1, line 1: items[1]: secret without a name",
		},
		{
			"items", "apiVersion: v1\nkind: List\nitems: {}\n",
			"document 1, line 1: items: got mapping, want list",
		},
		{
			"item that is no object", "apiVersion: v1\nkind: List\nitems: [x]\n",
			"document 1, line 1: items[0]: neither a mapping nor a list",
		},
		{
			"metadata", "apiVersion: v1\nkind: Secret\nmetadata: [x]\n",
			"document 1, line 1: secret default/: metadata: got list, want mapping",
		},
		{"merge of itself", "a: &a\n  <<: *a\n", "document 1, line 1: not valid YAML"},
		{"not UTF-8", "a: \xff\n", "document 1, line 1: not valid YAML: invalid leading UTF-8 octet"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := parser{wanted: all}
			err := p.parse([]byte(test.yaml))
			if err == nil {
				t.Fatalf("no error, found %q", p.found.summary())
			}
			if err.Error() != test.want {
				t.Errorf("got  %s\nwant %s", err, test.want)
			}
		})
	}
}

func TestErrorsDoNotTellSecrets(t *testing.T) {
	const head = "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: ops}\n"
	tests := []struct{ name, yaml, want string }{
		{"base64", "data: {ok: aGk=, token: hunter2$}", `document 1, line 1: secret ops/key: data["token"]: illegal base64 data at input byte 7`},
		{"cut base64", "data: {token: hunter2}", `document 1, line 1: secret ops/key: data["token"]: illegal base64 data at input byte 4`},
		{"data is a list", "data: [hunter2]", "document 1, line 1: secret ops/key: data: got list, want mapping"},
		{"data is a text", "data: hunter2", "document 1, line 1: secret ops/key: data: got string, want mapping"},
		{"value is a mapping", "data: {token: {hunter2: hunter2}}", "document 1, line 1: secret ops/key: data: got mapping, want string"},
		{"value is a number", "stringData: {token: 42}", "document 1, line 1: secret ops/key: stringData: got number, want string: put the value in quotes"},
		{"alias", "stringData: {token: *hunter2}", "document 1, line 1: not valid YAML"},
		{"alias to itself", "stringData: &hunter2 [*hunter2]", "document 1, line 1: not valid YAML"},
		{"template", "stringData: {token: {{hunter2}}}", "document 1, line 1: not valid YAML (is it a template?)"},
		{"tag", "stringData: {token: !!int hunter2}", "document 1, line 1: not valid YAML"},
		{"list as key", "stringData: {? [hunter2] : a}", "document 1, line 1: not valid YAML"},
		{"null as key", "stringData:\n  ~: hunter2", "document 1, line 1: not valid YAML"},
		{"at sign", "stringData:\n  token: @hunter2", "document 1, line 5: not valid YAML: found character that cannot start any token"},
		{"colon", "stringData:\n  token: a: hunter2", "document 1, line 5: not valid YAML: mapping values are not allowed in this context"},
		{"escape", "stringData:\n  token: \"\\hunter2\"", "document 1, line 5: not valid YAML: found unknown escape character"},
		{"key not indented", "stringData:\n  token: |\n-----BEGIN hunter2-----\nhunter2\n", "document 1, line 7: not valid YAML: could not find expected ':'"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, text := range []string{
				head + test.yaml,
				"# in a list\napiVersion: v1\nkind: List\nitems:\n" + indent(head+test.yaml, "- ", "  "),
				"apiVersion: v1\n" + strings.Replace(head+test.yaml, "kind: Secret", "kind: &k Secret", 1),
			} {
				p := parser{wanted: all}
				err := p.parse([]byte(text))
				if err == nil {
					t.Fatalf("no error for\n%s", text)
				}
				if strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the error tells the secret: %s", err)
				}
			}
			p := parser{wanted: all}
			if err := p.parse([]byte(head + test.yaml)); err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestDocumentsAreSplitWithTheirLines(t *testing.T) {
	var got []string
	for line, doc := range documents([]byte("a\n--- b\n----\n---\n---c\n---\t#\r\n--- \nd\n---")) {
		got = append(got, fmt.Sprintf("%d %q", line, doc))
	}
	want := []string{`1 "a\n"`, `2 "--- b\n----\n"`, `4 "---\n---c\n"`, `6 "---\t#\r\n"`, `7 "--- \nd\n"`, `9 "---"`}
	if !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
