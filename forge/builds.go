package forge

import (
	"context"
	"fmt"
	"strings"
)

// Build is how the builds of a commit stand, taken together.
type Build int

// Of several, Running comes before Queued, Failed, Completed and None.
const (
	None      Build = iota // nothing ran
	Running                // at least one runs
	Queued                 // at least one has yet to run
	Failed                 // at least one failed, and none succeeded
	Completed              // all have ended
)

func (b Build) String() string {
	switch b {
	case None:
		return "none"
	case Running:
		return "running"
	case Queued:
		return "queued"
	case Failed:
		return "failed"
	case Completed:
		return "completed"
	}
	return fmt.Sprintf("Build(%d)", int(b))
}

// tally is what a commit's builds come to.
type tally struct{ running, queued, succeeded, failed, ended bool }

func (t *tally) state() Build {
	switch {
	case t.running:
		return Running
	case t.queued:
		return Queued
	case t.failed && !t.succeeded:
		return Failed
	case t.failed || t.succeeded || t.ended:
		return Completed
	}
	return None
}

// conclude counts a build that has ended, by GitHub's word for how it did. A
// run that somebody has to approve first is among the failed: it has ended, and
// starts only when that person acts.
func (t *tally) conclude(conclusion string) {
	switch conclusion {
	case "success":
		t.succeeded = true
	case "failure", "cancelled", "timed_out", "startup_failure", "action_required", "stale":
		t.failed = true
	default: // skipped, neutral
		t.ended = true
	}
}

const (
	perPage  = 100
	maxPages = 10 // GitHub lists at most 1,000 runs of a commit
)

// Builds looks up how the builds of a commit stand: runs of GitHub's, Gitea's
// and Forgejo's Actions, and pipelines. sha is the full one. It may take three
// tries and the waits between them. What the host or the network is to blame
// for is an [*Error].
func (c *Client) Builds(ctx context.Context, r Repository, sha string) (Build, error) {
	if sha = strings.ToLower(sha); !fullSHA.MatchString(sha) {
		return None, fmt.Errorf("look up builds of %s: %.100q is not a full commit SHA", r, sha)
	}
	q := question{action: "builds", doing: "ask %[1]s for the builds of %[2]s", need: readBuilds}
	var t tally
	err := c.do(ctx, r, q, func(c2 call) (err error) {
		t, err = c.driver.builds(c2, sha)
		return err
	})
	if err != nil {
		return None, err
	}
	return t.state(), nil
}

// nonsense is an answer of the right form that says nothing.
func nonsense(format string, args ...any) error {
	return &networkError{kind: ErrUnexpected, detail: clean(fmt.Sprintf(format, args...), "", 300)}
}
