package hostile

import (
	"strings"

	"github.com/kainlite/gitops-operator/test/world"
)

// annotationNames are all annotations; each is tried with each of harm.
var annotationNames = []string{
	"enabled", "app_repository", "manifest_repository", "deployment_path", "image_name", "ssh_key_name", "ssh_key_namespace",
	"observe_branch", "app_branch", "manifest_branch", "tag_type", "tag_path", "pin_digest", "notifications_secret_name", "notifications_secret_namespace",
	"registry_secret_url", "registry_secret_name", "registry_secret_namespace",
	"github_token_secret_name", "github_token_secret_namespace",
}

var harm = []struct{ name, value string }{
	{"an option", "--upload-pack=touch CANARY"},
	{"an option of ssh", "-oProxyCommand=touch CANARY"},
	{"a command", "x$(touch CANARY)`touch CANARY`;touch CANARY|touch CANARY"},
	{"line breaks", "kainlite/blog\nTo: 0000\r\n\r\nchore(refs): forged\n\nImage: forged"},
	{"a NUL", "kainlite/blog\x00--upload-pack=touch CANARY"},
	{"a tab", "kainlite\tblog"},
	{"terminal escapes", "kainlite" + escapes + "blog"},
	{"64 KiB", "kainlite/" + strings.Repeat("0123456789abcdef", 4<<10)},
	{"markup", "<!channel> <http://evil.example|click>"},
}

// annotationCases try every annotation with every harm, and each with what is
// bad in its own way.
func annotationCases() []hostile {
	var list []hostile
	for _, a := range annotationNames {
		for _, h := range harm {
			list = append(list, hostile{name: a + " has " + h.name, edit: map[string]string{a: h.value}, want: "gitops.operator." + a})
		}
	}
	try := func(annotation, want string, values ...string) {
		for _, v := range values {
			list = append(list, hostile{name: annotation + " is " + v[:min(len(v), 60)], edit: map[string]string{annotation: v}, want: want})
		}
	}
	repositories := []string{
		"ext::sh -c touch% CANARY", "ext::ssh://git@127.0.0.1/x", "file:///etc", "/etc", "./x", "https://user:secret@127.0.0.1/x.git", "HTTPS://user:secret@127.0.0.1/x.git",
		"http://127.0.0.1/x.git", "git://127.0.0.1/x.git", "ftp://127.0.0.1/x", "fd::17/x", "rsync://127.0.0.1/x", "git+ssh://git@127.0.0.1/x", "ssh+git://git@127.0.0.1/x",
		"ssh://-oProxyCommand=touch%20CANARY/x", "ssh://git@-oProxyCommand=touch%20CANARY/x", "git@-oProxyCommand=touch CANARY:x",
		"ssh://-oProxyCommand=touch@127.0.0.1/x", "-oProxyCommand=x@127.0.0.1:x", "ssh://git:password@127.0.0.1/x", "git:password@127.0.0.1:x",
		"ssh://git@127.0.0.1:0/x", "ssh://git@127.0.0.1:65536/x", "ssh://git@127.0.0.1:-22/x", "ssh://git@127.0.0.1:22o/x", "ssh://git@127.0.0.1:99999999999999999999/x",
		"ssh://git@127.0.0.1:22", "ssh://git@/x", "ssh:///x", "ssh://", "git@:x", "@127.0.0.1:x", "ssh://git@127.0.0.1/%00", "ssh://git@127.0.0.1/x%0a--upload-pack=x",
		"ssh://git@127.0.0.1/-x", "git@127.0.0.1:-x", "git@127.0.0.1:/-x", "ssh://git@127.0.0.1/%2dx", "ssh://git@[::1%25eth0]/x", "ssh://git@[-oProxyCommand=x]/x",
		"ssh://git@host%2eexample/x", "ssh://gi%74@127.0.0.1/x", "ssh://git@ex\u0430mple.com/x", "ssh://git@127.0.0.1/x?access_token=secret/..%2f%zz",
	}
	try("app_repository", "gitops.operator.app_repository", repositories...)
	try("manifest_repository", "gitops.operator.manifest_repository", repositories...)
	try("app_repository", "app_repository and manifest_repository are both", "MANIFESTS")

	try("observe_branch", "gitops.operator.observe_branch",
		"*", "feature/*", "a:b", "a..b", "..", "@{-1}", "a@{0}", "HEAD", "a^", "a~1", "/master", "master/", "a//b", ".hidden", "a/.b", "a.lock", "a.lock/b",
		"a.", "a b", "[x]", "a\\b", "-b", "+refs/heads/x", "master\u202e", "ma\u200bster", "\ufeffmaster", "refs/heads/"+strings.Repeat("x", 300), "^master", "?",
		"mas\u00a0ter")
	list = append(list,
		hostile{name: "observe_branch looks like master", edit: map[string]string{"observe_branch": "mast\u0435r"}, want: "branch not found"},
		hostile{name: "observe_branch is @", edit: map[string]string{"observe_branch": "@"}, want: "observe_branch"},
		hostile{name: "observe_branch is a full ref", edit: map[string]string{"observe_branch": "refs/heads/master"}, want: "branch not found"},
	)

	try("deployment_path", "gitops.operator.deployment_path",
		"../x.yaml", "a/../../x.yaml", "/etc/passwd", "..", ".", "./", ".git/config", ".GIT/config", "a/.Git/hooks/pre-push", "a\u202eb.yaml", "a\u200b.yaml",
		".g\u200cit/config", "\ufeffa.yaml", strings.Repeat("a/", 3000)+"x.yaml", strings.Repeat("x", 5000))
	try("deployment_path", "no such file: correct gitops.operator.deployment_path",
		"*.yaml", "[a-z]*.yaml", ":(glob)**", ":(top)FILE.yaml", ":/", "FILE.yaml:x", "HEAD:FILE.yaml", "@{u}", "FILE.YAML", "~/x.yaml", "\\x.yaml", `"x".yaml`,
		"caf\u00e9.yaml", "cafe\u0301.yaml", "\u0441000.yaml", "FILE.yaml/x", "--help", "-r", "a b'c;d.yaml")
	list = append(list, hostile{name: "deployment_path takes a detour", edit: map[string]string{"deployment_path": "./x/..//FILE.yaml"}})

	try("image_name", "gitops.operator.image_name",
		"kainlite/blog:latest", "kainlite/blog@sha256:"+strings.Repeat("a", 64), "Kainlite/Blog", "kainlite/blog/", "//", "kainlite/bl\u043eg",
		"-x.example/blog", "user:password@registry.example/blog", "https://registry.example/blog", "kainlite/blog --x", strings.Repeat("a", 300))
	try("image_name", "no container has the image", "127.0.0.1:99999/x", "blog")
	try("registry_secret_url", "gitops.operator.registry_secret_url",
		"file:///etc/passwd", "https://user:secret@registry.example/", "https://", "gopher://x", "://", "https://a b", "https://[::1", "https://x:99999/", "https://-x/")

	for _, name := range []string{"..", "a/b", "a/../../default/x", "A", "a_b", strings.Repeat("a", 254), "%2e%2e", "a?x=y", "a#b", "*"} {
		list = append(list, hostile{name: "ssh_key_name is " + name[:min(len(name), 20)], edit: map[string]string{"ssh_key_name": name}, want: "gitops.operator.ssh_key_name"})
	}
	list = append(list,
		hostile{name: "the name of a key that is not there", edit: map[string]string{"ssh_key_name": "nope"}, want: "secret gitops-operator/nope not found"},
		hostile{name: "the name of a Secret that is no key", edit: map[string]string{"ssh_key_name": "slack"}, want: "secret gitops-operator/slack has no key ssh-privatekey"},
		hostile{name: "the name of a webhook that is not there is no failure", edit: map[string]string{"notifications_secret_name": "nope"}},
		hostile{name: "an unknown annotation is no failure", edit: map[string]string{"x" + strings.Repeat("y", 300): escapes}},
		hostile{name: "a look-alike of an annotation is another one", edit: map[string]string{"deployment_p\u0430th": "../x"}},
		hostile{name: "the image in the manifest is hostile", file: &change{Content: world.Manifest("x", "\""+`kainlite/blog:\e[31m\a\u202e`+"\"")}, want: "FILE.yaml"},
	)
	return list
}
