package gitcli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
)

// lastLook bounds the lookup of a push at shutdown.
const lastLook = 5 * time.Second

// Change is one commit: new contents of files that are there already.
type Change struct {
	Message string
	Files   []File
}

// File is a file's new content; it keeps its mode.
type File struct {
	Path    string
	Mode    string // as List gave it
	Content []byte
}

// Commit writes the changes as a series of commits on top of base, in one
// `git fast-import`, and returns their names in order. Each change is asked for
// when the one before is written. Nothing is pushed and no branch moves.
func (m *Mirror) Commit(ctx context.Context, base string, changes iter.Seq[Change], when time.Time) ([]string, error) {
	// Paths that Windows or macOS would take for .git are as good as others in a
	// bare mirror, and one of them must not stop the series: newer git checks.
	cmd := m.local("commit", "-c", "core.protectNTFS=false", "-c", "core.protectHFS=false",
		"fast-import", "--quiet", "--done", "--force", "--date-format=raw")
	// fast-import takes and returns memory for every tree. With glibc that is
	// two system calls each, and half of its time, unless there is some to spare.
	cmd.env = []string{"MALLOC_TOP_PAD_=16777216"}
	r, w := io.Pipe()
	cmd.stdin = r
	m.changed = true
	n, written := 0, make(chan error, 1)
	go func() {
		err := m.c.runner.guarded(func() (err error) {
			n, err = m.stream(w, base, changes, when)
			return err
		})
		w.CloseWithError(err)
		written <- err
	}()
	out, err := m.c.runner.run(ctx, cmd)
	r.Close()
	if panicked, ok := errors.AsType[*panicError](<-written); ok {
		return nil, panicked
	}
	if err != nil {
		return nil, err
	}
	ids := strings.Fields(string(out))
	if len(ids) != n {
		return nil, &Error{Op: cmd.op, Remote: m.remote.String(), Branch: m.branch, Detail: fmt.Sprintf("git fast-import wrote %d of %d commits", len(ids), n)}
	}
	for _, id := range ids {
		if !objectID.MatchString(id) {
			return nil, &Error{Op: cmd.op, Remote: m.remote.String(), Branch: m.branch, Detail: "git fast-import did not answer with commits"}
		}
	}
	return ids, nil
}

// stream writes git-fast-import(1)'s input and returns the number of commits.
// The final done is what makes a stream that was cut short an error instead of
// half a series.
func (m *Mirror) stream(w io.Writer, base string, changes iter.Seq[Change], when time.Time) (int, error) {
	var b bytes.Buffer
	n := 0
	who := fmt.Sprintf("%s <%s> %d +0000", m.c.author.Name, m.c.author.Email, when.Unix())
	for ch := range changes {
		n++
		fmt.Fprintf(&b, "commit %s\nmark :%d\nauthor %s\ncommitter %s\ndata %d\n%s\n", nextRef, n, who, who, len(ch.Message), ch.Message)
		if n == 1 {
			fmt.Fprintf(&b, "from %s\n", base)
		}
		for _, f := range ch.Files {
			fmt.Fprintf(&b, "M %s inline %s\ndata %d\n", f.Mode, quotePath(f.Path), len(f.Content))
			b.Write(f.Content)
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "get-mark :%d\n", n)
		if _, err := b.WriteTo(w); err != nil {
			return n, err
		}
	}
	_, err := io.WriteString(w, "done\n")
	return n, err
}

// quotePath quotes a path as fast-import reads it.
func quotePath(p string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(p) + `"`
}

// Push moves the remote branch from base to tip, or fails: with ErrBranchMoved
// when it is not at base any more, with ErrDeclined when the server says no. A
// push whose outcome was lost (cut off, killed, timed out) is looked up in the
// remote before it is judged.
func (m *Mirror) Push(ctx context.Context, base, tip string) error {
	cmd := m.local("push to", "push", "--porcelain", "--no-verify", "--force-with-lease="+m.ref()+":"+base,
		"--end-of-options", m.remote.String(), tip+":"+m.ref())
	cmd.once = true
	out, err := m.c.connections.run(ctx, cmd, m.id)
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	if refused := parsePush(string(out), e.Detail); refused != nil {
		refused.Op, refused.Remote, refused.Branch, refused.cause = cmd.op, m.remote.String(), m.branch, e.cause
		return refused
	}
	if e.Kind != nil && e.Kind != ErrNetwork && e.Kind != ErrTimeout {
		return err
	}
	applied, lookup := m.applied(ctx, base, tip)
	switch {
	case lookup != nil:
		return fmt.Errorf("%w; %w: %w", err, ErrPushUnknown, lookup)
	case applied:
		return nil
	}
	return err
}

// parsePush reads push --porcelain: one line per branch, "flag TAB from:to TAB
// summary". It returns nil where the server did not refuse.
func parsePush(out, stderr string) *Error {
	for line := range strings.Lines(out) {
		flag, rest, _ := strings.Cut(line, "\t")
		if flag != "!" {
			continue
		}
		_, summary, _ := strings.Cut(rest, "\t")
		summary = detail(summary)
		switch {
		case saysMoved(summary):
			return &Error{Kind: ErrBranchMoved, Detail: summary}
		case strings.Contains(summary, "[remote failure]") || strings.Contains(summary, "remote end hung up"):
			return nil // its outcome is not known
		}
		if stderr != "" {
			summary += ": " + stderr
		}
		return &Error{Kind: ErrDeclined, Detail: cut(summary, 400)}
	}
	return nil
}

// applied finds out whether a push of tip arrived: the branch is at it, or has
// gone on from it.
func (m *Mirror) applied(ctx context.Context, base, tip string) (bool, error) {
	if ctx.Err() != nil {
		// Who was told to end still has to know what was done, but soon.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lastLook)
		defer cancel()
	}
	head, err := m.c.Head(ctx, m.remote, m.branch, m.id)
	if err != nil {
		return false, err
	}
	if head == tip || head == base {
		return head == tip, nil
	}
	return m.leadsTo(ctx, commitRange{from: base, to: head}, tip)
}
