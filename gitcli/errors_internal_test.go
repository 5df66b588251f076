package gitcli

import (
	"errors"
	"testing"
)

// What git's receive-pack says of a push that lost a race, up to 2.49 and after.
func TestServersWordsForAMovedBranch(t *testing.T) {
	for _, reason := range []string{
		"fetch first", "stale info", "failed to update ref", "failed to update refs",
		"incorrect old value provided", "reference already exists", "reference does not exist",
	} {
		refused := parsePush("To ssh://x\n!\tabc:refs/heads/master\t[remote rejected] ("+reason+")\nDone\n", "")
		if refused == nil || !errors.Is(refused, ErrBranchMoved) {
			t.Errorf("%s: %v", reason, refused)
		}
	}
	for _, reason := range []string{"pre-receive hook declined", "refname conflict", "invalid new value provided"} {
		refused := parsePush("!\tabc:refs/heads/master\t[remote rejected] ("+reason+")\n", "")
		if refused == nil || !errors.Is(refused, ErrDeclined) {
			t.Errorf("%s: %v", reason, refused)
		}
	}
}
