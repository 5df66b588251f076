package gitcli

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

var objectID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// Head returns the commit that a remote branch points to, by one
// `git ls-remote`; nothing is cloned. It fails with ErrBranchMissing, naming
// the repository's default branch, or with ErrEmptyRepository.
func (c *Client) Head(ctx context.Context, r Remote, branch string, id *Identity) (string, error) {
	ref := "refs/heads/" + branch
	cmd := command{
		op: "read head of", remote: r, branch: branch,
		args: []string{"ls-remote", "--symref", "--end-of-options", r.String(), "HEAD", ref},
	}
	out, err := c.connections.run(ctx, cmd, id)
	if err != nil {
		return "", err
	}
	head, standard := parseHeads(string(out), ref)
	if head != "" {
		return head, nil
	}
	empty := len(out) == 0
	if empty { // or only without its default branch
		cmd.args = []string{"ls-remote", "--heads", "--end-of-options", r.String()}
		if out, err = c.connections.run(ctx, cmd, id); err != nil {
			return "", err
		}
		empty = len(out) == 0
	}
	return "", missingBranch(cmd, empty, standard)
}

// parseHeads reads ls-remote's output: the commit of ref, and the default
// branch. git matches a pattern against the end of a name, so that other refs
// may be listed too.
func parseHeads(out, ref string) (head, standard string) {
	for line := range strings.Lines(out) {
		value, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		switch {
		case name == ref && objectID.MatchString(value) && strings.Trim(value, "0") != "": // zeros mean no commit
			head = value
		case name == "HEAD" && strings.HasPrefix(value, "ref: refs/heads/"):
			standard = strings.TrimPrefix(value, "ref: refs/heads/")
		}
	}
	return head, standard
}

func missingBranch(cmd command, empty bool, standard string) error {
	e := &Error{Op: cmd.op, Remote: cmd.remote.String(), Branch: cmd.branch, Kind: ErrBranchMissing}
	switch {
	case empty:
		e.Kind = ErrEmptyRepository
		e.Detail = "push a first commit"
	case standard != "" && standard != cmd.branch:
		e.Detail = fmt.Sprintf("the repository's default branch is %s: set gitops.operator.observe_branch, which names the branch in both repositories", cut(detail(standard), 100))
	default:
		e.Detail = "create it, or set gitops.operator.observe_branch"
	}
	return e
}
