package forge

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// CheckState is how a check stands.
type CheckState int

// The states of checks.
const (
	Missing CheckState = iota // there is none of that name
	Pending                   // it has yet to end
	Green                     // it succeeded, or does not count
	Red                       // it failed
)

func (s CheckState) String() string {
	switch s {
	case Missing:
		return "missing"
	case Pending:
		return "pending"
	case Green:
		return "green"
	case Red:
		return "red"
	}
	return fmt.Sprintf("CheckState(%d)", int(s))
}

// Check is a check or a status of a commit.
type Check struct {
	Name  string
	State CheckState
	URL   string // of its page, or ""
}

// Checks looks up the checks and statuses of a commit, by name; sha is the full
// one. Of several with one name, those that are red come before those that are
// pending, and these before green ones.
func (c *Client) Checks(ctx context.Context, r Repository, sha string) ([]Check, error) {
	if sha = strings.ToLower(sha); !fullSHA.MatchString(sha) {
		return nil, fmt.Errorf("look up checks of %s: %.100q is not a full commit SHA", r, sha)
	}
	q := question{action: "checks", doing: "ask %[1]s for the checks of %[2]s", need: readChecks}
	var all []Check
	err := c.do(ctx, r, q, func(c2 call) (err error) {
		all, err = c.driver.checks(c2, sha)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, check := range all {
		if strings.HasPrefix(check.URL, "/") { // Gitea's own are without a host
			all[i].URL = strings.TrimSuffix(c.site.web().String(), "/") + check.URL
		}
	}
	return oneOfEach(all), nil
}

// oneOfEach keeps the worst check of each name, sorted by name.
func oneOfEach(all []Check) []Check {
	rank := []CheckState{Missing: 0, Green: 1, Pending: 2, Red: 3}
	slices.SortStableFunc(all, func(a, b Check) int {
		if n := strings.Compare(a.Name, b.Name); n != 0 {
			return n
		}
		return int(rank[b.State]) - int(rank[a.State])
	})
	return slices.CompactFunc(all, func(a, b Check) bool { return a.Name == b.Name })
}

// Verdict is how the required checks stand, taken together.
type Verdict struct {
	State CheckState // Red, Missing, Pending, or Green when all are
	Names []string   // the checks with that state, as they were required
	URL   string     // the page of the first of them, or ""
}

// Require judges the checks that are required by name. One that failed settles
// it; what is missing may still appear, so it comes before what is pending only
// for the message's sake: both are waited for.
func Require(checks []Check, names []string) Verdict {
	by := make(map[CheckState]*Verdict)
	for _, name := range names {
		found := Check{Name: name}
		if i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == name }); i >= 0 {
			found = checks[i]
		}
		v := by[found.State]
		if v == nil {
			v = &Verdict{State: found.State, URL: found.URL}
			by[found.State] = v
		}
		v.Names = append(v.Names, name)
	}
	for _, state := range []CheckState{Red, Missing, Pending, Green} {
		if v := by[state]; v != nil {
			return *v
		}
	}
	return Verdict{State: Green}
}
