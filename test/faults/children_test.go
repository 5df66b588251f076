package faults

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	gitKilled = newRow(20, "one of the operator's git processes killed")
	sshKilled = newRow(21, "one of the operator's ssh processes killed")
)

func TestGitKilled(t *testing.T) {
	t.Parallel()
	killChildren(t, "git", gitKilled, trials(3, 100))
}

func TestSSHKilled(t *testing.T) {
	t.Parallel()
	killChildren(t, "ssh", sshKilled, trials(2, 100))
}

// killChildren kills, at a random moment of each pass, a random child or
// grandchild of that name. A pass in which there was none to kill is not
// counted, and tried again.
func killChildren(t *testing.T, program string, r *row, n int) {
	batches(t, r, n, func(s *stage, first, end int) {
		random := newRandom(s.t)
		o := s.serve()
		s.advance()
		begin := time.Now()
		o.good()
		whole := time.Since(begin)
		for trial, tries := first, 0; trial < end; tries++ {
			if tries > 20*(end-first) {
				s.t.Fatalf("after %d passes, %s was killed in %d", tries, program, trial-first)
			}
			s.advance()
			passed := make(chan struct{})
			killed := make(chan bool)
			moment := time.Duration(random.Int64N(int64(whole)))
			go func() {
				time.Sleep(moment)
				for {
					victims := slices.DeleteFunc(descendants(o.cmd.Process.Pid), func(p process) bool { return p.name != program })
					if len(victims) > 0 {
						killed <- syscall.Kill(victims[random.IntN(len(victims))].pid, syscall.SIGKILL) == nil
						return
					}
					select {
					case <-passed:
						killed <- false
						return
					default:
					}
				}
			}()
			o.faulty()
			close(passed)
			hit := <-killed
			o.good()
			if hit {
				trial++
				o.idle()
				s.audit(true)
			}
		}
		o.stop()
	})
}

// idle checks that an operator between two passes has no process but its
// connections, no key file, and no socket but theirs.
func (o *operator) idle() {
	o.s.t.Helper()
	left := eventually(o.s.t, func() (left []string) {
		masters := 0
		for _, p := range descendants(o.cmd.Process.Pid) {
			if p.name == "ssh" {
				masters++
			} else {
				left = append(left, "process "+p.name)
			}
		}
		files, _ := os.ReadDir(o.run)
		var sockets []string
		for _, f := range files {
			switch {
			case f.Type()&os.ModeSocket != 0:
				sockets = append(sockets, filepath.Join(o.run, f.Name()))
			case strings.HasPrefix(f.Name(), "k-"):
				left = append(left, "key "+f.Name())
			}
		}
		if len(sockets) > masters {
			left = append(left, sockets...)
		}
		return left
	})
	for _, l := range left {
		o.s.t.Errorf("left behind: %s", l)
	}
	o.s.row.add(counts{leftovers: len(left)})
}
