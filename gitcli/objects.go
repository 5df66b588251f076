package gitcli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Why a path of a commit cannot be edited.
var (
	ErrPathMissing = errors.New("no such file")
	ErrNotRegular  = errors.New("not a regular file")
	ErrTooLarge    = errors.New("file is too large")
)

// maxArgBytes bounds the paths on one command line, well below what Linux
// allows.
const maxArgBytes = 256 << 10

// Blob is a regular file of a commit.
type Blob struct {
	Mode    string // "100644" or "100755"
	ID      string // the object's name
	Content []byte
	Err     error // why it cannot be read; then the rest is not set
}

// CheckPath returns the canonical form of a path inside a repository, or says
// why it is none: absolute, leaving the repository, or not printable.
func CheckPath(p string) (string, error) {
	clean := path.Clean(p)
	switch {
	case p == "" || clean == ".":
		return "", errors.New("path is empty")
	case !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", fmt.Errorf("path %.200q has unprintable characters", p)
	case path.IsAbs(p):
		return "", fmt.Errorf("path %.200q is absolute: give it from the repository's top folder", p)
	case clean == ".." || strings.HasPrefix(clean, "../"):
		return "", fmt.Errorf("path %.200q leaves the repository", p)
	case len(p) > 4096:
		return "", fmt.Errorf("path %.60q... is too long", p)
	}
	for part := range strings.SplitSeq(clean, "/") {
		if strings.EqualFold(part, ".git") {
			return "", fmt.Errorf("path %.200q leads into .git", p)
		}
	}
	return clean, nil
}

// Read returns files of a commit by their canonical paths. A path that cannot
// be read (missing, a folder, a symbolic link, a submodule, over maxSize bytes)
// has its reason in Blob.Err; the error is for the mirror as a whole.
func (m *Mirror) Read(ctx context.Context, commit string, paths []string, maxSize int64) (map[string]Blob, error) {
	blobs := make(map[string]Blob, len(paths))
	for len(paths) > 0 {
		n, size := 0, 0
		for n < len(paths) && (n == 0 || size+len(paths[n]) < maxArgBytes) {
			size += len(paths[n]) + 1
			n++
		}
		if err := m.list(ctx, commit, paths[:n], maxSize, blobs); err != nil {
			return nil, err
		}
		paths = paths[n:]
	}
	if err := m.load(ctx, blobs); err != nil {
		return nil, err
	}
	return blobs, nil
}

// list looks up what stands at the paths.
func (m *Mirror) list(ctx context.Context, commit string, paths []string, maxSize int64, blobs map[string]Blob) error {
	out, err := m.c.runGit(ctx, m.local("list files", append([]string{"ls-tree", "-z", "-l", "--full-tree", commit, "--"}, paths...)...))
	if err != nil {
		return err
	}
	for _, p := range paths {
		blobs[p] = Blob{Err: ErrPathMissing}
	}
	for entry := range bytes.SplitSeq(out, []byte{0}) {
		head, name, ok := strings.Cut(string(entry), "\t")
		fields := strings.Fields(head)
		if _, wanted := blobs[name]; !ok || !wanted || len(fields) != 4 {
			continue
		}
		mode, id := fields[0], fields[2]
		b := Blob{Mode: mode, ID: id}
		switch mode {
		case "100644", "100755", "100664":
			size, err := strconv.ParseInt(fields[3], 10, 64)
			if err != nil {
				return fmt.Errorf("read size of %s: %w", name, err)
			}
			if size > maxSize {
				b = Blob{Err: fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, size, maxSize)}
			}
		case "120000":
			b = Blob{Err: fmt.Errorf("%w: a symbolic link: give the path of the file itself", ErrNotRegular)}
		case "160000":
			b = Blob{Err: fmt.Errorf("%w: a submodule", ErrNotRegular)}
		default:
			b = Blob{Err: fmt.Errorf("%w: a folder", ErrNotRegular)}
		}
		blobs[name] = b
	}
	return nil
}

// load reads the content of all blobs that have none, in one git process.
func (m *Mirror) load(ctx context.Context, blobs map[string]Blob) error {
	var ask bytes.Buffer
	var order []string
	for p, b := range blobs {
		if b.Err == nil {
			order = append(order, p)
			ask.WriteString(b.ID + "\n")
		}
	}
	if len(order) == 0 {
		return nil
	}
	r, w := io.Pipe()
	cmd := m.local("read files", "cat-file", "--batch")
	cmd.stdin, cmd.stdout = &ask, w
	parsed := make(chan error, 1)
	go func() {
		err := parseBatch(bufio.NewReaderSize(r, 64<<10), order, blobs)
		r.CloseWithError(err)
		parsed <- err
	}()
	_, err := m.c.runGit(ctx, cmd)
	w.Close()
	if perr := <-parsed; err == nil && perr != nil {
		err = &Error{Op: cmd.op, Remote: m.remote.url, Branch: m.branch, cause: perr}
	}
	return err
}

func parseBatch(r *bufio.Reader, order []string, blobs map[string]Blob) error {
	for _, p := range order {
		b := blobs[p]
		head, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read object %s: %w", b.ID, err)
		}
		fields := strings.Fields(head)
		if len(fields) != 3 || fields[0] != b.ID || fields[1] != "blob" {
			return fmt.Errorf("read object %s: git cat-file answered %.80q", b.ID, head)
		}
		size, err := strconv.Atoi(fields[2])
		if err != nil || size < 0 {
			return fmt.Errorf("read object %s: git cat-file answered %.80q", b.ID, head)
		}
		b.Content = make([]byte, size)
		if _, err := io.ReadFull(r, b.Content); err != nil {
			return fmt.Errorf("read object %s: %w", b.ID, err)
		}
		if _, err := r.Discard(1); err != nil {
			return fmt.Errorf("read object %s: %w", b.ID, err)
		}
		blobs[p] = b
	}
	return nil
}
