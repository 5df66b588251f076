package gitea

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Try asks the API as a user, below /api/v1, and returns the status and the
// answer.
func (s *Server) Try(t testing.TB, as User, method, path string, in any) (int, []byte) {
	t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/api/v1"+path, &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if as.Token != "" {
		r.Header.Set("Authorization", "token "+as.Token)
	} else {
		r.SetBasicAuth(as.Name, as.Password)
	}
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, s.process.tail())
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// Do is Try for what has to succeed. out may be nil.
func (s *Server) Do(t testing.TB, as User, method, path string, in, out any) {
	t.Helper()
	status, answer := s.Try(t, as, method, path, in)
	if status/100 != 2 {
		t.Fatalf("%s %s as %s: %d %s", method, path, as.Name, status, answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, answer)
		}
	}
}

// name returns one that is not taken.
func (s *Server) name(prefix string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names++
	return fmt.Sprintf("%s%d", prefix, s.names)
}

// User makes an account of a new name that begins with prefix, with a token for
// everything that the user may do.
func (s *Server) User(t testing.TB, prefix string) User {
	t.Helper()
	u := User{Name: s.name(prefix)}
	u.Password = u.Name + "-password"
	s.Do(t, s.Admin, "POST", "/admin/users", map[string]any{
		"username": u.Name, "password": u.Password, "email": u.Name + "@example.com", "must_change_password": false,
	}, nil)
	u.Token = s.Token(t, u, "all")
	return u
}

// Token makes a token with scopes, such as "read:repository", for a user.
func (s *Server) Token(t testing.TB, u User, scopes ...string) string {
	t.Helper()
	u.Token = "" // tokens are made with the password
	var token struct{ SHA1 string }
	s.Do(t, u, "POST", "/users/"+u.Name+"/tokens", map[string]any{"name": s.name("token"), "scopes": scopes}, &token)
	return token.SHA1
}

// Repo is a repository.
type Repo struct {
	Owner User
	Name  string
	s     *Server
}

// Repository makes an empty private repository of a new name that begins with
// prefix.
func (s *Server) Repository(t testing.TB, owner User, prefix string) Repo {
	t.Helper()
	r := Repo{Owner: owner, Name: s.name(prefix), s: s}
	s.Do(t, owner, "POST", "/user/repos", map[string]any{"name": r.Name, "private": true, "default_branch": "main"}, nil)
	return r
}

// Path is OWNER/NAME.
func (r Repo) Path() string { return r.Owner.Name + "/" + r.Name }

// API is the path of the repository in the API, with more after it.
func (r Repo) API(more string) string { return "/repos/" + r.Path() + more }

// HTTP is the URL for git over HTTP; git asks for a user and a password.
func (r Repo) HTTP() string { return r.s.URL + "/" + r.Path() + ".git" }

// As is HTTP with a user's token in it. Tests alone write tokens into URLs.
func (r Repo) As(u User) string {
	return strings.Replace(r.HTTP(), "http://", "http://"+u.Name+":"+u.Token+"@", 1)
}

// SSH is the URL for git over SSH, with the operating system's user of the server.
func (r Repo) SSH() string {
	return "ssh://" + strings.TrimPrefix(r.s.env()[2], "USER=") + "@127.0.0.1:" + r.s.SSHPort + "/" + r.Path() + ".git"
}

// WaitForPush waits until the server has taken in the first push: it does so in
// the background, and an empty repository has no pull requests.
func (r Repo) WaitForPush(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(startTime)
	for {
		var repo struct{ Empty bool }
		r.s.Do(t, r.Owner, "GET", r.API(""), nil, &repo)
		if !repo.Empty {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still empty to the server", r.Path())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// DeployKey gives a key, a line of authorized_keys, access to the repository.
func (r Repo) DeployKey(t testing.TB, key string, readOnly bool) {
	t.Helper()
	r.s.Do(t, r.Owner, "POST", r.API("/keys"), map[string]any{"title": r.s.name("key"), "key": key, "read_only": readOnly}, nil)
}

// Collaborator lets another user read, write or administer.
func (r Repo) Collaborator(t testing.TB, u User, permission string) {
	t.Helper()
	r.s.Do(t, r.Owner, "PUT", r.API("/collaborators/"+u.Name), map[string]any{"permission": permission}, nil)
}

// Protect protects a branch: nobody pushes to it, whoever may write can merge
// into it, and checks of these names have to pass before.
func (r Repo) Protect(t testing.TB, branch string, checks ...string) {
	t.Helper()
	r.s.Do(t, r.Owner, "POST", r.API("/branch_protections"), map[string]any{
		"rule_name": branch, "branch_name": branch, "enable_push": false,
		"enable_status_check": len(checks) > 0, "status_check_contexts": checks,
	}, nil)
}
