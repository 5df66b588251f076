package gitcli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// connectWait bounds the start of a shared connection, authentication
	// included; ssh's ConnectTimeout bounds only its first part.
	connectWait = 20 * time.Second
	// idleWait is how long a connection that nobody uses is kept. It spares
	// a pass that follows closely the handshake, and lets a key that was
	// taken back work no longer than that.
	idleWait = 30 * time.Second
	// maxAge bounds a connection that is always in use.
	maxAge = 10 * time.Minute
	// perHost is how many commands and log-ins run on one host at once: servers
	// allow 10 sessions on a connection, and 10 log-ins.
	perHost = 8
	// connectTries is how often a command takes a connection that is lost
	// while the command waits for its turn.
	connectTries = 5
	// socketPoll is how often a starting connection is looked at.
	socketPoll = 3 * time.Millisecond
)

// connections are the shared SSH connections: one for each host and key, so that
// many commands need one log-in. Whatever waits here ends with its caller's
// context, and everything with close.
type connections struct {
	runner  *runner
	ssh     string // path of the ssh binary
	dir     string // for the sockets
	perHost int    // commands on one host at once
	running sync.WaitGroup

	mu     sync.Mutex
	open   map[connKey]*conn
	hosts  map[string]chan struct{} // one place per command that may run on a host at once
	serial int                      // names sockets
}

// close waits for the connections' end, which the runner's end brings about.
func (p *connections) close() { p.running.Wait() }

// connKey tells connections apart: two keys never share one, or one tenant
// could act as another.
type connKey struct{ user, host, port, identity string }

// conn is one shared SSH connection: an `ssh -M -N`, a child of ours.
type conn struct {
	socket string
	born   time.Time
	ready  chan struct{} // closed once it answers or has failed
	err    error         // why it failed; read after ready
	stop   context.CancelFunc

	// guarded by connections.mu
	users   int
	retired bool // gets no new users
	idle    *time.Timer
}

// lease is the use of a connection by one git command.
type lease struct {
	pool    *connections
	conn    *conn
	options []string // of ssh
	host    chan struct{}
}

// target is what a command is for: a branch of a remote, with a key.
type target struct {
	op     string
	remote Remote
	branch string
	id     *Identity
}

// failed says what an error is about.
func (t target) failed(err error) error {
	e, ok := err.(*Error)
	if !ok {
		return err
	}
	about := *e
	about.Op, about.Remote, about.Branch = t.op, t.remote.String(), t.branch
	if about.Kind == ErrAuth {
		about.Key = t.id.name
	}
	return &about
}

// connect returns a lease on the connection to a remote, starting it where
// there is none. Concurrent callers share one start and its outcome.
func (p *connections) connect(ctx context.Context, t target) (*lease, error) {
	hosts, err := t.id.hostsFile(t.remote)
	if err != nil {
		return nil, t.failed(err)
	}
	for range connectTries {
		cn, started := p.conn(t.remote, t.id, hosts)
		l := &lease{pool: p, conn: cn, options: sshOptions(t.id, hosts, cn.socket), host: p.host(t.remote)}
		select {
		case <-cn.ready:
			if started {
				p.runner.connected(ctx, t.remote, cn)
			}
		case <-ctx.Done():
			l.release()
			return nil, t.failed(&Error{cause: context.Cause(ctx)})
		}
		if cn.err != nil {
			l.release()
			return nil, t.failed(cn.err)
		}
		select {
		case l.host <- struct{}{}:
		case <-ctx.Done():
			l.release()
			return nil, t.failed(&Error{cause: context.Cause(ctx)})
		}
		if l.usable() {
			return l, nil
		}
		l.done() // it died while this command waited for its turn
	}
	return nil, t.failed(&Error{Kind: ErrNetwork, Detail: "the connection was lost again and again"})
}

// host returns the places for commands on a remote's host.
func (p *connections) host(r Remote) chan struct{} {
	key := r.Host() + ":" + r.Port()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hosts[key] == nil {
		p.hosts[key] = make(chan struct{}, p.perHost)
	}
	return p.hosts[key]
}

// usable says whether the connection is still in service.
func (l *lease) usable() bool {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	return !l.conn.retired
}

// done ends a lease that connect returned.
func (l *lease) done() {
	<-l.host
	l.release()
}

func (l *lease) release() {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	cn := l.conn
	if cn.users--; cn.users > 0 {
		return
	}
	if cn.retired {
		cn.stop()
		return
	}
	cn.idle = time.AfterFunc(idleWait, func() {
		l.pool.mu.Lock()
		defer l.pool.mu.Unlock()
		if cn.users == 0 {
			cn.retired = true
			cn.stop()
		}
	})
}

// retire takes a connection that misbehaved out of service; it ends with its
// last user.
func (l *lease) retire() {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.conn.retired = true
}

// conn returns the connection for r and id with one more user, starting it if
// need be.
func (p *connections) conn(r Remote, id *Identity, hosts string) (_ *conn, started bool) {
	key := connKey{r.User(), r.Host(), r.Port(), id.id}
	p.mu.Lock()
	defer p.mu.Unlock()
	if cn := p.open[key]; cn != nil && !cn.retired {
		if time.Since(cn.born) < maxAge && cn.usable() {
			cn.users++
			if cn.idle != nil {
				cn.idle.Stop()
			}
			return cn, false
		}
		cn.retired = true
		if cn.users == 0 {
			cn.stop()
		}
	}
	p.serial++
	ctx, stop := context.WithCancel(p.runner.life)
	cn := &conn{
		socket: filepath.Join(p.dir, fmt.Sprintf("s%d", p.serial)),
		born:   time.Now(),
		ready:  make(chan struct{}),
		stop:   stop,
		users:  1,
	}
	p.open[key] = cn
	p.running.Go(func() {
		err := p.runner.guarded(func() error {
			p.serve(ctx, cn, r, sshOptions(id, hosts, cn.socket))
			return nil
		})
		if err != nil && !cn.decided() {
			cn.failed(&Error{cause: err})
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		cn.retired = true
		if cn.idle != nil {
			cn.idle.Stop()
		}
		if p.open[key] == cn {
			delete(p.open, key)
		}
	})
	return cn, true
}

// usable says whether a connection is still starting, or has come up. One that
// ends is retired by its owner.
func (cn *conn) usable() bool { return !cn.decided() || cn.err == nil }

// decided says whether a connection has come up or failed.
func (cn *conn) decided() bool {
	select {
	case <-cn.ready:
		return true
	default:
		return false
	}
}

// serve runs the connection until ctx ends or ssh does.
func (p *connections) serve(ctx context.Context, cn *conn, r Remote, options []string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	host := p.host(r)
	select {
	case host <- struct{}{}: // for the log-in
	case <-ctx.Done():
		cn.failed(&Error{cause: errClosed})
		return
	}
	loggedIn := sync.OnceFunc(func() { <-host })
	defer loggedIn()

	stderr := &tail{max: maxStderr}
	ssh := p.master(r, options, stderr)
	ended := make(chan error, 1)
	begin := time.Now()
	go func() { ended <- runGroup(ctx, ssh) }()

	poll := time.NewTicker(socketPoll)
	defer poll.Stop()
	for up := false; !up; {
		select {
		case err := <-ended:
			cn.failed(whyEnded(ctx, ssh, stderr, err))
			return
		case <-poll.C:
			up = answers(cn.socket)
			if limit := min(connectWait, p.runner.timeout); !up && time.Since(begin) > limit {
				cancel()
				<-ended
				cn.failed(&Error{Kind: ErrTimeout, After: limit})
				return
			}
		}
	}
	p.runner.log.Debug("ssh connection is up", zap.String("host", r.Host()), zap.Duration("duration", time.Since(begin)))
	loggedIn()
	close(cn.ready)
	<-ended
	os.Remove(cn.socket)
	p.runner.log.Debug("ssh connection ended", zap.String("host", r.Host()), zap.Duration("age", time.Since(begin)))
}

// failed tells those who wait for a connection that it has not come up.
func (cn *conn) failed(err error) {
	cn.err = err
	close(cn.ready)
}

// run runs a git command on the shared connection to its remote. One that failed
// because the connection had died is run once more.
func (p *connections) run(ctx context.Context, cmd command, id *Identity) ([]byte, error) {
	for again := !cmd.once; ; again, cmd.again = false, true {
		l, err := p.connect(ctx, target{op: cmd.op, remote: cmd.remote, branch: cmd.branch, id: id})
		if err != nil {
			return nil, err
		}
		cmd.net = l
		out, err := p.runner.run(ctx, cmd)
		if errors.Is(err, ErrNetwork) || errors.Is(err, ErrTimeout) {
			l.retire()
		}
		l.done()
		if !errors.Is(err, ErrNetwork) || !again {
			return out, err
		}
	}
}
