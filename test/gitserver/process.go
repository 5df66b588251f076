package gitserver

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// grace is how long git has to clean up when its client has gone, and how long
// what it wrote by then may take to be read.
const grace = 3 * time.Second

// patience is how long git may take to notice that its client has gone.
const patience = 2 * time.Second

// git runs the system's git for the session and returns its exit code, 255 if
// a signal ended it. Its process group does not outlive it. If ctx ends, the
// group ends by itself, is told to stop, or is killed, in this order.
func (s *session) git(ctx context.Context, working *sync.WaitGroup, stdout io.Writer, args ...string) int {
	code, err := s.startGit(ctx, working, stdout, args)
	if err != nil {
		s.server.logf("git %s: %v", args[0], err)
		fmt.Fprintln(s.stderr(), "ERROR: Internal error.")
		return 1
	}
	return code
}

func (s *session) startGit(ctx context.Context, working *sync.WaitGroup, stdout io.Writer, args []string) (int, error) {
	// The repositories may belong to another user. Maintenance would go on in
	// the background, in a process group of its own.
	config := []string{"-c", "safe.directory=*", "-c", "receive.autogc=false", "-c", "gc.auto=0"}
	cmd := exec.CommandContext(ctx, s.server.git, append(config, args...)...)
	cmd.Dir = s.server.root.Name()
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=/nonexistent",
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
	}
	if s.protocol != "" {
		cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+s.protocol)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return end(-cmd.Process.Pid) }
	cmd.WaitDelay = grace

	// Pipes of our own: those of exec are closed when git exits, with output
	// in them that a slow client has yet to read.
	out, outEnd, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer out.Close()
	errs, errsEnd, err := os.Pipe()
	if err != nil {
		outEnd.Close()
		return 0, err
	}
	defer errs.Close()
	cmd.Stdout, cmd.Stderr = outEnd, errsEnd
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	outEnd.Close()
	errsEnd.Close()
	if err != nil {
		return 0, err
	}

	// Ends with the channel, which may be after git.
	working.Go(func() {
		io.Copy(stdin, s.channel)
		stdin.Close()
	})
	var copying sync.WaitGroup
	copying.Go(func() { copyOutput(stdout, out) })
	copying.Go(func() { copyOutput(s.stderr(), errs) })
	copied := make(chan struct{})
	go func() {
		copying.Wait()
		close(copied)
	}()

	_ = cmd.Wait() // the exit code says it all
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	select {
	case <-copied:
	case <-ctx.Done():
		// A process that left the group may hold the pipes open.
		out.SetReadDeadline(time.Now().Add(grace))
		errs.SetReadDeadline(time.Now().Add(grace))
		<-copied
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 255, nil
}

// end ends a process group whose client has gone. As with sshd, git is to notice
// that by itself, and what it has begun to update it updates: a signal in the
// wrong instant would leave a lock behind. Only where that takes long it gets
// SIGTERM, on which it removes its lock files.
func end(group int) error {
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(10 * time.Millisecond) {
		if syscall.Kill(group, 0) == syscall.ESRCH {
			return nil
		}
	}
	return syscall.Kill(group, syscall.SIGTERM)
}

// copyOutput closes the pipe when the client takes no more, so that git is not
// left writing to it.
func copyOutput(to io.Writer, from *os.File) {
	io.Copy(to, from)
	from.Close()
}
