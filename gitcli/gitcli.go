// Package gitcli is the only package that starts processes: the system's git and
// ssh. It knows remotes, SSH identities, remote heads, disposable bare mirrors,
// commits and pushes, and turns what git and ssh say into typed errors, so that
// nothing outside it ever matches on their text. It knows nothing of Kubernetes,
// YAML or HTTP. It writes below two directories only: the cache (mirrors) and a
// private run directory (keys, known hosts, sockets) that goes when it closes.
//
// A Client is made of four parts: the runner starts processes, and ends them; the
// cache has the mirrors' directories; the keys are private key files in use; the
// connections are shared SSH connections. A Mirror works with all of them.
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

// DefaultCacheSize is 1 GiB.
const DefaultCacheSize = 1 << 30

// Options configure a Client.
type Options struct {
	// CacheDir holds the mirrors; it may be deleted at any time.
	// Empty: the user's cache directory.
	CacheDir string
	// CacheSize bounds the mirrors, in bytes; what is in use stays. Zero: 1 GiB.
	CacheSize int64
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
	author      Signature
	run         string   // private directory: keys, known hosts, sockets
	lock        *os.File // of the run directory
	runner      *runner
	cache       *cache
	keys        *keys
	connections *connections
	renewals    renewals
	swept       chan struct{} // closed when the cache has been looked through once
	background  sync.WaitGroup
	cancel      context.CancelFunc
}

// New checks that git and ssh are there, makes the directories, removes what a
// crashed predecessor left behind, and returns a Client that Close must end.
func New(ctx context.Context, opt Options) (*Client, error) {
	opt.setDefaults()
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("find git: %w: install the package git", err)
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		return nil, fmt.Errorf("find ssh: %w: install the package openssh-client", err)
	}
	for _, f := range opt.KnownHosts {
		if _, err := os.ReadFile(f); err != nil {
			return nil, fmt.Errorf("read known hosts: %w", err)
		}
	}
	run, lock, err := makeRunDir()
	if err != nil {
		return nil, fmt.Errorf("make run directory: %w", err)
	}
	c := &Client{author: opt.Author, run: run, lock: lock, swept: make(chan struct{})}
	home := filepath.Join(run, "home")
	if err := os.Mkdir(home, 0o500); err != nil {
		c.closeDirs()
		return nil, fmt.Errorf("make run directory: %w", err)
	}
	if c.cache, err = openCache(opt.CacheDir, opt.CacheSize, opt.Log); err != nil {
		c.closeDirs()
		return nil, err
	}
	c.runner = &runner{
		git: git, path: os.Getenv("PATH"), home: home,
		timeout: opt.Timeout, slots: make(chan struct{}, opt.Workers), cache: c.cache,
		log: opt.Log, logFields: opt.LogFields, observer: opt.Observer,
	}
	c.runner.life, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.keys = &keys{dir: run, knownHosts: opt.KnownHosts, inUse: map[string]*Identity{}}
	c.connections = &connections{
		runner: c.runner, ssh: ssh, dir: run, perHost: min(perHost, max(1, opt.Workers-1)), // one is always left to other hosts
		open: map[connKey]*conn{}, hosts: map[string]chan struct{}{},
	}
	if err := c.checkGit(ctx); err != nil {
		c.cancel()
		c.closeDirs()
		return nil, err
	}
	c.background.Go(func() { c.cache.keepSmall(c.runner.life, func() { close(c.swept) }) })
	return c, nil
}

func (o *Options) setDefaults() {
	if o.CacheSize <= 0 {
		o.CacheSize = DefaultCacheSize
	}
	if o.Timeout <= 0 {
		o.Timeout = 60 * time.Second
	}
	if o.Workers <= 0 {
		o.Workers = 8
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.LogFields == nil {
		o.LogFields = func(context.Context) []zap.Field { return nil }
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
}

// Close ends every child process and removes the run directory. Calls under way
// fail. The mirrors stay.
func (c *Client) Close() {
	c.cancel()
	c.connections.close()
	c.background.Wait()
	c.closeDirs()
}

func (c *Client) closeDirs() {
	removeKeys(c.run)
	c.lock.Close()
	if c.cache != nil {
		c.cache.close()
	}
}
