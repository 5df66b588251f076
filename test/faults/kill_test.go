package faults

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var (
	killedAtRandom = newRow(10, "operator killed at a random moment of `reconcile`")
	killedServing  = newRow(11, "operator killed at a random moment of a pass of `serve`")
	killedAtPush   = newRow(12, "operator killed when the server gets, checks, or has taken its push")
)

// The moments are spread evenly over what a whole run takes, its start and its
// end included.
func TestOperatorKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	batches(t, killedAtRandom, trials(5, 120), func(s *stage, first, end int) {
		random := newRandom(s.t)
		var whole time.Duration
		for range 2 { // the second with a warm cache
			s.advance()
			begin := time.Now()
			s.goodOnce()
			whole = time.Since(begin)
		}
		for range end - first {
			s.advance()
			cmd := s.once(io.Discard, io.Discard)
			time.Sleep(time.Duration(random.Int64N(int64(whole))))
			run := runFolder(cmd.Process.Pid)
			cmd.Process.Kill()
			err := cmd.Wait()
			s.goodOnce()
			s.gone(run)
			s.audit(err != nil)
		}
	})
}

func TestServingOperatorKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	batches(t, killedServing, trials(3, 80), func(s *stage, first, end int) {
		random := newRandom(s.t)
		o := s.serve()
		s.advance()
		o.good()
		s.advance()
		begin := time.Now()
		o.good()
		whole := time.Since(begin)
		for range end - first {
			s.advance()
			answered := make(chan error, 1)
			go func() {
				_, err := o.pass()
				answered <- err
			}()
			time.Sleep(time.Duration(random.Int64N(int64(whole))))
			o.kill()
			err := <-answered
			dead := o.run
			o = s.serve()
			o.good()
			s.gone(dead)
			s.audit(err != nil)
		}
		o.stop()
	})
}

// The hooks of the repository kill it, so the moments are exact: before the
// server looks at the push, when it has all of it, while it updates the branch,
// and after that, before it says so.
func TestOperatorKilledAtItsPush(t *testing.T) {
	t.Parallel()
	moments := []string{"arrival", "pre-receive", "update", "post-receive"}
	batches(t, killedAtPush, trials(4, 60), func(s *stage, first, end int) {
		pid := filepath.Join(s.t.TempDir(), "pid")
		for i := first; i < end; i++ {
			s.advance()
			moment := moments[i%len(moments)]
			o := s.serve()
			if moment == "arrival" {
				s.Server.OnReceivePack(func(string) { o.cmd.Process.Kill() })
			} else {
				if err := os.WriteFile(pid, fmt.Appendln(nil, o.cmd.Process.Pid), 0o600); err != nil {
					s.t.Fatal(err)
				}
				s.hook(moment, "kill -9 $(cat "+pid+")\n")
			}
			_, err := o.pass()
			s.Server.OnReceivePack(nil)
			s.hook(moment, "")
			<-o.ended
			s.goodOnce()
			s.gone(o.run)
			s.audit(err != nil)
		}
	})
}

// hook sets a hook of the manifests repository, or removes it.
func (s *stage) hook(name, script string) {
	s.t.Helper()
	file := filepath.Join(s.Repo(manifests).Dir, "hooks", name)
	if script == "" {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			s.t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		s.t.Fatal(err)
	}
}
