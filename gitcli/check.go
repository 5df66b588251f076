package gitcli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// usageExit is what git exits with when it has printed a usage text that was
// not asked for, and until 2.55 also when it was.
const usageExit = 129

// checkGit makes a git without fast-import (a split package on some systems)
// known at start instead of at the first change.
func (c *Client) checkGit(ctx context.Context) error {
	out, err := c.runner.run(ctx, command{args: []string{"fast-import", "-h"}, timeout: 30 * time.Second})
	if printedUsage(out, err) {
		return nil
	}
	if errors.Is(err, ErrTimeout) || ctx.Err() != nil {
		return fmt.Errorf("check git fast-import: %w", err)
	}
	return fmt.Errorf("check git: %s cannot run fast-import, which writes the commits: install the whole git package: %w", c.runner.git, err)
}

// printedUsage says whether fast-import answered -h. Up to git 2.48 the text is
// on standard error, from 2.49 on standard output; the exit code is 129 up to
// 2.55, and 0 after that. A git without fast-import exits with 1.
func printedUsage(out []byte, err error) bool {
	const usage = "usage: git fast-import"
	if err == nil {
		return true
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != usageExit {
		return false
	}
	var ge *Error
	return bytes.Contains(out, []byte(usage)) || errors.As(err, &ge) && strings.Contains(ge.Detail, usage)
}
