package gitserver

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// keyExtension names the extension that carries the key a client logged in
// with to its sessions.
const keyExtension = "gitserver-key"

// access is who may reach what.
type access struct {
	mu     sync.Mutex
	grants map[string]*grant // by public key, in wire format
}

type grant struct {
	all   bool
	repos map[string]bool
}

// Authorize lets a key in. Without repositories it may reach all of them; with
// some (such as "owner/repo.git") it is a deploy key, for which the others do
// not exist. Repeated calls for one key add up, and count from the key's next
// command on.
func (s *Server) Authorize(key ssh.PublicKey, repos ...string) {
	s.access.mu.Lock()
	defer s.access.mu.Unlock()
	if s.access.grants == nil {
		s.access.grants = make(map[string]*grant)
	}
	id := string(key.Marshal())
	g := s.access.grants[id]
	if g == nil {
		g = &grant{repos: make(map[string]bool)}
		s.access.grants[id] = g
	}
	if len(repos) == 0 {
		g.all = true
	}
	for _, repo := range repos {
		g.repos[strings.Trim(repo, "/")] = true
	}
}

// authenticate decides on a key. Any user name will do.
func (s *Server) authenticate(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	if s.faults.now().refuseAuth {
		return nil, errors.New("authentication is switched off")
	}
	id := string(key.Marshal())
	s.access.mu.Lock()
	defer s.access.mu.Unlock()
	if s.access.grants[id] == nil {
		return nil, errors.New("unknown key " + ssh.FingerprintSHA256(key))
	}
	return &ssh.Permissions{Extensions: map[string]string{keyExtension: id}}, nil
}

func (a *access) allows(keyID, repo string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.grants[keyID]
	return g.all || g.repos[repo]
}

// repository finds the repository a client asks for: its name, which is the
// path below the root, and its folder.
func (s *Server) repository(path string) (name, dir string, ok bool) {
	name = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	if !fs.ValidPath(name) || name == "." {
		return "", "", false
	}
	// os.Root follows no link that leads out of it. A folder without HEAD is
	// no repository.
	info, err := s.root.Stat(filepath.Join(name, "HEAD"))
	if err != nil || !info.Mode().IsRegular() {
		return "", "", false
	}
	return name, filepath.Join(s.root.Name(), name), true
}
