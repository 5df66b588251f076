package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/kainlite/gitops-operator/internal/text"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/mask"
	"github.com/kainlite/gitops-operator/policy"
	"github.com/kainlite/gitops-operator/reconcile"
)

// List returns the Deployments as far as they can be read, and logs what is new
// about them.
func (o *Operator) List(ctx context.Context) k8s.Snapshot {
	s, err := o.source.Deployments(ctx)
	o.listing.update(o.log, s, err)
	o.History().Keep(s.Targets)
	return s
}

// Ready says whether the first listing is complete.
func (o *Operator) Ready() bool { return o.source.Ready() }

// Starting says, while Ready does not, what is waited for, and what is in the
// way.
func (o *Operator) Starting() string {
	why := "starting: the first listing of Deployments is not complete yet"
	if s, ok := o.source.(interface{ Problem() string }); ok && s.Problem() != "" {
		why += ": " + s.Problem()
	}
	return why
}

// Stale says why what List last returned is not the newest state; empty if it is.
func (o *Operator) Stale() string { return o.listing.stale() }

// Select returns the targets of the given keys, "namespace/name". The error names
// the keys that have none, and why.
func Select(snapshot k8s.Snapshot, keys []string) ([]k8s.Target, error) {
	var found []k8s.Target
	var missing []string
	for _, key := range keys {
		is := func(t k8s.Target) bool { return t.Key() == key }
		if i := slices.IndexFunc(snapshot.Targets, is); i >= 0 {
			if !slices.ContainsFunc(found, is) {
				found = append(found, snapshot.Targets[i])
			}
			continue
		}
		why := " (no such Deployment)"
		if i := slices.IndexFunc(snapshot.Untracked, func(u k8s.Untracked) bool { return u.Key() == key }); i >= 0 {
			why = " (" + snapshot.Untracked[i].Reason + ")"
		} else if !strings.Contains(key, "/") {
			why = " (write NAMESPACE/NAME)"
		}
		missing = append(missing, key+why)
	}
	if len(missing) > 0 {
		return nil, errors.New("not tracked: " + strings.Join(missing, ", "))
	}
	return found, nil
}

// listing remembers what was last logged about the list of Deployments, so that
// each change is logged once, however often somebody asks.
type listing struct {
	mu    sync.Mutex
	known map[string]bool
	count string
	fault string // why the newest state could not be read; empty if it could
}

// Remarks are what a person should know about the Deployments: those that
// cannot be tracked, and what is wrong with others.
func Remarks(s k8s.Snapshot) []string {
	var list []string
	cycles := reconcile.Cycles(s.Targets)
	for _, t := range s.Targets {
		if err := cycles[policy.Workload{Namespace: t.Namespace, Name: t.Name}]; err != nil {
			list = append(list, fmt.Sprintf("invalid: %s: %s%s", t.Key(), k8s.Prefix, err))
		}
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
func (l *listing) update(log *zap.Logger, s k8s.Snapshot, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if fault != l.fault {
		if l.fault = fault; err != nil {
			log.Error("Deployments not read; going on with the last that were", zap.Error(err))
		} else {
			log.Info("Deployments are read again")
		}
	}
	if count := fmt.Sprintf("%d tracked, %d not tracked", len(s.Targets), len(s.Untracked)); count != l.count {
		l.count = count
		log.Info("Deployments: " + count)
	}
	now := map[string]bool{}
	for _, r := range Remarks(s) {
		if now[r] = true; !l.known[r] {
			log.Warn(text.Printable(r))
		}
	}
	l.known = now
}

// stale says why the state that is shown is not the newest; empty if it is.
func (l *listing) stale() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}
