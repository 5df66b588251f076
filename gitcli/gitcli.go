// Package gitcli is the only room that starts processes: the system's git and
// ssh. It knows remotes, SSH identities, remote heads, disposable bare mirrors,
// commits and pushes, and turns what git and ssh say into typed errors, so that
// nothing outside it ever matches on their text. It knows nothing of Kubernetes,
// YAML or HTTP. It writes below two folders only: the cache folder (mirrors) and
// a private run folder (keys, known hosts, sockets) that goes when it closes.
package gitcli

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
)

//go:embed known_hosts
var builtinKnownHosts []byte

// Options configure a Client.
type Options struct {
	// CacheDir holds the mirrors; it may be deleted at any time.
	// Empty: the user's cache folder.
	CacheDir string
	// KnownHosts are files of SSH host keys, read again at every use.
	// Empty: the built-in keys of the large hosts and ~/.ssh/known_hosts.
	KnownHosts []string
	// Timeout bounds one git command. Zero: 60 s.
	Timeout time.Duration
	// Workers bounds the git processes at once. Zero: 8.
	Workers int
	// Author signs the commits.
	Author Signature
	// Log takes a line per command at debug level. Nil: none.
	Log *zap.Logger
	// LogFields are what a caller's context adds to these lines. Nil: nothing.
	LogFields func(context.Context) []zap.Field
	// Observer is told what git does. Nil: nobody is.
	Observer Observer
}

// Signature is the name and the address in a commit.
type Signature struct{ Name, Email string }

// Client runs git. It is safe for concurrent use, except that one Mirror
// belongs to one caller at a time.
type Client struct {
	opt    Options
	git    string        // path of the git binary
	ssh    string        // path of the ssh binary
	path   string        // PATH of the children
	run    string        // private folder: keys, known hosts, sockets
	home   string        // an empty folder: HOME of the children
	lock   *os.File      // of the run folder
	slots  chan struct{} // one per process that may run at once
	ctx    context.Context
	cancel context.CancelFunc

	mu         sync.Mutex
	cache      cacheSlot
	identities map[string]*Identity
	conns      map[connKey]*conn
	hosts      map[string]chan struct{} // one place per command that may run on a host at once
	serial     int                      // names sockets
	clean      map[string]bool          // mirrors without leftovers of a git that was killed
	written    map[string]int64         // by mirror: bytes that the last commits took, and that a push will send
	wg         sync.WaitGroup
	renewals   renewals
}

// New checks that git and ssh are there, makes the folders, removes what a
// crashed predecessor left behind, and returns a Client that Close must end.
func New(ctx context.Context, opt Options) (*Client, error) {
	if opt.Timeout <= 0 {
		opt.Timeout = 60 * time.Second
	}
	if opt.Workers <= 0 {
		opt.Workers = 8
	}
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	if opt.LogFields == nil {
		opt.LogFields = func(context.Context) []zap.Field { return nil }
	}
	if opt.Observer == nil {
		opt.Observer = nobody{}
	}
	c := &Client{
		opt:        opt,
		path:       os.Getenv("PATH"),
		slots:      make(chan struct{}, opt.Workers),
		identities: map[string]*Identity{},
		conns:      map[connKey]*conn{},
		hosts:      map[string]chan struct{}{},
		clean:      map[string]bool{},
		written:    map[string]int64{},
	}
	var err error
	if c.git, err = exec.LookPath("git"); err != nil {
		return nil, fmt.Errorf("find git: %w: install the package git", err)
	}
	if c.ssh, err = exec.LookPath("ssh"); err != nil {
		return nil, fmt.Errorf("find ssh: %w: install the package openssh-client", err)
	}
	for _, f := range opt.KnownHosts {
		if _, err := os.ReadFile(f); err != nil {
			return nil, fmt.Errorf("read known hosts: %w", err)
		}
	}
	if err := c.openFolders(); err != nil {
		c.closeFolders()
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := c.checkGit(ctx); err != nil {
		c.cancel()
		c.closeFolders()
		return nil, err
	}
	return c, nil
}

// Close ends every child process and removes the run folder. Calls under way
// fail. The mirrors stay.
func (c *Client) Close() {
	c.cancel()
	c.wg.Wait()
	c.closeFolders()
}

// openFolders makes the run folder and takes a slot of the cache folder.
func (c *Client) openFolders() error {
	run, lock, err := makeRunDir()
	if err != nil {
		return fmt.Errorf("make run folder: %w", err)
	}
	c.run, c.lock = run, lock
	c.home = filepath.Join(run, "home")
	if err := os.Mkdir(c.home, 0o500); err != nil {
		return fmt.Errorf("make run folder: %w", err)
	}
	dir := c.opt.CacheDir
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find user cache folder: %w: set --cache-dir", err)
		}
		dir = filepath.Join(user, "gitops-operator")
	}
	// git runs in another folder.
	if c.opt.CacheDir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("open cache folder: %w", err)
	}
	if c.cache, err = takeCacheSlot(c.opt.CacheDir); err != nil {
		return fmt.Errorf("open cache folder: %w", err)
	}
	return nil
}

// cacheDir returns this process's slot of the cache folder. When somebody has
// deleted the folder, its lock went too, and a slot is taken anew.
func (c *Client) cacheDir() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cache.held() {
		return c.cache.dir, nil
	}
	slot, err := takeCacheSlot(c.opt.CacheDir)
	if err != nil {
		return "", fmt.Errorf("open cache folder: %w", err)
	}
	c.cache.lock.Close()
	c.cache = slot
	return slot.dir, nil
}

func (c *Client) closeFolders() {
	if c.run != "" {
		removeKeys(c.run)
		c.lock.Close()
	}
	if c.cache.lock != nil {
		c.cache.lock.Close()
	}
}
