package gitcli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

	// guarded by Client.mu
	users   int
	retired bool // gets no new users
	idle    *time.Timer
}

// lease is the use of a connection by one git command.
type lease struct {
	c    *Client
	conn *conn
	id   *Identity
	host chan struct{}
}

// connect returns a lease on the connection to a remote, starting it where
// there is none. Concurrent callers share one start and its outcome.
func (c *Client) connect(ctx context.Context, op string, r Remote, branch string, id *Identity) (*lease, error) {
	for range connectTries {
		cn, started := c.conn(r, id)
		l := &lease{c: c, conn: cn, id: id, host: c.host(r)}
		select {
		case <-l.conn.ready:
			if started {
				c.connected(ctx, r, cn)
			}
		case <-ctx.Done():
			l.release()
			return nil, &Error{Op: op, Remote: r.String(), Branch: branch, cause: context.Cause(ctx)}
		}
		if l.conn.err != nil {
			l.release()
			e := *l.conn.err.(*Error)
			e.Op, e.Remote, e.Branch = op, r.String(), branch
			if e.Kind == ErrAuth {
				e.Key = id.name
			}
			return nil, &e
		}
		select {
		case l.host <- struct{}{}:
		case <-ctx.Done():
			l.release()
			return nil, &Error{Op: op, Remote: r.String(), Branch: branch, cause: context.Cause(ctx)}
		}
		if l.usable() {
			return l, nil
		}
		l.done() // it died while this command waited for its turn
	}
	return nil, &Error{Op: op, Remote: r.String(), Branch: branch, Kind: ErrNetwork, Detail: "the connection was lost again and again"}
}

// host returns the places for commands on a remote's host. One is always left
// to other hosts.
func (c *Client) host(r Remote) chan struct{} {
	key := r.Host() + ":" + r.Port()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hosts[key] == nil {
		c.hosts[key] = make(chan struct{}, min(perHost, max(1, c.opt.Workers-1)))
	}
	return c.hosts[key]
}

// usable says whether the connection is still in service.
func (l *lease) usable() bool {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	return !l.conn.retired
}

// done ends a lease that connect returned.
func (l *lease) done() {
	<-l.host
	l.release()
}

func (l *lease) release() {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	cn := l.conn
	if cn.users--; cn.users > 0 {
		return
	}
	if cn.retired {
		cn.stop()
		return
	}
	cn.idle = time.AfterFunc(idleWait, func() {
		l.c.mu.Lock()
		defer l.c.mu.Unlock()
		if cn.users == 0 {
			cn.retired = true
			cn.stop()
		}
	})
}

// retire takes a connection that misbehaved out of service; it ends with its
// last user.
func (l *lease) retire() {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.conn.retired = true
}

// conn returns the connection for r and id with one more user, starting it if
// need be.
func (c *Client) conn(r Remote, id *Identity) (_ *conn, started bool) {
	key := connKey{r.User(), r.Host(), r.Port(), id.id}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cn := c.conns[key]; cn != nil && !cn.retired {
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
	c.serial++
	ctx, stop := context.WithCancel(c.ctx)
	cn := &conn{
		socket: filepath.Join(c.run, fmt.Sprintf("s%d", c.serial)),
		born:   time.Now(),
		ready:  make(chan struct{}),
		stop:   stop,
		users:  1,
	}
	c.conns[key] = cn
	c.wg.Go(func() {
		c.serve(ctx, cn, r, id)
		c.mu.Lock()
		defer c.mu.Unlock()
		cn.retired = true
		if cn.idle != nil {
			cn.idle.Stop()
		}
		if c.conns[key] == cn {
			delete(c.conns, key)
		}
	})
	return cn, true
}

// usable says whether a connection is still starting, or has come up. One that
// ends is retired by its owner.
func (cn *conn) usable() bool {
	select {
	case <-cn.ready:
		return cn.err == nil
	default:
		return true
	}
}

// serve runs the connection until ctx ends or ssh does.
func (c *Client) serve(ctx context.Context, cn *conn, r Remote, id *Identity) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stderr := &tail{max: maxStderr}
	// One -M: with ControlMaster=yes beside it, ssh asks before each session.
	// The sessions' own SendEnv does not count: without it here, git would fall
	// back to the protocol that lists every ref of a repository.
	args := append(sshOptions(id, cn.socket), "-o", "SendEnv=GIT_PROTOCOL", "-o", "ControlPersist=no", "-M", "-N")
	if r.Port() != "" {
		args = append(args, "-p", r.Port())
	}
	p := exec.Command(c.ssh, append(args, "--", r.User()+"@"+r.Host())...)
	p.Env = []string{"PATH=" + c.path, "HOME=" + c.home, "LC_ALL=C"}
	p.Dir = c.home
	p.Stderr = stderr

	host := c.host(r)
	select {
	case host <- struct{}{}: // for the log-in
	case <-ctx.Done():
		cn.err = &Error{cause: errClosed}
		close(cn.ready)
		return
	}
	loggedIn := sync.OnceFunc(func() { <-host })
	defer loggedIn()

	ended := make(chan error, 1)
	begin := time.Now()
	go func() { ended <- runGroup(ctx, p) }()

	poll := time.NewTicker(socketPoll)
	defer poll.Stop()
	for up := false; !up; {
		select {
		case err := <-ended:
			text := stderr.String()
			switch {
			case ctx.Err() != nil:
				cn.err = &Error{cause: errClosed}
			case p.ProcessState == nil:
				cn.err = notStarted(err)
			default:
				cn.err = &Error{Kind: kindOf(text), Detail: detail(text), cause: err}
			}
			close(cn.ready)
			return
		case <-poll.C:
			up = answers(cn.socket)
			if !up && time.Since(begin) > min(connectWait, c.opt.Timeout) {
				cancel()
				<-ended
				cn.err = &Error{Kind: ErrTimeout, After: min(connectWait, c.opt.Timeout)}
				close(cn.ready)
				return
			}
		}
	}
	c.opt.Log.Debug("ssh connection is up", zap.String("host", r.Host()), zap.Duration("duration", time.Since(begin)))
	loggedIn()
	close(cn.ready)
	<-ended
	os.Remove(cn.socket)
	c.opt.Log.Debug("ssh connection ended", zap.String("host", r.Host()), zap.Duration("age", time.Since(begin)))
}

// answers says whether a master listens on the socket, which it does from the
// moment it is authenticated.
func answers(socket string) bool {
	s, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	s.Close()
	return true
}

func sshOptions(id *Identity, socket string) []string {
	return []string{
		"-F", "none", "-i", id.keyFile(),
		"-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "PreferredAuthentications=publickey",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + id.hostsFile(),
		"-o", "GlobalKnownHostsFile=/dev/null", "-o", "UpdateHostKeys=no",
		"-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
		"-o", "ControlPath=" + socket,
	}
}

// sshCommand is GIT_SSH_COMMAND, quoted for a shell; git adds the host.
func (l *lease) sshCommand() string {
	var b strings.Builder
	for _, w := range append([]string{l.c.ssh, "-o", "ControlMaster=no"}, sshOptions(l.id, l.conn.socket)...) {
		b.WriteString("'" + strings.ReplaceAll(w, "'", `'\''`) + "' ")
	}
	return b.String()
}

// onConnection runs a command on the shared connection to its remote. One that
// failed because the connection had died is run once more.
func (c *Client) onConnection(ctx context.Context, cmd command, id *Identity) ([]byte, error) {
	for again := !cmd.once; ; again, cmd.again = false, true {
		l, err := c.connect(ctx, cmd.op, cmd.remote, cmd.branch, id)
		if err != nil {
			return nil, err
		}
		cmd.net = l
		out, err := c.runGit(ctx, cmd)
		if errors.Is(err, ErrNetwork) || errors.Is(err, ErrTimeout) {
			l.retire()
		}
		l.done()
		if !errors.Is(err, ErrNetwork) || !again {
			return out, err
		}
	}
}
