package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Observed is a Deployment as its object says, in plain values.
type Observed struct {
	Images     []string // references of its pod template's containers, init containers too
	Replicas   int32    // wanted; where the object says nothing, 1
	Generation int64

	// From its status:
	ObservedGeneration                           int64
	CurrentReplicas, UpdatedReplicas, ReadyToUse int32 // replicas, updatedReplicas, availableReplicas
	Available, Progressing                       *Condition
}

// Condition is one of a Deployment's.
type Condition struct {
	Status         string // "True", "False", "Unknown"
	Reason         string
	LastTransition time.Time
	LastUpdate     time.Time
}

// promote wants what the other Deployment runs, once it has proved itself.
func (p *Policy) promote(k Known) (Choice, error) {
	o := k.Observed
	if o == nil {
		return Choice{}, fail(ErrNotWatched, "deployment %s, to promote from, is not there or not among those that are watched: correct tag_from, or watch its namespace too", p.from)
	}
	if k.Same == nil {
		return Choice{}, fail(ErrUnknown, "it is not known which image is meant")
	}
	tag, err := p.runs(k)
	if err != nil {
		return Choice{}, err
	}
	if why := o.unfinished(tag); why != "" {
		return Choice{}, &Wait{Reason: fmt.Sprintf("waits: %s %s", p.from, why)}
	}
	why := "runs in " + p.from.String()
	if p.soak > 0 {
		since := later(o.Available.LastTransition, o.Progressing)
		elapsed := max(0, k.Now.Sub(since))
		if elapsed < p.soak {
			return Choice{}, &Wait{
				Reason: fmt.Sprintf("waits: %s runs %s for %s of %s", p.from, tag, duration(elapsed), duration(p.soak)),
				Until:  since.Add(p.soak),
			}
		}
		why += " for at least " + duration(p.soak)
	}
	return p.finish(Choice{}, values{tag: tag}, why)
}

// runs is the tag of the image in the other Deployment.
func (p *Policy) runs(k Known) (string, error) {
	tag, found := "", false
	for _, reference := range k.Observed.Images {
		t, same := k.Same(reference)
		switch {
		case !same:
			continue
		case t == "":
			return "", fail(ErrImage, "deployment %s runs %s, which names no tag to promote", p.from, oneLine(reference))
		case found && t != tag:
			return "", fail(ErrImage, "deployment %s runs image %s with two tags, %s and %s: which to promote is not certain", p.from, k.Image, tag, t)
		}
		tag, found = t, true
	}
	if found {
		return tag, nil
	}
	var others []string
	for _, reference := range k.Observed.Images {
		others = append(others, oneLine(reference))
	}
	if len(others) == 0 {
		others = []string{"none"}
	}
	if more := len(others) - someTags; more > 0 {
		others = append(others[:someTags], fmt.Sprintf("%d more", more))
	}
	return "", fail(ErrImage, "deployment %s does not run image %s, but %s: correct tag_from or the image", p.from, k.Image, strings.Join(others, ", "))
}

// unfinished says why a rollout is not complete, by the rules of kubectl
// rollout status, and available; nothing when it is.
func (o *Observed) unfinished(tag string) string {
	switch {
	case o.ObservedGeneration == 0 && o.Available == nil && o.Progressing == nil:
		return "has no status yet, so that it is not known whether it runs " + tag
	case o.Generation > o.ObservedGeneration:
		return "is about to roll out " + tag
	case o.Progressing != nil && o.Progressing.Reason == "ProgressDeadlineExceeded":
		return "could not roll out " + tag + ": ProgressDeadlineExceeded"
	case o.UpdatedReplicas < o.Replicas:
		return fmt.Sprintf("rolls out %s: %d of %d replicas are updated", tag, o.UpdatedReplicas, o.Replicas)
	case o.CurrentReplicas > o.UpdatedReplicas:
		return fmt.Sprintf("rolls out %s: %s still to end", tag, count(int(o.CurrentReplicas-o.UpdatedReplicas), "old replica"))
	case o.ReadyToUse < o.UpdatedReplicas:
		return fmt.Sprintf("rolls out %s: %d of %d replicas are available", tag, o.ReadyToUse, o.UpdatedReplicas)
	case o.Replicas == 0:
		return "is scaled to 0 and runs nothing"
	case o.Available == nil:
		return "does not say whether " + tag + " is available"
	case o.Available.Status != "True":
		return "runs " + tag + ", but is not available"
	}
	return ""
}

// later is when what runs became what it is.
func later(available time.Time, progressing *Condition) time.Time {
	if progressing != nil && progressing.LastUpdate.After(available) {
		return progressing.LastUpdate
	}
	return available
}

// duration prints as people say it: 12m, 1h30m, 45s. What is over a minute has
// no seconds unless it is exact.
func duration(d time.Duration) string {
	if d >= time.Minute && d%time.Minute != 0 && d > 10*time.Minute {
		d = d.Truncate(time.Minute)
	}
	s := d.Truncate(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Cycles finds the Deployments that are promoted from one another in a circle,
// given whom each is promoted from. The errors name the whole circle, and are
// for every Deployment on it; who is promoted from one of these is not.
func Cycles(from map[Workload]Workload) map[Workload]error {
	cycles := map[Workload]error{}
	done := map[Workload]bool{}
	starts := slices.SortedFunc(maps.Keys(from), func(a, b Workload) int { return strings.Compare(a.String(), b.String()) })
	for _, start := range starts {
		var way []Workload
		at := map[Workload]int{}
		for w, ok := start, true; ok && !done[w]; w, ok = from[w] {
			if i, seen := at[w]; seen {
				err := circle(way[i:])
				for _, member := range way[i:] {
					cycles[member] = err
				}
				break
			}
			at[w] = len(way)
			way = append(way, w)
		}
		for _, w := range way {
			done[w] = true
		}
	}
	return cycles
}

func circle(members []Workload) error {
	const most = 8
	var names []string
	for _, w := range members {
		names = append(names, w.String())
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", more))
	}
	names = append(names, members[0].String())
	return &Fault{"tag_from", "Deployments are promoted from one another in a circle, so that no tag would ever begin: " + strings.Join(names, " <- ")}
}
