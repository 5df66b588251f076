package page

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/kainlite/gitops-operator/internal/repository"
	"github.com/kainlite/gitops-operator/mask"
)

// hosts are those of which it is known where they show a commit. Any other may be
// a mirror, or nothing at all.
var hosts = map[string]func(repo []string) (base, commit string){
	"github.com":              plain("github.com", "commit"),
	"gitlab.com":              plain("gitlab.com", "-/commit"),
	"bitbucket.org":           plain("bitbucket.org", "commits"),
	"codeberg.org":            plain("codeberg.org", "commit"),
	"ssh.dev.azure.com":       azure,
	"vs-ssh.visualstudio.com": azure,
}

func plain(host, commit string) func([]string) (string, string) {
	return func(repo []string) (string, string) {
		if len(repo) < 2 {
			return "", ""
		}
		return host + "/" + strings.Join(repo, "/"), commit
	}
}

// azure has v3/ORGANIZATION/PROJECT/REPOSITORY.
func azure(repo []string) (string, string) {
	if len(repo) != 4 || repo[0] != "v3" {
		return "", ""
	}
	return "dev.azure.com/" + repo[1] + "/" + repo[2] + "/_git/" + repo[3], "commit"
}

var hexadecimal = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// Links finds where commits can be seen, and remembers it by repository. The
// zero value is not ready for use: make one.
type Links map[string]string

// To returns where a commit of a repository can be seen, "" if that is not
// known. The repository is an SSH URL.
func (l Links) To(repository, commit string) string {
	if repository == "" || !hexadecimal.MatchString(commit) {
		return ""
	}
	commits, known := l[repository]
	if !known {
		commits = commitsOf(repository)
		l[repository] = commits
	}
	if commits == "" {
		return ""
	}
	return commits + commit
}

// commitsOf returns what the URLs of all commits of a repository begin with.
func commitsOf(raw string) string {
	remote, err := repository.Parse(raw)
	if err != nil || mask.Value(raw) != raw || strings.Contains(raw, "?") { // something like a secret
		return ""
	}
	host := hosts[remote.Site()]
	if host == nil {
		return ""
	}
	repo := strings.Split(strings.TrimSuffix(strings.Trim(remote.Path(), "/"), ".git"), "/")
	for i, part := range repo {
		if part == "" || part == "." || part == ".." {
			return ""
		}
		repo[i] = url.PathEscape(part)
	}
	base, show := host(repo)
	if base == "" {
		return ""
	}
	return "https://" + base + "/" + show + "/"
}
