package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/kainlite/gitops-operator/test/gitserver"
)

// serverCommand is the argument with which this program runs as the SSH git
// server: in a process of its own, what it costs is neither the operator's nor
// the bench's.
const serverCommand = "ssh-git-server"

// order is one line of JSON on the server's standard input, and reply is one
// line that answers it.
type order struct {
	Delay *time.Duration `json:",omitempty"` // on each chunk of data, in each direction
	Stall string         `json:",omitempty"` // this repository hangs from now on
	Lift  string         `json:",omitempty"` // and does not any more
	Reset bool           `json:",omitempty"` // the counts begin at zero
}

type reply struct {
	Addr       string
	KnownHosts []byte
	Stats      gitserver.Stats
}

// runServer serves the repositories below root to the owner of a key, until
// its standard input ends.
func runServer(root, authorized string) error {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(authorized))
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	s, err := gitserver.Start(gitserver.Options{Root: root, AuthorizedKeys: []ssh.PublicKey{key}})
	if err != nil {
		return err
	}
	defer s.Close()
	orders, replies := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		if err := replies.Encode(reply{Addr: s.Addr(), KnownHosts: s.KnownHosts(), Stats: s.Stats()}); err != nil {
			return err
		}
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		if o.Delay != nil {
			s.Delay(*o.Delay)
		}
		if o.Stall != "" {
			s.Stall(o.Stall, true)
		}
		if o.Lift != "" {
			s.Stall(o.Lift, false)
		}
		if o.Reset {
			s.ResetStats()
		}
	}
}

// server is the running server process.
type server struct {
	reply // the first one
	cmd   *exec.Cmd
	in    io.WriteCloser

	mu      sync.Mutex
	replies *json.Decoder
}

func startServer(root, authorized string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.Command(self, serverCommand, root, authorized)}
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start git server: %w", err)
	}
	s.replies = json.NewDecoder(bufio.NewReader(out))
	if err := s.replies.Decode(&s.reply); err != nil {
		s.close()
		return nil, fmt.Errorf("start git server: %w", err)
	}
	return s, nil
}

// tell gives an order and returns the counts after it.
func (s *server) tell(o order) (gitserver.Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var r reply
	err := json.NewEncoder(s.in).Encode(o)
	if err == nil {
		err = s.replies.Decode(&r)
	}
	if err != nil {
		return r.Stats, fmt.Errorf("ask git server: %w", err)
	}
	return r.Stats, nil
}

// latency adds d to each round trip.
func (s *server) latency(d time.Duration) error {
	half := d / 2
	_, err := s.tell(order{Delay: &half})
	return err
}

func (s *server) url(repo string) string { return "ssh://git@" + s.Addr + "/" + repo + ".git" }

func (s *server) close() {
	s.in.Close()
	s.cmd.Wait()
}
