package forge

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
)

// maxStatuses is how many statuses of commits are remembered for each client.
const maxStatuses = 10_000

// Status is what is said about a commit.
type Status struct {
	Name        string     // such as gitops-operator/blog/web
	State       CheckState // Pending, Green or Red
	Description string     // one line; hosts cut it at 140 characters
	URL         string     // to look at, or ""
}

// StatusName is the name of the status that tells of a workload.
func StatusName(namespace, name string) string { return "gitops-operator/" + namespace + "/" + name }

// statusKey names a status.
type statusKey [sha256.Size]byte

// SetStatus sets a commit's status; sha is the full one. A status that this
// client has set before, and is the same, is not set again and costs nothing.
func (c *Client) SetStatus(ctx context.Context, r Repository, sha string, s Status) error {
	if sha = strings.ToLower(sha); !fullSHA.MatchString(sha) {
		return fmt.Errorf("set the status of a commit of %s: %.100q is not a full commit SHA", r, sha)
	}
	if s.State == Missing {
		return fmt.Errorf("set the status of a commit of %s: no state", r)
	}
	s.Description = shorten(clean(s.Description, "", 1000), 140)
	key := statusKey(sha256.Sum256([]byte(strings.ToLower(r.path()) + "\x00" + sha + "\x00" + s.Name)))
	if last, ok := c.statuses.get(key); ok && last == s {
		return nil
	}
	q := question{action: "set_status", doing: "ask %[1]s to set the status of a commit of %[2]s", need: writeStatus, write: true}
	err := c.do(ctx, r, q, func(c2 call) error { return c.driver.setStatus(c2, sha, s) })
	if err == nil {
		c.statuses.put(key, s, 1)
	}
	return err
}

// shorten cuts a text to a number of characters.
func shorten(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}
