package gitserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"
)

// session is one session channel, which runs at most one command.
type session struct {
	server  *Server
	key     string // what the client logged in with, in wire format
	cut     func() // closes the connection
	release func() // gives the session's slot back

	channel  ssh.Channel
	protocol string // GIT_PROTOCOL, as the client asked for it

	mu   sync.Mutex // held while sending, so that the count is exact
	sent int64      // bytes
}

// serve returns when the channel has gone, alone or with its connection, and
// everything started for it as well.
func (s *session) serve(offer ssh.NewChannel) {
	defer s.release()
	channel, requests, err := offer.Accept()
	if err != nil {
		return // the connection has gone
	}
	s.channel = channel
	s.server.counters.session()

	var working sync.WaitGroup
	defer working.Wait()
	ctx, gone := context.WithCancel(context.Background())
	defer gone()

	started := false
	for request := range requests {
		var command func() int
		accepted := false
		switch {
		case started:
			// One command a session, and no change to it once it runs.
		case request.Type == "env":
			accepted = s.setEnv(request.Payload)
		case request.Type == "shell":
			command = s.shell
		case request.Type == "exec":
			var exec struct{ Command string }
			if ssh.Unmarshal(request.Payload, &exec) == nil {
				command = func() int { return s.exec(ctx, &working, exec.Command) }
			}
		}
		if command != nil {
			accepted, started = true, true
		}
		if request.WantReply {
			request.Reply(accepted, nil)
		}
		if command != nil {
			working.Go(func() { s.finish(command()) })
		}
	}
}

// setEnv takes the one variable that git's protocol needs, as AcceptEnv does.
func (s *session) setEnv(payload []byte) bool {
	var env struct{ Name, Value string }
	if ssh.Unmarshal(payload, &env) != nil || env.Name != "GIT_PROTOCOL" {
		return false
	}
	s.protocol = env.Value
	return true
}

// finish tells the client how its command ended. The slot is free before the
// client can know, so that its next session is not refused. The exit status
// goes first: a client that has seen the end of the output may close the channel,
// and would take a status that did not come for a failure.
func (s *session) finish(code int) {
	s.release()
	s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
	s.channel.CloseWrite()
	s.channel.Close()
}

func (s *session) shell() int {
	io.WriteString(s.stderr(), "Hi! You've successfully authenticated, but this server does not provide shell access.\n")
	return 1
}

// exec runs a command line and returns its exit code.
func (s *session) exec(ctx context.Context, working *sync.WaitGroup, line string) int {
	words, err := splitCommand(line)
	if err != nil {
		fmt.Fprintf(s.stderr(), "ERROR: %v.\n", err)
		return 1
	}
	service, args := gitService(words)
	if service == "" {
		fmt.Fprintf(s.stderr(), "%s: command not found\n", words[0])
		return 127
	}
	if len(args) != 1 {
		fmt.Fprintf(s.stderr(), "usage: git-%s '<repository>'\n", service)
		return 1
	}

	repo, dir, found := s.server.repository(args[0])
	if !found {
		s.server.logf("%s %q: not found", service, args[0])
		return s.notFound(128) // what git says of a folder that is not there
	}
	if !s.server.access.allows(s.key, repo) {
		s.server.logf("%s %q: not allowed for this key", service, repo)
		return s.notFound(1) // what hosts say without asking git
	}
	s.server.counters.command(repo, service, s.protocol)

	for {
		lifted := s.server.faults.stalled(repo)
		if lifted == nil {
			break
		}
		s.server.logf("%s %q: stalled", service, repo)
		select {
		case <-lifted:
		case <-ctx.Done():
			return 255
		}
	}
	if service == "receive-pack" {
		return s.receivePack(ctx, working, repo, dir)
	}
	return s.git(ctx, working, s.stdout(), "upload-pack", "--strict", dir)
}

func (s *session) notFound(code int) int {
	// The client's git adds: "fatal: Could not read from remote repository."
	io.WriteString(s.stderr(), "ERROR: Repository not found.\n")
	return code
}

func (s *session) receivePack(ctx context.Context, working *sync.WaitGroup, repo, dir string) int {
	if hook := s.server.faults.now().onReceivePack; hook != nil {
		hook(repo)
	}
	reply := &pushReply{
		next:    s.stdout(),
		hold:    func() bool { return s.server.faults.now().cutPushReply },
		updated: sync.OnceFunc(func() { s.server.counters.push(repo) }),
	}
	code := s.git(ctx, working, reply, "receive-pack", dir)
	if reply.held {
		s.server.logf("receive-pack %q: cut before its report", repo)
		s.cut()
	}
	return code
}

func (s *session) stdout() io.Writer { return output{s, s.channel} }
func (s *session) stderr() io.Writer { return output{s, s.channel.Stderr()} }

// output writes to one of a session's streams, and cuts the connection where
// CutAfter says.
type output struct {
	*session
	stream io.Writer
}

var errCut = errors.New("the connection is cut")

func (o output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	limit := o.server.faults.now().cutAfter
	if limit <= 0 || o.sent+int64(len(p)) < limit {
		n, err := o.stream.Write(p)
		o.sent += int64(n)
		return n, err
	}
	n, err := o.stream.Write(p[:max(limit-o.sent, 0)])
	o.sent += int64(n)
	o.server.logf("cut after %d bytes", o.sent)
	o.cut()
	return n, errors.Join(err, errCut)
}
