package gitcli

import (
	"context"
	"strings"
)

// Tag is a tag of a remote repository.
type Tag struct {
	Name   string // without refs/tags/
	Commit string // that it leads to, also through an annotated tag
}

// Tags returns the tags of a remote repository, by one `git ls-remote`, sorted
// as git lists them; nothing is cloned.
func (c *Client) Tags(ctx context.Context, r Remote, id *Identity) ([]Tag, error) {
	out, err := c.connections.run(ctx, command{
		op: "read tags of", remote: r,
		args: []string{"ls-remote", "--tags", "--end-of-options", r.String()},
	}, id)
	if err != nil {
		return nil, err
	}
	return parseTags(string(out)), nil
}

// parseTags reads ls-remote's output. An annotated tag is followed by the commit
// that it leads to, under its name with ^{}.
func parseTags(out string) []Tag {
	var tags []Tag
	for line := range strings.Lines(out) {
		id, ref, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		name, isTag := strings.CutPrefix(ref, "refs/tags/")
		if !isTag || !objectID.MatchString(id) {
			continue
		}
		if peeled, is := strings.CutSuffix(name, "^{}"); is {
			if n := len(tags); n > 0 && tags[n-1].Name == peeled {
				tags[n-1].Commit = id
			}
			continue
		}
		tags = append(tags, Tag{name, id})
	}
	return tags
}
