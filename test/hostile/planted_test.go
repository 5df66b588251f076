package hostile

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/test/gitrepo"
	"github.com/kainlite/gitops-operator/test/registryserver"
)

// What is planted: each is found nowhere but where it belongs.
const (
	dockerPassword = "planted-docker-password"
	githubToken    = "ghp_plantedgithubtoken0123456789"
	webhookPath    = "planted-webhook-path"
	urlPassword    = "planted-url-password"
	authToken      = "planted-auth-token-0123456789"
	environment    = "planted-environment"
)

// TestSecretsAreNowhere plants secrets of each kind, lets passes succeed and
// fail with them, and then looks through everything that the operator ever
// wrote, said, or gave to another process.
func TestSecretsAreNowhere(t *testing.T) {
	s := newStage(t)
	var lines []string // of the private key
	for line := range strings.Lines(string(s.Private)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
			lines = append(lines, line)
		}
	}
	secrets := append(lines[1:], dockerPassword, base64.StdEncoding.EncodeToString([]byte("me:"+dockerPassword)), githubToken, webhookPath, urlPassword, authToken, environment)

	// echo answers with what it was sent, as a careless or hostile server does.
	echo := func(status int) string {
		server := s.http(func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			body, _ := io.ReadAll(r.Body)
			if r.URL.Path == "/v2/" && r.Header.Get("Authorization") == "" {
				w.Header().Set("Www-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"message":"%[1]s %[2]s %[3]s %[4]s","errors":[{"code":"%[1]s","message":"%[1]s %[2]s %[3]s %[4]s"}]}`,
				r.Header.Get("Authorization"), user+":"+password, r.URL, base64.StdEncoding.EncodeToString(body))
		})
		return strings.TrimPrefix(server.URL, "http://")
	}
	good, err := registryserver.Start(registryserver.Options{Username: "me", Password: dockerPassword})
	s.must(err)
	t.Cleanup(good.Close)
	s.must(good.Push(image, s.head))
	github := echo(http.StatusForbidden)
	echoing := echo(http.StatusForbidden)

	docker := func(name, host string) {
		s.secret(name, map[string][]byte{".dockerconfigjson": fmt.Appendf(nil, `{"auths":{"%s":{"username":"me","password":"%s"}}}`, host, dockerPassword)})
	}
	docker("registry", good.Addr())
	docker("registry-wrong", echoing)
	s.secret("token", map[string][]byte{"github-token": []byte(githubToken)})
	s.secret("slack", map[string][]byte{"webhook-url": []byte(s.slack.URL() + "/services/T/B/" + webhookPath)})
	s.secret("slack-echo", map[string][]byte{"webhook-url": []byte("http://" + echo(http.StatusBadRequest) + "/" + webhookPath + "?x=" + webhookPath)})
	s.secret("slack-away", map[string][]byte{"webhook-url": []byte("http://me:" + webhookPath + "@127.0.0.1:1/" + webhookPath)})
	s.secret("key-stranger", map[string][]byte{"ssh-privatekey": s.Private, "known_hosts": []byte("x")})
	s.secret("key-cut", map[string][]byte{"ssh-privatekey": s.Private[:len(s.Private)-60], "known_hosts": s.Server.KnownHosts()})

	registry := func(host, secret string) map[string]string {
		return map[string]string{"image_name": host + "/" + image, "registry_secret_name": secret}
	}
	want := map[string]string{}
	var files []gitrepo.Change
	add := func(name, action, host string, edit map[string]string) {
		want[name] = action
		imageName := image
		if host != "" {
			imageName = host + "/" + image
		}
		files = append(files, gitrepo.Change{Path: name + ".yaml", Content: withImage(name, imageName)})
		s.cluster(name, deployment(name, s.annotations(shared, name, edit), imageName+":"+old))
	}
	with := func(a map[string]string, k, v string) map[string]string { a[k] = v; return a }
	add("healthy", reconcile.ActionPatched, good.Addr(), registry(good.Addr(), "registry"))
	add("refused", reconcile.ActionFailed, echoing, with(registry(echoing, "registry-wrong"), "notifications_secret_name", "slack-echo"))
	missing := registry(good.Addr(), "registry")
	missing["image_name"] = good.Addr() + "/kainlite/missing"
	missing["github_token_secret_name"] = "token"
	add("missing", reconcile.ActionFailed, "", missing)
	files[len(files)-1].Content = withImage("missing", good.Addr()+"/kainlite/missing")
	add("stranger", reconcile.ActionFailed, "", map[string]string{"ssh_key_name": "key-stranger", "notifications_secret_name": "slack-away"})
	add("cut", reconcile.ActionFailed, "", map[string]string{"ssh_key_name": "key-cut"})
	add("https", reconcile.ActionFailed, "", map[string]string{"app_repository": "https://me:" + urlPassword + "@127.0.0.1/x.git"})
	add("upper", reconcile.ActionFailed, "", map[string]string{"manifest_repository": "HTTPS://" + urlPassword + "@127.0.0.1/x.git"})
	add("ssh", reconcile.ActionFailed, "", map[string]string{"app_repository": "ssh://git:" + urlPassword + "@127.0.0.1/x.git"})
	add("registry", reconcile.ActionFailed, "", map[string]string{"registry_secret_url": "https://me:" + urlPassword + "@127.0.0.1/"})
	must1(t)(s.Repo(shared).CommitChanges("master", "Start", files...))

	tokenFile := filepath.Join(s.fence, "token")
	s.must(os.WriteFile(tokenFile, []byte(authToken+"\n"), 0o600))
	s.planted = environment
	s.token = authToken
	s.start("--github-api", "http://"+github, "--auth-token-file", tokenFile)
	ended := s.watch()
	results := s.pass()
	for name, action := range want {
		if r := results[name]; r.Action != action {
			t.Errorf("%s: got %+v, want %s", name, r, action)
		}
	}
	s.pass() // with what is remembered
	var answers strings.Builder
	for _, path := range []string{"/reconcile", "/reconcile?deployment=" + authToken + "x", "/reconcile?wait=x", "/status", "/debug", "/health", "/metrics", "/", "/nope"} {
		for _, token := range []string{authToken, "", "wrong"} {
			s.token = token
			answers.WriteString(s.get(path))
		}
	}
	seen := ended()
	s.stop()

	places := map[string]string{
		"standard output": s.stdout.String(), "the log": s.log.String(), "an HTTP answer": strings.ReplaceAll(answers.String(), authToken+"x", ""),
		"a message to the webhook": strings.Join(s.slack.Messages(), "\n"),
		"the repositories":         s.Git(shared, "log", "-p", "--all", "--format=fuller"),
		"a process that ran":       seen.text.String(),
	}
	s.collect("the cache", filepath.Join(s.fence, "cache"), places)
	s.collect("the home", filepath.Join(s.fence, "home"), places)
	s.collect("the temporary folder", filepath.Join(s.fence, "tmp"), places)
	s.collect("arguments and environments", s.records, places)
	for place, text := range places {
		for _, secret := range secrets {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s has %s: %.300q", place, secret, text[max(0, i-150):min(len(text), i+150)])
			}
		}
	}
	t.Logf("looked through %d places for %d secrets; %d processes and %d key files seen", len(places), len(secrets), seen.processes, seen.keys)
	if len(s.slack.Messages()) == 0 || seen.processes == 0 || seen.keys == 0 || !strings.Contains(places["arguments and environments"], "GIT_SSH_COMMAND") {
		t.Error("the test is blind")
	}
	for run := range seen.runs {
		if _, err := os.Stat(run); err == nil {
			t.Errorf("%s is left", run)
		}
	}
}

// collect reads all files below a folder.
func (s *stage) collect(place, dir string, places map[string]string) {
	s.t.Helper()
	var all bytes.Buffer
	s.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		all.WriteString(path + "\n")
		all.Write(b)
		return err
	}))
	places[place] = all.String()
}

// watched is what was seen of the operator's children.
type watched struct {
	text            strings.Builder // arguments and environments
	processes, keys int
	runs            map[string]bool // run folders
}

var keyFile = regexp.MustCompile(`(/[^' \x00]*gitops-operator-run-[^/]+)/k-[^/]+/key`)

// watch samples the operator's children, and the key files that they are given,
// until the returned function is called.
func (s *stage) watch() func() *watched {
	w := &watched{runs: map[string]bool{}}
	stop := make(chan struct{})
	var working sync.WaitGroup
	working.Go(func() {
		known := map[string]bool{}
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, pid := range s.descendants() {
				b, err1 := os.ReadFile("/proc/" + pid + "/cmdline")
				env, err2 := os.ReadFile("/proc/" + pid + "/environ")
				limits, err3 := os.ReadFile("/proc/" + pid + "/limits")
				text := string(b) + "\n" + string(env) + "\n"
				if err1 != nil || err2 != nil || err3 != nil || known[pid+text] || strings.HasPrefix(text, s.cmd.Path+"\x00") {
					continue // gone, seen, or not yet another program than the operator
				}
				known[pid+text] = true
				w.processes++
				w.text.WriteString(text)
				if !regexp.MustCompile(`Max core file size +[01] +[01] `).Match(limits) && len(limits) > 0 {
					s.t.Errorf("process %s may dump core:\n%s", b, limits)
				}
				if m := keyFile.FindStringSubmatch(text); m != nil && !strings.HasPrefix(m[1], s.fence) {
					w.runs[m[1]] = true
					s.checkKey(m[0], w)
				}
			}
		}
	})
	return func() *watched {
		close(stop)
		working.Wait()
		return w
	}
}

// checkKey looks at a key file while it is there.
func (s *stage) checkKey(file string, w *watched) {
	info, err := os.Lstat(file)
	if err != nil {
		return
	}
	w.keys++
	if info.Mode() != 0o600 {
		s.t.Errorf("%s has mode %s", file, info.Mode())
	}
	for dir := filepath.Dir(file); dir != "/dev/shm" && dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Lstat(dir); err == nil && info.Mode().Perm()&0o077 != 0 && strings.Contains(dir, "gitops-operator-run-") {
			s.t.Errorf("%s has mode %s", dir, info.Mode())
		}
	}
	if shm, err := os.Stat("/dev/shm"); err == nil && shm.IsDir() && !strings.HasPrefix(file, "/dev/shm/") {
		s.t.Errorf("%s is not in memory", file)
	}
}

// descendants are the operator's children, and theirs.
func (s *stage) descendants() []string {
	parents := map[string]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 {
			parents[filepath.Base(filepath.Dir(file))] = fields[1]
		}
	}
	var all []string
	operator := strconv.Itoa(s.cmd.Process.Pid)
	for pid := range parents {
		for p := pid; p != "" && p != "0" && p != "1"; p = parents[p] {
			if parents[p] == operator {
				all = append(all, pid)
				break
			}
		}
	}
	return all
}
