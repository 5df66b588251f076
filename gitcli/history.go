package gitcli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// historyDepth is how many generations of commits are looked through for a push
// whose report was lost. Others would have to add that many before the lookup.
const historyDepth = "200"

// commitRange is what leads from one commit to another.
type commitRange struct{ from, to string }

// leadsTo says whether the history of r.to has the commit, which descends from
// r.from. The mirror itself cannot tell: it is one commit deep, and may be a new
// one. So the newest commits are cloned beside it, without files where the server
// allows that. An error says that it cannot be known.
func (m *Mirror) leadsTo(ctx context.Context, r commitRange, commit string) (bool, error) {
	h := &Mirror{c: m.c, remote: m.remote, branch: m.branch, id: m.id, cache: m.cache, dir: m.dir + ".history"}
	defer os.RemoveAll(h.dir)
	if err := h.download(ctx, "--depth="+historyDepth, "--filter=tree:0"); err != nil {
		return false, err
	}
	out, err := m.c.runner.run(ctx, h.local("look up push", "rev-list", "--parents", r.to))
	if err != nil {
		return false, err
	}
	cut, err := os.ReadFile(filepath.Join(h.dir, "shallow")) // the commits whose parents were left out
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("look up push: %w", err)
	}
	found, complete := searchHistory(out, cut, r, commit)
	if !found && !complete {
		return false, fmt.Errorf("look up push: branch %s has moved by more than %s commits", m.branch, historyDepth)
	}
	return found, nil
}

// searchHistory reads `git rev-list --parents` and goes from r.to back to r.from.
// It is complete if it did not end at a commit whose parents were left out.
func searchHistory(revList, shallow []byte, r commitRange, commit string) (found, complete bool) {
	parents := map[string][]string{}
	for lines := bufio.NewScanner(bytes.NewReader(revList)); lines.Scan(); {
		if ids := strings.Fields(lines.Text()); len(ids) > 0 {
			parents[ids[0]] = ids[1:]
		}
	}
	cut := map[string]bool{}
	for _, id := range strings.Fields(string(shallow)) {
		cut[id] = true
	}
	complete = true
	seen := map[string]bool{r.from: true}
	for todo := []string{r.to}; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		switch {
		case id == commit:
			return true, true
		case seen[id]:
			continue
		case cut[id]:
			complete = false
		}
		seen[id] = true
		todo = append(todo, parents[id]...)
	}
	return false, complete
}
