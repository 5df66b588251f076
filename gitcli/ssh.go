package gitcli

import (
	"context"
	"net"
	"os/exec"
	"strings"
)

// What is particular to SSH: the options of ssh, how git is told to use it, and
// the process of a shared connection.

// sshOptions are those of every ssh that uses a key, on the connection that a
// socket leads to. hosts is a known_hosts file.
func sshOptions(id *Identity, hosts, socket string) []string {
	return []string{
		"-F", "none", "-i", id.keyFile(),
		"-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "PreferredAuthentications=publickey",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + hosts,
		"-o", "GlobalKnownHostsFile=/dev/null", "-o", "UpdateHostKeys=no",
		"-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
		"-o", "ControlPath=" + socket,
	}
}

// gitSSH is GIT_SSH_COMMAND, quoted for a shell; git adds the host.
func gitSSH(ssh string, options []string) string {
	var b strings.Builder
	for _, w := range append([]string{ssh, "-o", "ControlMaster=no"}, options...) {
		b.WriteString("'" + strings.ReplaceAll(w, "'", `'\''`) + "' ")
	}
	return b.String()
}

// noSSH is the environment of commands that have nothing to do with a remote.
var noSSH = []string{"GIT_ALLOW_PROTOCOL=ssh", "GIT_SSH_VARIANT=ssh", "GIT_SSH_COMMAND=false"}

// environment makes git use the connection.
func (l *lease) environment() []string {
	return []string{"GIT_ALLOW_PROTOCOL=ssh", "GIT_SSH_VARIANT=ssh", "GIT_SSH_COMMAND=" + gitSSH(l.pool.ssh, l.options)}
}

// master is the ssh that keeps a shared connection to a remote's host.
func (p *connections) master(r Remote, options []string, stderr *tail) *exec.Cmd {
	// One -M: with ControlMaster=yes beside it, ssh asks before each session.
	// The sessions' own SendEnv does not count: without it here, git would fall
	// back to the protocol that lists every ref of a repository.
	args := append(options, "-o", "SendEnv=GIT_PROTOCOL", "-o", "ControlPersist=no", "-M", "-N")
	if r.Port() != "" {
		args = append(args, "-p", r.Port())
	}
	cmd := exec.Command(p.ssh, append(args, "--", r.User()+"@"+r.Host())...)
	cmd.Env = []string{"PATH=" + p.runner.path, "HOME=" + p.runner.home, "LC_ALL=C"}
	cmd.Dir = p.runner.home
	cmd.Stderr = stderr
	return cmd
}

// whyEnded is the failure of a connection whose ssh has ended.
func whyEnded(ctx context.Context, cmd *exec.Cmd, stderr *tail, err error) *Error {
	switch {
	case ctx.Err() != nil:
		return &Error{cause: errClosed}
	case cmd.ProcessState == nil:
		return notStarted(err)
	}
	text := stderr.String()
	return &Error{Kind: kindOf(text), Detail: detail(text), cause: err}
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
