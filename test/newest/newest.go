// Package newest builds the newest git and OpenSSH that Debian has the sources
// of, for tests: what people run is newer than what a stable distribution
// installs. The sources come through apt, with lists and settings of its own,
// so that the machine's are left alone. It writes below the user's cache
// directory only.
package newest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// ErrNoApt says that this machine has no apt-get, so that nothing can be
// fetched.
var ErrNoApt = errors.New("no apt-get here")

// Build is one program's newest version, installed in a directory of its own.
type Build struct {
	Name    string // git or openssh
	Version string // upstream's, such as 2.55.0 or 10.3p1
	Dir     string // with bin and, for OpenSSH, sbin; it cannot be moved
}

func (b Build) String() string { return b.Name + " " + b.Version }

// recipe is how one program is built.
type recipe struct {
	pkg       string   // Debian's source package
	proof     string   // a file that exists when the build is complete
	configure []string // a command and its arguments; PREFIX is the directory
	make      []string // arguments of make
	install   []string // targets of make, and arguments
}

var recipes = []recipe{{
	pkg:   "git",
	proof: "bin/git",
	// Without what needs Rust, Perl, Python or Tcl: nothing here uses it.
	make: []string{"prefix=PREFIX", "CFLAGS=-O2", "NO_RUST=1", "NO_PERL=1", "NO_PYTHON=1", "NO_TCLTK=1",
		"NO_GETTEXT=1", "NO_EXPAT=1", "NO_OPENSSL=1", "NO_INSTALL_HARDLINKS=1", "INSTALL_SYMLINKS=1"},
	install: []string{"install"},
}, {
	pkg:       "openssh",
	proof:     "sbin/sshd",
	configure: []string{"./configure", "-q", "--prefix=PREFIX", "--without-pam", "--with-privsep-path=/run/sshd"},
	install:   []string{"install-files"},
}}

// Install builds git and OpenSSH, unless they are there, and returns them, git
// first. What happens is written to log. The error wraps ErrNoApt on a machine
// that cannot have them.
func Install(ctx context.Context, log io.Writer) ([]Build, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, fmt.Errorf("build the newest git and OpenSSH: %w", ErrNoApt)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	parent := filepath.Join(cache, "gitops-operator-test")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(parent, "build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	apt, err := newArchive(ctx, work)
	if err != nil {
		return nil, err
	}
	var builds []Build
	for _, r := range recipes {
		b, err := r.build(ctx, apt, parent, log)
		if err != nil {
			return nil, fmt.Errorf("build the newest %s: %w", r.pkg, err)
		}
		builds = append(builds, b)
	}
	return builds, nil
}

// build builds the newest version that can be fetched. A mirror may lack the
// very newest for a while, although its list has it.
func (r recipe) build(ctx context.Context, apt *archive, parent string, log io.Writer) (Build, error) {
	sources, err := apt.sources(ctx, r.pkg)
	if err != nil {
		return Build{}, err
	}
	var failures []error
	for _, s := range sources {
		b := Build{Name: r.pkg, Version: s.version, Dir: filepath.Join(parent, r.pkg+"-"+s.version)}
		if _, err := os.Stat(filepath.Join(b.Dir, r.proof)); err == nil {
			return b, nil
		}
		tarball, err := apt.fetch(ctx, s)
		if err != nil {
			fmt.Fprintf(log, "%s cannot be had: %v\n", b, err)
			failures = append(failures, err)
			continue
		}
		fmt.Fprintf(log, "building %s into %s: once, and it takes minutes\n", b, b.Dir)
		start := time.Now()
		if err := r.compile(ctx, tarball, b.Dir); err != nil {
			return Build{}, err
		}
		fmt.Fprintf(log, "built in %s\n", time.Since(start).Round(time.Second))
		return b, nil
	}
	return Build{}, errors.Join(failures...)
}

// compile builds a tarball's content and puts it at dir when it is complete, so
// that a build that is cut leaves nothing half.
func (r recipe) compile(ctx context.Context, tarball, dir string) error {
	root := tarball + ".d"
	source, staged := filepath.Join(root, "source"), filepath.Join(root, "staged")
	if err := os.MkdirAll(source, 0o755); err != nil {
		return err
	}
	jobs := "-j" + strconv.Itoa(runtime.NumCPU())
	steps := [][]string{
		{"tar", "-xf", tarball, "--strip-components=1"},
		r.configure,
		append([]string{"make", "-s", jobs}, r.make...),
		append(append([]string{"make", "-s", "DESTDIR=" + staged}, r.make...), r.install...),
	}
	for _, step := range steps {
		if len(step) == 0 {
			continue
		}
		argv := strings.Split(strings.ReplaceAll(strings.Join(step, "\x00"), "PREFIX", dir), "\x00")
		if _, err := run(ctx, source, nil, argv...); err != nil {
			return fmt.Errorf("%w (it needs make, a C compiler, xz and the packages zlib1g-dev, libssl-dev and libcurl4-gnutls-dev)", err)
		}
	}
	if err := os.Rename(filepath.Join(staged, dir), dir); err != nil {
		if _, serr := os.Stat(filepath.Join(dir, r.proof)); serr != nil { // another build may have been first
			return err
		}
	}
	return nil
}

// run runs a program and returns its standard output. The error has the end of
// what it wrote.
func run(ctx context.Context, dir string, env []string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(env, "LC_ALL=C")...)
	var stdout, all strings.Builder
	cmd.Stdout = io.MultiWriter(&stdout, &all)
	cmd.Stderr = &all
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(all.String())
		return "", fmt.Errorf("run %s: %w: %s", argv[0], err, text[max(0, len(text)-2000):])
	}
	return stdout.String(), nil
}
