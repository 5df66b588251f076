package builds

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-github/v60/github"
)

// bad are the conclusions of a run that will bring no image by itself. A run
// that somebody has to approve first is among them: it has ended, and starts
// only when that person acts.
var bad = []string{"failure", "cancelled", "timed_out", "startup_failure", "action_required", "stale"}

// tally is what a commit's runs come to.
type tally struct{ running, queued, succeeded, failed, ended bool }

// add counts runs. The error says that they are no answer to the question.
func (t *tally) add(runs *github.WorkflowRuns, sha string) error {
	if runs == nil || runs.WorkflowRuns == nil && runs.TotalCount == nil {
		return errors.New("no list of workflow runs")
	}
	for _, run := range runs.WorkflowRuns {
		// Servers that do not know the filter by commit list all runs.
		if run.GetHeadSHA() != "" && !strings.EqualFold(run.GetHeadSHA(), sha) {
			continue
		}
		switch status := run.GetStatus(); {
		case status == "":
			return fmt.Errorf("workflow run %d has no status", run.GetID())
		case status == "in_progress":
			t.running = true
		case status != "completed": // queued, waiting, pending, requested, or what may come
			t.queued = true
		case run.GetConclusion() == "success":
			t.succeeded = true
		case slices.Contains(bad, run.GetConclusion()):
			t.failed = true
		default: // skipped, neutral
			t.ended = true
		}
	}
	return nil
}

func (t *tally) state() State {
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
