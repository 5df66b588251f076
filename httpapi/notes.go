package httpapi

import (
	"fmt"
	"sync"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/mask"
)

// notes remembers what was last logged about the listing, so that each change
// is logged once, however often somebody asks.
type notes struct {
	mu    sync.Mutex
	known map[string]bool
	count string
	fault string // why the newest state could not be read; empty if it could
}

// remarks are what a person should know about the Deployments: those that
// cannot be tracked, and what is wrong with others.
func remarks(s k8s.Snapshot) []string {
	var list []string
	for _, t := range s.Targets {
		if err := t.Invalid(); err != nil {
			list = append(list, fmt.Sprintf("invalid: %s: %s", t.Key(), err))
		}
		for _, name := range t.Unknown() {
			list = append(list, fmt.Sprintf("unknown annotation: %s: %s", t.Key(), name))
		}
	}
	for _, u := range s.Untracked {
		list = append(list, fmt.Sprintf("not tracked: %s: %s", u.Key(), u.Reason))
	}
	for i := range list {
		list[i] = mask.Text(list[i])
	}
	return list
}

// update logs what has changed.
func (n *notes) update(log *zap.Logger, s k8s.Snapshot, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if fault != n.fault {
		if n.fault = fault; err != nil {
			log.Error("Deployments not read; going on with the last that were", zap.Error(err))
		} else {
			log.Info("Deployments are read again")
		}
	}
	if count := fmt.Sprintf("%d tracked, %d not tracked", len(s.Targets), len(s.Untracked)); count != n.count {
		n.count = count
		log.Info("Deployments: " + count)
	}
	now := map[string]bool{}
	for _, r := range remarks(s) {
		if now[r] = true; !n.known[r] {
			log.Warn(printable(r))
		}
	}
	n.known = now
}

// stale says why the state that is shown is not the newest; empty if it is.
func (n *notes) stale() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fault
}
