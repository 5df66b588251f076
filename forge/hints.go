package forge

import "errors"

// need is the right that a question needs.
type need int

const (
	readBuilds need = iota
	readChecks
	readPulls
	writePulls
	writeStatus
)

// rights name what a token needs, in each kind of host's own words.
var rights = map[Kind]map[need]string{
	GitHub: {
		readBuilds:  "the permission actions: read",
		readChecks:  "the permissions checks: read and commit statuses: read",
		readPulls:   "the permission pull requests: read",
		writePulls:  "the permissions pull requests: write and contents: write",
		writeStatus: "the permission commit statuses: write",
	},
	GitLab: {
		readBuilds:  "the scope read_api",
		readChecks:  "the scope read_api",
		readPulls:   "the scope read_api",
		writePulls:  "the scope api and the role Developer",
		writeStatus: "the scope api and the role Developer",
	},
	Gitea: {
		readBuilds:  "the scope read:repository",
		readChecks:  "the scope read:repository",
		readPulls:   "the scope read:repository",
		writePulls:  "the scopes write:repository and write:issue, of a user who may write to the repository",
		writeStatus: "the scope write:repository, of a user who may write to the repository",
	},
	Bitbucket: {
		readBuilds:  "the scope read:pipeline:bitbucket",
		readChecks:  "the scope read:repository:bitbucket",
		readPulls:   "the scope read:pullrequest:bitbucket",
		writePulls:  "the scope write:pullrequest:bitbucket",
		writeStatus: "the scope write:repository:bitbucket",
	},
}

// hint says what to do about a failure.
func (c *Client) hint(kind error, n need) string {
	right := rights[c.site.Kind][n]
	switch {
	case errors.Is(kind, ErrUnauthorized) && c.credential.empty():
		return "there is none; it needs a token with " + right
	case errors.Is(kind, ErrUnauthorized):
		return "the token must be valid and needs " + right
	case errors.Is(kind, ErrForbidden):
		return "the token needs " + right
	case errors.Is(kind, ErrNotFound):
		return "check its name; the token needs " + right
	}
	return ""
}
