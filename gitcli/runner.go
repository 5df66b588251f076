package gitcli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	// termGrace is how long a process group may take to end by itself.
	termGrace = 2 * time.Second
	// pipeGrace is how long output is waited for once the process is gone:
	// a shared connection holds a copy of its standard error.
	pipeGrace = time.Second
	maxStderr = 16 << 10
	maxStdout = 32 << 20
	// bigFile is from where on git streams a file instead of holding it: at git's
	// own 512 MB, a repository of 2 MB can take as much memory. It is no smaller
	// than what is read as a manifest.
	bigFile = "4m"
)

// command is one git command.
type command struct {
	args  []string
	stdin io.Reader
	// net is the connection that the command uses; nil: a local command.
	net *lease
	// once: never repeat it on a fresh connection.
	once bool
	// mirror is the directory of the mirror that it works on; empty: none.
	mirror string
	// again: it is being repeated.
	again bool
	// remote and branch are for errors and logs.
	op     string
	remote Remote
	branch string
	// stdout takes the output instead of the returned bytes.
	stdout io.Writer
	// timeout is in place of Options.Timeout.
	timeout time.Duration
	// env is added to the environment.
	env []string
}

// runner runs git: the one place where commands get their environment, their
// turn, their time and their end.
type runner struct {
	git  string // path of the git binary
	path string // PATH of the children
	home string // an empty directory: HOME of the children

	timeout   time.Duration
	slots     chan struct{}   // one per process that may run at once
	life      context.Context // every command ends with it
	cache     *cache
	log       *zap.Logger
	logFields func(context.Context) []zap.Field
	observer  Observer
}

// run runs git in an environment of its own and returns its standard output. It
// waits for a free slot, bounds the run by the timeout, and does not return
// before the whole process group is gone.
func (r *runner) run(ctx context.Context, cmd command) (answer []byte, failure error) {
	if cmd.op == "" {
		cmd.op = "git " + cmd.args[0]
	}
	ctx, stop := r.merge(ctx)
	defer stop()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, cmd.failed(&Error{cause: context.Cause(ctx)})
	}
	timeout := cmp.Or(cmd.timeout, r.timeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	out, stderr := &capped{max: maxStdout}, &tail{max: maxStderr}
	written := &counter{to: out}
	if cmd.stdout != nil {
		written.to = cmd.stdout
	}
	p := r.process(cmd)
	p.Stdin, p.Stdout, p.Stderr = cmd.stdin, written, stderr
	if cmd.net == nil {
		p.WaitDelay = timeout // no ssh holds its output: on a busy machine, the rest of it takes its time
	}
	begin := time.Now()
	defer func() {
		r.ended(ctx, finished{command: cmd, process: p, begin: begin, written: written, err: failure})
	}()
	err := runGroup(ctx, p)
	if cmd.mirror != "" && p.ProcessState != nil && (!p.ProcessState.Success() || stderr.String() != "") {
		r.cache.suspect(cmd.mirror)
	}
	if err == nil {
		return out.Bytes(), nil
	}
	e := &Error{cause: err}
	switch {
	case p.ProcessState == nil:
		e = notStarted(err)
	case ctx.Err() == context.DeadlineExceeded && time.Since(begin) >= timeout:
		e.Kind, e.After = ErrTimeout, timeout
	case ctx.Err() != nil:
		e.cause = context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay):
		// git has ended well, but something still held its output.
		e.Kind, e.Detail = ErrNetwork, "the shared connection hangs"
	default:
		text := stderr.String()
		e.Detail = detail(text)
		if cmd.net != nil {
			e.Kind = kindOf(text)
		}
	}
	return out.Bytes(), cmd.failed(e)
}

// failed says what an error is about.
func (cmd command) failed(e *Error) error {
	e.Op, e.Remote, e.Branch = cmd.op, cmd.remote.String(), cmd.branch
	return e
}

// process is git with a command's arguments, and all that it sees: nothing is
// inherited.
func (r *runner) process(cmd command) *exec.Cmd {
	p := exec.Command(r.git, append([]string{"-c", "core.bigFileThreshold=" + bigFile}, cmd.args...)...)
	p.Dir = r.home
	p.Env = append([]string{
		"PATH=" + r.path,
		"HOME=" + r.home,
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_LITERAL_PATHSPECS=1",
	}, cmd.env...)
	if cmd.net != nil {
		p.Env = append(p.Env, cmd.net.environment()...)
		return p
	}
	p.Env = append(p.Env, noSSH...)
	return p
}

// merge returns a context that ends with ctx or with the runner.
func (r *runner) merge(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.life, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

var errClosed = errors.New("operator is shutting down")

// runGroup runs p in a process group of its own. When ctx ends, the group gets
// SIGTERM, then SIGKILL; nothing of it is left when runGroup returns.
func runGroup(ctx context.Context, p *exec.Cmd) error {
	setGroup(p)
	p.WaitDelay = cmp.Or(p.WaitDelay, pipeGrace)
	if err := p.Start(); err != nil {
		return err
	}
	pgid := p.Process.Pid
	waited := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		select {
		case <-waited:
			return
		case <-ctx.Done():
		}
		syscall.Kill(-pgid, syscall.SIGTERM)
		grace := time.NewTimer(termGrace)
		defer grace.Stop()
		select {
		case <-waited:
		case <-grace.C:
		}
		syscall.Kill(-pgid, syscall.SIGKILL)
	})
	err := p.Wait()
	close(waited)
	killer.Wait()
	syscall.Kill(-pgid, syscall.SIGKILL) // whoever stayed behind
	return err
}

// notStarted is why there is no process.
func notStarted(err error) *Error {
	return &Error{Kind: ErrNotStarted, Detail: cut(err.Error(), 200), cause: err}
}

// guarded runs a function of a goroutine, and makes an error of a panic: what
// nobody foresaw must not end the operator.
func (r *runner) guarded(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			r.log.Error("panic", zap.Any("value", v), zap.Stack("stack"))
			err = &panicError{v}
		}
	}()
	return f()
}

// panicError is a panic in one of the goroutines.
type panicError struct{ value any }

func (e *panicError) Error() string {
	return fmt.Sprintf("internal error, please report it: %v", e.value)
}

// tail keeps the last max bytes written to it.
type tail struct {
	mu  sync.Mutex
	max int
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.max; over > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[over:])]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// capped is a buffer that refuses more than max bytes: a hostile server must
// not fill the memory.
type capped struct {
	bytes.Buffer
	max int
}

func (c *capped) Write(p []byte) (int, error) {
	if c.Len()+len(p) > c.max {
		return 0, errors.New("git wrote more than expected")
	}
	return c.Buffer.Write(p)
}
