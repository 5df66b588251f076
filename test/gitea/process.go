package gitea

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// process is a running program. Its output goes to a file.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// startProcess starts a program in dir. It ends with kill, and with this
// process.
func startProcess(dir string, env []string, program string, args ...string) (*process, error) {
	p := &process{
		cmd:  exec.Command(program, args...),
		log:  filepath.Join(dir, filepath.Base(program)+".log"),
		done: make(chan struct{}),
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Env = env
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, log, log
	p.cmd.SysProcAttr = endWithParent()
	started := make(chan error)
	go func() {
		// The parent, to the kernel, is the thread that started it.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.cmd.Wait()
		}
		close(p.done)
	}()
	return p, <-started
}

// ended says whether the program runs no more.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// tail returns the last lines of the program's output.
func (p *process) tail() string {
	const lines = 20
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
