package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// envSpec makes this test's program the first process of a container.
const envSpec = "CONTAINER_SPEC"

// spec is a container.
type spec struct {
	Root   string // an empty directory
	UID    int
	Dir    string
	Env    []string
	Argv   []string
	Mounts []mount
	Files  map[string]string // by path
	Links  map[string]string // by path
}

// mount is a file system in the container.
type mount struct {
	Path     string
	Source   string // what is bound; empty: a tmpfs
	Size     int64  // of the tmpfs, in bytes
	ReadOnly bool
}

func TestMain(m *testing.M) {
	if text := os.Getenv(envSpec); text != "" {
		var s spec
		err := json.Unmarshal([]byte(text), &s)
		if err == nil {
			err = s.run()
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "container:", err)
		os.Exit(70)
	}
	os.Exit(m.Run())
}

// command returns the command that runs the container in namespaces of its own
// for mounts, processes and IPC. Its network is this machine's.
func (s spec) command() (*exec.Cmd, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{envSpec + "=" + string(text)}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	return cmd, nil
}

// run is the container's first process: it mounts, starts the program, passes
// SIGTERM on and reaps what is orphaned, as the image's tini does.
func (s spec) run() error {
	runtime.LockOSThread() // what prctl sets belongs to the thread that starts the program
	if err := s.enter(); err != nil {
		return err
	}
	for capability := range uintptr(64) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no new privileges: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	p, err := os.StartProcess(s.Argv[0], s.Argv, &os.ProcAttr{
		Dir: s.Dir, Env: s.Env, Files: []*os.File{nil, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(s.UID), Gid: uint32(s.UID)}},
	})
	if err != nil {
		return err
	}
	go func() {
		for range signals {
			p.Signal(syscall.SIGTERM)
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case pid == p.Pid && status.Signaled():
			os.Exit(128 + int(status.Signal()))
		case pid == p.Pid:
			os.Exit(status.ExitStatus())
		}
	}
}

// enter makes the root file system and moves into it.
func (s spec) enter() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("tmpfs", s.Root, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	for path, text := range s.Files {
		if err := write(filepath.Join(s.Root, path), text); err != nil {
			return err
		}
	}
	for path, to := range s.Links {
		path = filepath.Join(s.Root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(to, path)); err != nil {
			return err
		}
	}
	for _, m := range s.Mounts {
		if err := s.mount(m); err != nil {
			return fmt.Errorf("mount %s: %w", m.Path, err)
		}
	}
	for _, dir := range []string{"proc", "old"} {
		if err := os.MkdirAll(filepath.Join(s.Root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := syscall.Mount("proc", filepath.Join(s.Root, "proc"), "proc", 0, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := syscall.PivotRoot(s.Root, filepath.Join(s.Root, "old")); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := syscall.Unmount("/old", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	if err := os.Remove("/old"); err != nil {
		return err
	}
	return syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
}

func (s spec) mount(m mount) error {
	target := filepath.Join(s.Root, m.Path)
	if m.Source == "" {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		options := "mode=777" // as the kubelet makes an emptyDir
		if m.Size > 0 {
			options += fmt.Sprintf(",size=%d", m.Size)
		}
		var flags uintptr
		if m.ReadOnly {
			flags = syscall.MS_RDONLY
		}
		return syscall.Mount("tmpfs", target, "tmpfs", flags, options)
	}
	st, err := os.Stat(m.Source)
	if err != nil {
		return err
	}
	if st.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if _, terr := os.Stat(target); terr != nil {
		err = write(target, "")
	}
	if err != nil {
		return err
	}
	if err := syscall.Mount(m.Source, target, "", syscall.MS_BIND, ""); err != nil || !m.ReadOnly {
		return err
	}
	return syscall.Mount("", target, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// machine is what the container takes from this machine: its programs and
// libraries, and the device files that every container has.
func machine() (mounts []mount, links map[string]string, err error) {
	links = map[string]string{}
	for _, dir := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib64"} {
		to, err := os.Readlink(dir)
		switch {
		case err == nil:
			links[dir] = to
		case !errors.Is(err, os.ErrNotExist): // a directory is no link
			mounts = append(mounts, mount{Path: dir, Source: dir, ReadOnly: true})
		}
	}
	if !slices.ContainsFunc(mounts, func(m mount) bool { return m.Path == "/usr" }) {
		return nil, nil, errors.New("no directory /usr")
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		mounts = append(mounts, mount{Path: "/dev/" + name, Source: "/dev/" + name})
	}
	return mounts, links, nil
}
