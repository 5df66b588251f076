package gitcli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Why a path of a commit cannot be edited.
var (
	ErrPathMissing = errors.New("no such file")
	ErrNotRegular  = errors.New("not a regular file")
	ErrTooLarge    = errors.New("file is too large")
)

const (
	// maxArgBytes bounds the paths on one command line, well below what Linux
	// allows.
	maxArgBytes = 256 << 10
	// maxArgPaths bounds their number: git compares each entry of a directory with
	// every path that it is asked for.
	maxArgPaths = 1000
)

// Entry is a regular file of a commit.
type Entry struct {
	Mode string // "100644" or "100755"
	ID   string // of its content
	Err  error  // why it cannot be read; then the rest is not set
}

// List looks up files of a commit by their canonical paths. A path that cannot
// be read (missing, a directory, a symbolic link, a submodule, over maxSize bytes)
// has its reason in Entry.Err; the error is for the mirror as a whole.
func (m *Mirror) List(ctx context.Context, commit string, paths []string, maxSize int64) (map[string]Entry, error) {
	entries := make(map[string]Entry, len(paths))
	for len(paths) > 0 {
		n, size := 0, 0
		for n < min(len(paths), maxArgPaths) && (n == 0 || size+len(paths[n]) < maxArgBytes) {
			size += len(paths[n]) + 1
			n++
		}
		if err := m.list(ctx, commit, paths[:n], maxSize, entries); err != nil {
			return nil, err
		}
		paths = paths[n:]
	}
	return entries, nil
}

func (m *Mirror) list(ctx context.Context, commit string, paths []string, maxSize int64, entries map[string]Entry) error {
	out, err := m.c.runner.run(ctx, m.local("list files", append([]string{"ls-tree", "-z", "-l", "-t", "--full-tree", commit, "--"}, paths...)...))
	if err != nil {
		return err
	}
	for _, p := range paths {
		entries[p] = Entry{Err: ErrPathMissing}
	}
	listed := make(map[string]bool, len(paths))
	for line := range bytes.SplitSeq(out, []byte{0}) {
		head, name, ok := strings.Cut(string(line), "\t")
		fields := strings.Fields(head)
		if _, wanted := entries[name]; !ok || !wanted || len(fields) != 4 {
			continue
		}
		if listed[name] { // readers do not agree on which of them counts
			entries[name] = Entry{Err: fmt.Errorf("%w: it stands twice in its directory", ErrNotRegular)}
			continue
		}
		listed[name] = true
		e := Entry{Mode: fields[0], ID: fields[2]}
		switch e.Mode {
		case "100644", "100755", "100664":
			if e.Mode == "100664" { // of old; fast-import does not know it
				e.Mode = "100644"
			}
			size, err := strconv.ParseInt(fields[3], 10, 64)
			if err != nil {
				return fmt.Errorf("read size of %s: %w", name, err)
			}
			if size > maxSize {
				e = Entry{Err: fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, size, maxSize)}
			}
		case "120000":
			e = Entry{Err: fmt.Errorf("%w: a symbolic link: give the path of the file itself", ErrNotRegular)}
		case "160000":
			e = Entry{Err: fmt.Errorf("%w: a submodule", ErrNotRegular)}
		default:
			e = Entry{Err: fmt.Errorf("%w: a directory", ErrNotRegular)}
		}
		entries[name] = e
	}
	return nil
}

// Changed returns the paths that differ between two commits of the mirror.
func (m *Mirror) Changed(ctx context.Context, from, to string) (map[string]bool, error) {
	out, err := m.c.runner.run(ctx, m.local("compare", "diff-tree", "-r", "-z", "--no-renames", "--name-only", from, to))
	if err != nil {
		return nil, err
	}
	changed := map[string]bool{}
	for name := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		changed[string(name)] = true
	}
	return changed, nil
}

// Load reads the contents of files by their IDs, in one git process. Each is
// given to visit, with its index, in order and one after the other.
func (m *Mirror) Load(ctx context.Context, ids []string, visit func(i int, content []byte)) error {
	if len(ids) == 0 {
		return nil
	}
	r, w := io.Pipe()
	cmd := m.local("read files", "cat-file", "--batch")
	cmd.stdin, cmd.stdout = strings.NewReader(strings.Join(ids, "\n")+"\n"), w
	parsed := make(chan error, 1)
	go func() {
		err := m.c.runner.guarded(func() error { return parseBatch(bufio.NewReaderSize(r, 64<<10), ids, visit) })
		r.CloseWithError(err)
		parsed <- err
	}()
	_, err := m.c.runner.run(ctx, cmd)
	w.Close()
	perr := <-parsed
	if panicked, ok := errors.AsType[*panicError](perr); ok {
		return panicked
	}
	if err == nil && perr != nil {
		err = &Error{Op: cmd.op, Remote: m.remote.String(), Branch: m.branch, cause: perr}
	}
	return err
}

func parseBatch(r *bufio.Reader, ids []string, visit func(i int, content []byte)) error {
	for i, id := range ids {
		head, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read object %s: %w", id, err)
		}
		fields := strings.Fields(head)
		if len(fields) != 3 || fields[0] != id || fields[1] != "blob" {
			return fmt.Errorf("read object %s: git cat-file answered %.80q", id, head)
		}
		size, err := strconv.Atoi(fields[2])
		if err != nil || size < 0 {
			return fmt.Errorf("read object %s: git cat-file answered %.80q", id, head)
		}
		content := make([]byte, size)
		if _, err := io.ReadFull(r, content); err != nil {
			return fmt.Errorf("read object %s: %w", id, err)
		}
		if _, err := r.Discard(1); err != nil {
			return fmt.Errorf("read object %s: %w", id, err)
		}
		visit(i, content)
	}
	return nil
}

// ContentID returns the ID that git gives to a file's content, in a repository
// whose IDs look like the given one.
func ContentID(content []byte, like string) string {
	h := sha1.New()
	if len(like) == 2*sha256.Size {
		h = sha256.New()
	}
	fmt.Fprintf(h, "blob %d\x00", len(content))
	h.Write(content)
	return hex.EncodeToString(h.Sum(nil))
}
