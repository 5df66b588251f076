package gitcli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Observer is told what git does and what it costs. Its methods may be called
// from any goroutine, and must not block.
type Observer interface {
	// Command tells of a command, or of a log-in, that has ended. ctx is its
	// caller's.
	Command(ctx context.Context, c Command)
	// Transferred tells of new objects that came or went, by their size in the
	// mirror, in bytes.
	Transferred(how Transfer, bytes int64)
}

// Transfer is how objects came or went.
type Transfer string

// The ways of objects.
const (
	Cloned  Transfer = "clone"
	Fetched Transfer = "fetch"
	Pushed  Transfer = "push"
)

// LogIn is the name of the command that opens a shared connection.
const LogIn = "ssh"

// Command is one git command that has ended, or a log-in.
type Command struct {
	Name     string // "fetch", "push", …, or LogIn
	Remote   string // the repository's URL, also with local commands on its mirror
	Branch   string // where there is one
	Begin    time.Time
	Duration time.Duration
	Again    bool // it was run before, on a connection that had died
	Err      error
}

type nobody struct{}

func (nobody) Command(context.Context, Command) {}
func (nobody) Transferred(Transfer, int64)      {}

// name returns the git command without the options before it.
func (cmd command) name() string {
	for i := 0; i < len(cmd.args); i++ {
		switch {
		case cmd.args[i] == "-c":
			i++
		case !strings.HasPrefix(cmd.args[i], "-"):
			return cmd.args[i]
		}
	}
	return "git"
}

// finished is a command that has run.
type finished struct {
	command
	process *exec.Cmd
	begin   time.Time
	written *counter
	err     error
}

// ended tells of a command: the log at debug level, and the observer.
func (r *runner) ended(ctx context.Context, cmd finished) {
	took, err := time.Since(cmd.begin), cmd.err
	if line := r.log.Check(zapcore.DebugLevel, "git"); line != nil {
		fields := append(r.logFields(ctx), zap.Strings("args", cmd.args), zap.Duration("duration", took),
			zap.Int("exit_code", cmd.process.ProcessState.ExitCode()), zap.Int("bytes", cmd.written.bytes))
		if cmd.remote.String() != "" {
			fields = append(fields, zap.String("repository", cmd.remote.String()), zap.String("branch", cmd.branch))
		}
		if err != nil {
			fields = append(fields, zap.Error(err))
		}
		line.Write(fields...)
	}
	if cmd.remote.String() == "" { // New is still checking
		return
	}
	name := cmd.name()
	if out, ok := cmd.written.to.(*capped); ok && err != nil && name == "push" {
		if refused := parsePush(out.String(), ""); refused != nil {
			err = refused // what git says of a refusal is not in its own error
		}
	}
	r.observer.Command(ctx, Command{Name: name, Remote: cmd.remote.String(), Branch: cmd.branch, Begin: cmd.begin, Duration: took, Again: cmd.again, Err: err})
	if err == nil {
		r.transferred(name, cmd.command, cmd.begin)
	}
}

// transferred tells what a command moved. git itself says so only in progress
// reports for people; what lies in the mirror afterwards is close to it.
func (r *runner) transferred(name string, cmd command, begin time.Time) {
	dir := strings.TrimPrefix(cmd.args[0], "--git-dir=")
	switch name {
	case "clone":
		r.observer.Transferred(Cloned, grown(cmd.args[len(cmd.args)-1], begin))
	case "fetch":
		tracking := filepath.Join(dir, "refs", "remotes", "origin", filepath.FromSlash(cmd.branch))
		if moved, err := os.Stat(tracking); err == nil && isNew(moved, begin) {
			r.observer.Transferred(Fetched, grown(dir, begin))
		}
	case "fast-import":
		r.cache.setWritten(dir, grown(dir, begin))
	case "push":
		r.observer.Transferred(Pushed, r.cache.takeWritten(dir))
	}
}

// clockTick is how far the clock that marks files may be behind.
const clockTick = 10 * time.Millisecond

func isNew(f fs.FileInfo, begin time.Time) bool { return f.ModTime().After(begin.Add(-clockTick)) }

// grown returns the size of the objects that a mirror got since begin: packs,
// and loose ones, of which only the directories that changed are read.
func grown(mirror string, begin time.Time) (size int64) {
	objects := filepath.Join(mirror, "objects")
	dirs, _ := os.ReadDir(objects) // one that is gone has not grown
	for _, dir := range dirs {
		changed, err := dir.Info()
		if err != nil || !isNew(changed, begin) {
			continue
		}
		files, _ := os.ReadDir(filepath.Join(objects, dir.Name()))
		for _, f := range files {
			if info, err := f.Info(); err == nil && isNew(info, begin) && (len(dir.Name()) == 2 || strings.HasSuffix(f.Name(), ".pack")) {
				size += info.Size()
			}
		}
	}
	return size
}

// connected tells of a log-in.
func (r *runner) connected(ctx context.Context, to Remote, cn *conn) {
	var e *Error
	if errors.As(cn.err, &e) && errors.Is(e.cause, errClosed) {
		return
	}
	r.observer.Command(ctx, Command{Name: LogIn, Remote: to.String(), Begin: cn.born, Duration: time.Since(cn.born), Err: cn.err})
}

// counter counts what is written through it.
type counter struct {
	to    interface{ Write([]byte) (int, error) }
	bytes int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.bytes += n
	return n, err
}
