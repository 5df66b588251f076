package gitcli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/kainlite/gitops-operator/internal/secret"
)

// Key is an SSH key as a Secret holds it.
type Key struct {
	// Name is where it comes from, "namespace/name". Mirrors are kept apart by it.
	Name string
	// Private is the private key, PEM. CRLF and a missing final newline are mended.
	Private []byte
	// Passphrase is what the private key is encrypted with. Empty: it is not.
	Passphrase secret.Value
	// KnownHosts are further host keys to trust with this key.
	KnownHosts []byte
}

const (
	// maxHostLines bounds what is copied of the known hosts for one host.
	maxHostLines = 64 << 10
)

// keys are the private keys in use, each in a directory of its own in the run
// directory.
type keys struct {
	dir        string
	knownHosts []string // files; see Options.KnownHosts
	mu         sync.Mutex
	inUse      map[string]*Identity
}

// Identity is a Key ready for use: a key file, and a file of host keys for each
// host that it was used with, in a private directory, which goes with the last
// Release.
type Identity struct {
	keys  *keys
	name  string
	id    string // names the content: what has the same id may share a connection
	dir   string
	hosts []byte // all host keys to trust
	refs  int
}

// Acquire makes key ready for use. The caller must Release it.
func (c *Client) Acquire(key Key) (*Identity, error) { return c.keys.acquire(key) }

func (k *keys) acquire(key Key) (*Identity, error) {
	if len(key.Private) > maxKey {
		return nil, fmt.Errorf("read SSH key: %w: it has %d bytes, more than %d", ErrNoKey, len(key.Private), maxKey)
	}
	private := append(bytes.TrimSpace(unixLines(key.Private)), '\n')
	hosts, err := readKnownHosts(k.knownHosts)
	if err != nil {
		return nil, err
	}
	hosts = append(append(hosts, '\n'), unixLines(key.KnownHosts)...)

	h := sha256.New()
	for _, part := range [][]byte{private, []byte(key.Passphrase.Reveal()), hosts} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	id := hex.EncodeToString(h.Sum(nil)[:12]) + "-" + shortHash(key.Name)

	k.mu.Lock()
	defer k.mu.Unlock()
	if known := k.inUse[id]; known != nil {
		known.refs++
		return known, nil
	}
	if private, err = plainKey(private, key.Passphrase); err != nil {
		return nil, err
	}
	i := &Identity{keys: k, name: key.Name, id: id, dir: filepath.Join(k.dir, "k-"+id), hosts: hosts, refs: 1}
	if err := i.write(private); err != nil {
		removeKeys(i.dir)
		return nil, fmt.Errorf("write key file: %w", err)
	}
	k.inUse[id] = i
	return i, nil
}

func (i *Identity) write(private []byte) error {
	if err := os.Mkdir(i.dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(i.keyFile(), private, 0o600)
}

func (i *Identity) keyFile() string { return filepath.Join(i.dir, "key") }

// hostsFile returns a known_hosts file for a remote's host. Only the lines for
// this host are in it: a Secret may hold a megabyte of others.
func (i *Identity) hostsFile(r Remote) (string, error) {
	i.keys.mu.Lock()
	defer i.keys.mu.Unlock()
	file := filepath.Join(i.dir, "hosts-"+shortHash(r.Host()+":"+r.Port()))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	lines := hostLines(i.hosts, r.Host(), r.Port())
	if len(lines) > maxHostLines {
		return "", &Error{Kind: ErrHostKey, Detail: fmt.Sprintf("secret %s has %d bytes of known_hosts for this host, at most %d are used", i.name, len(lines), maxHostLines)}
	}
	// One that is half written must not be taken for a whole one.
	err := os.WriteFile(file+".new", lines, 0o600)
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		os.Remove(file + ".new")
		return "", fmt.Errorf("write known hosts: %w", err)
	}
	return file, nil
}

// ID names the key and its known hosts by their content, without showing them.
func (i *Identity) ID() string { return i.id }

// Hold begins one more use of the identity.
func (i *Identity) Hold() {
	i.keys.mu.Lock()
	defer i.keys.mu.Unlock()
	i.refs++
}

// Release ends one use of the identity.
func (i *Identity) Release() {
	i.keys.mu.Lock()
	defer i.keys.mu.Unlock()
	if i.refs--; i.refs == 0 {
		delete(i.keys.inUse, i.id)
		removeKeys(i.dir)
	}
}

// removeKeys removes a directory after it has overwritten the keys in it and in
// the directories directly below: where a run directory is not memory-backed, their
// blocks would stay readable on the disk.
func removeKeys(dir string) error {
	for _, pattern := range []string{"key", "*/key"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, file := range files {
			overwrite(file) // what cannot be overwritten is removed all the same
		}
	}
	return os.RemoveAll(dir)
}

func overwrite(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := f.Write(make([]byte, st.Size())); err != nil {
		return err
	}
	return f.Sync()
}

// readKnownHosts reads the host keys to trust, afresh.
func readKnownHosts(files []string) ([]byte, error) {
	if len(files) == 0 {
		all := bytes.Clone(builtinKnownHosts)
		if home, err := os.UserHomeDir(); err == nil {
			// Most users of a container have none.
			own, _ := os.ReadFile(filepath.Join(home, ".ssh", "known_hosts"))
			all = append(append(all, '\n'), own...)
		}
		return all, nil
	}
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("read known hosts: %w", err)
		}
		all = append(append(all, b...), '\n')
	}
	return all, nil
}

func unixLines(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}
