package faults

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

var (
	diskFull   = newRow(50, "disk full in the cache (a small tmpfs)")
	diskLimit  = newRow(51, "no file may grow (RLIMIT_FSIZE)")
	readOnly   = newRow(52, "read-only cache")
	notAFolder = newRow(53, "a file in place of the cache directory")
)

// large is the size of the shared file where there must be something to write.
const large = 300 << 10

// disk is the operator's cache on a file system of its own, in a mount
// namespace that goes with it.
type disk struct {
	*operator
	inside []string // runs a command there
}

// serveOnDisk starts the operator with its cache on a tmpfs of so many bytes.
// Who is not root gets a user namespace, where the system allows that.
func (s *stage) serveOnDisk(bytes int) *disk {
	s.t.Helper()
	namespace := []string{"--mount"}
	enter := []string{"nsenter", "--mount"}
	if os.Getuid() != 0 {
		namespace = append(namespace, "--user", "--map-root-user")
		enter = append(enter, "--user", "--preserve-credentials")
	}
	if out, err := exec.Command("unshare", append(namespace, "mount", "-t", "tmpfs", "tmpfs", s.cluster)...).CombinedOutput(); err != nil {
		if os.Getenv("TEST_REQUIRE_MOUNT") != "" {
			s.t.Fatalf("%v: %s, and TEST_REQUIRE_MOUNT is set: run as root", err, out)
		}
		s.t.Skipf("nothing can be mounted here: %v: %s: run as root", err, out)
	}
	if err := os.MkdirAll(s.cache, 0o700); err != nil {
		s.t.Fatal(err)
	}
	mount := `mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@"`
	wrap := append(append([]string{"unshare"}, namespace...), "sh", "-c", mount, strconv.Itoa(bytes), s.cache)
	o := s.start(s.command(wrap, "serve", "--listen", "127.0.0.1:0", "--cache-dir", s.cache))
	pid := strconv.Itoa(o.cmd.Process.Pid)
	s.view = filepath.Join("/proc", pid, "root", s.cache)
	return &disk{o, append(enter, "--target", pid)}
}

// mount runs mount commands inside. What is open stays as writable as it was,
// so that a read-only view is laid over the folder instead.
func (d *disk) mount(script string) {
	d.s.t.Helper()
	argv := append(d.inside, "sh", "-ec", script, filepath.Join(d.s.cache, "0"))
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		d.s.t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// fill leaves so many bytes free, and returns what frees the rest again.
func (d *disk) fill(free int) func() {
	file := filepath.Join(d.s.view, "filler")
	f, err := os.Create(file)
	if err != nil {
		d.s.t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	st, serr := f.Stat()
	if serr != nil || !errors.Is(err, syscall.ENOSPC) {
		d.s.t.Fatal(err, serr)
	}
	if err := f.Truncate(max(0, st.Size()-int64(free))); err != nil {
		d.s.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(file); err != nil {
			d.s.t.Fatal(err)
		}
	}
}

// The room that is left is drawn anew for each pass; every other time the disk
// fills while the pass is at work.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	n := trials(3, 60)
	for first := 0; first < n; first += 25 {
		t.Run(strconv.Itoa(first), func(t *testing.T) {
			s := newBigStage(t, diskFull, large)
			random := newRandom(t)
			d := s.serveOnDisk(64 << 20)
			s.settle(d.operator)
			for i := range min(25, n-first) {
				s.advance()
				s.person(shared) // so that there is much to fetch
				wait := time.Duration(i%2) * time.Duration(random.Int64N(int64(300*time.Millisecond)))
				passed := make(chan []string)
				free := func() {}
				if wait == 0 {
					free = d.fill(random.IntN(128 << 10))
				}
				go func() { passed <- d.faulty() }()
				if wait > 0 {
					time.Sleep(wait)
					free = d.fill(0)
				}
				failures := <-passed
				free()
				d.good()
				d.idle()
				s.audit(len(failures) > 0)
			}
			d.stop()
		})
	}
}

func TestReadOnlyCache(t *testing.T) {
	t.Parallel()
	s := newStage(t, readOnly)
	d := s.serveOnDisk(64 << 20)
	s.settle(d.operator)
	for range trials(1, 20) {
		s.advance()
		s.person("notes.txt")
		d.mount(`mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"`)
		failures := d.faulty()
		if len(failures) == 0 {
			s.t.Error("nothing failed")
		}
		d.mount(`umount "$0"`)
		d.good()
		d.idle()
		s.audit(len(failures) > 0)
	}
	d.stop()
}

// The limit holds for what the operator starts, and for itself, wherever they
// write. It needs no rights.
func TestNoFileMayGrow(t *testing.T) {
	t.Parallel()
	n := trials(2, 60)
	for first := 0; first < n; first += 25 {
		t.Run(strconv.Itoa(first), func(t *testing.T) {
			s := newBigStage(t, diskLimit, large)
			random := newRandom(t)
			o := s.serve()
			s.settle(o)
			limit := func(bytes string) {
				t.Helper()
				out, err := exec.Command("prlimit", "--pid", strconv.Itoa(o.cmd.Process.Pid), "--fsize="+bytes+":unlimited").CombinedOutput()
				if err != nil {
					t.Fatalf("prlimit: %v: %s", err, out)
				}
			}
			for range min(25, n-first) {
				s.advance()
				s.person(shared)
				limit(strconv.Itoa(4096 + random.IntN(128<<10)))
				failures := o.faulty()
				limit("unlimited")
				o.good()
				o.idle()
				s.audit(len(failures) > 0)
			}
			o.stop()
		})
	}
}

func TestFileInPlaceOfTheCache(t *testing.T) {
	t.Parallel()
	s := newStage(t, notAFolder)
	o := s.serve()
	s.settle(o)
	for range trials(1, 10) {
		s.advance()
		if err := errors.Join(os.RemoveAll(s.cache), os.WriteFile(s.cache, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		failures := o.faulty()
		if len(failures) != deployments {
			t.Errorf("%d failures: %s", len(failures), failures)
		}
		if err := os.Remove(s.cache); err != nil {
			t.Fatal(err)
		}
		o.good()
		o.idle()
		s.audit(true)
	}
	o.stop()
}
