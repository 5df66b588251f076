package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// release is how the model thinks of a version: numbers that compare one after
// the other, a pre-release before its release.
type release struct{ major, minor, patch, pre int }

func (r release) name() string {
	s := fmt.Sprintf("%d.%d.%d", r.major, r.minor, r.patch)
	if r.pre > 0 {
		s += fmt.Sprintf("-rc.%d", r.pre)
	}
	return s
}

func (r release) key() []int {
	pre := r.pre
	if pre == 0 {
		pre = 1 << 30
	}
	return []int{r.major, r.minor, r.patch, pre}
}

// Histories of tags that are pushed and deleted, in any order of the list: the
// policy and a model that knows nothing of strings choose the same.
func TestVersionsAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.IntRange(0, 4)
		releases := map[release]bool{}
		noise := map[string]bool{}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				noise[rapid.SampledFrom([]string{"latest", "main", "1234567", "v", "", "a.b.c", "1.x", "..", "1.2.3.4", "ü.1.2"}).Draw(t, "noise")] = true
			case 1:
				delete(releases, release{small.Draw(t, "major"), small.Draw(t, "minor"), small.Draw(t, "patch"), 0})
			default:
				releases[release{small.Draw(t, "major"), small.Draw(t, "minor"), small.Draw(t, "patch"), max(0, small.Draw(t, "pre")-2)}] = true
			}
		}
		major, minor := small.Draw(t, "wanted major"), small.Draw(t, "wanted minor")
		prefix := rapid.SampledFrom([]string{"", "v"}).Draw(t, "prefix")
		constraint, fits := wish(rapid.IntRange(0, 5).Draw(t, "kind"), major, minor)

		var want []release
		var names []string
		for r := range releases {
			names = append(names, prefix+r.name())
			if fits(r) {
				want = append(want, r)
			}
		}
		for n := range noise {
			names = append(names, n)
		}
		slices.Sort(names)
		names = rapid.Permutation(names).Draw(t, "names")
		c, err := parse(t, Settings{TagFrom: "registry", Version: constraint, TagFormat: "{version}"}).Choose(Known{Tags: NewNames(names)})
		if len(want) == 0 {
			if !errors.Is(err, ErrNoTag) || !strings.Contains(err.Error(), strconv.Itoa(len(names))) && len(names) > 0 {
				t.Fatalf("%s of %v: got %+v, %v", constraint, names, c, err)
			}
			return
		}
		best := slices.MaxFunc(want, func(a, b release) int { return slices.Compare(a.key(), b.key()) })
		if err != nil || c.Tag != best.name() || !strings.Contains(c.Why, fmt.Sprintf(" of %d tag", len(want))) {
			t.Fatalf("%s of %v: got %+v, %v; want %s of %d", constraint, names, c, err, best.name(), len(want))
		}
	})
}

// wish is a constraint, and the same in the model's words.
func wish(kind, major, minor int) (constraint string, fits func(release) bool) {
	least := []int{major, minor, 0, 1 << 30}
	leastPre := []int{major, minor, 0, 0}
	stable := func(r release) bool { return r.pre == 0 }
	switch kind {
	case 0:
		return "*", stable
	case 1:
		return fmt.Sprintf(">=%d.%d.0", major, minor), func(r release) bool { return stable(r) && slices.Compare(r.key(), least) >= 0 }
	case 2:
		minor++ // ~0.0.0 is refused
		return fmt.Sprintf("~%d.%d.0", major, minor), func(r release) bool {
			return stable(r) && r.major == major && r.minor == minor
		}
	case 3:
		return fmt.Sprintf(">=%d.%d.0-0", major, minor), func(r release) bool { return slices.Compare(r.key(), leastPre) >= 0 }
	case 4:
		return fmt.Sprintf("<%d.%d.0 || %d.x", major, minor, major), func(r release) bool {
			return stable(r) && (slices.Compare(r.key(), least) < 0 || r.major == major)
		}
	}
	return fmt.Sprintf("^%d.%d.0", major+1, minor), func(r release) bool { return stable(r) && r.major == major+1 && r.minor >= minor }
}

// Numbers are compared as numbers, whatever their length.
func TestNumbersAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Uint32(), 1, 30).Draw(t, "values")
		zeros := rapid.SampledFrom([]string{"", "0", "000"})
		var names []string
		for _, v := range values {
			names = append(names, "b-"+zeros.Draw(t, "zeros")+strconv.FormatUint(uint64(v), 10))
		}
		c, err := parse(t, Settings{TagFrom: "registry", TagOrder: "numerical", TagPattern: "^b-(?P<version>.*)"}).Choose(Known{Tags: NewNames(names)})
		got, _ := strconv.ParseUint(c.Version, 10, 64)
		if err != nil || got != uint64(slices.Max(values)) {
			t.Fatalf("of %v: %+v, %v", names, c, err)
		}
	})
}

// A Deployment lives, second by second: it is rolled out, loses pods, gets them
// back. The model counts for how long the tag has been available without
// interruption; the policy sees nothing but the conditions' times.
func TestPromotionAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		soak := rapid.IntRange(0, 20).Draw(t, "soak")
		p := parse(t, Settings{TagFrom: "deployment:s/b", Soak: fmt.Sprintf("%ds", soak), Self: Workload{"p", "b"}})
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		o := &Observed{Replicas: 2, Images: []string{"kainlite/blog:0"}, Available: &Condition{Status: "False"}, Progressing: &Condition{Status: "True"}}
		tag, availableFor := 0, -1 // seconds; -1: not at all
		now := start
		transition := func(status string) {
			if o.Available.Status != status {
				o.Available = &Condition{Status: status, LastTransition: now}
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			seconds := rapid.IntRange(0, 15).Draw(t, "seconds")
			now = now.Add(time.Duration(seconds) * time.Second)
			if availableFor >= 0 {
				availableFor += seconds
			}
			switch rapid.IntRange(0, 6).Draw(t, "event") {
			case 0: // a new tag: old pods stay available meanwhile
				tag++
				o.Images = []string{fmt.Sprintf("kainlite/blog:%d", tag)}
				o.Generation++
				availableFor = -1
			case 1: // the controller sees it
				if o.ObservedGeneration < o.Generation {
					o.ObservedGeneration, o.UpdatedReplicas, o.CurrentReplicas = o.Generation, 1, 3
					o.Progressing = &Condition{Status: "True", Reason: "ReplicaSetUpdated", LastUpdate: now}
				}
			case 2: // the rollout is completed
				if o.ObservedGeneration == o.Generation && o.ObservedGeneration > 0 && (o.UpdatedReplicas < 2 || o.ReadyToUse < 2) {
					updated := o.UpdatedReplicas == 2
					o.UpdatedReplicas, o.CurrentReplicas, o.ReadyToUse = 2, 2, 2
					transition("True")
					if !updated {
						o.Progressing = &Condition{Status: "True", Reason: "NewReplicaSetAvailable", LastUpdate: now}
					}
					availableFor = 0
				}
			case 3: // pods are lost
				o.ReadyToUse = 0
				transition("False")
				availableFor = -1
			}
			c, err := p.Choose(Known{Observed: o, Same: same, Image: "kainlite/blog", Now: now})
			var wait *Wait
			due := availableFor >= 0 && availableFor >= soak
			switch {
			case due && (err != nil || c.Tag != strconv.Itoa(tag)):
				t.Fatalf("available for %d of %d: %+v, %v", availableFor, soak, c, err)
			case !due && !errors.As(err, &wait):
				t.Fatalf("available for %d of %d: %+v, %v", availableFor, soak, c, err)
			case !due && availableFor >= 0 && !wait.Until.Equal(now.Add(time.Duration(soak-availableFor)*time.Second)):
				t.Fatalf("available for %d of %d: again at %v, now is %v", availableFor, soak, wait.Until, now)
			}
		}
	})
}

// Whatever is written, parsing ends with a policy or with plain words, and what
// a policy chooses is a tag.
func FuzzParse(f *testing.F) {
	f.Add("tags", "^1.4", `^v(?P<version>.*)$`, "semver", "{version}", "long", "", "", "main", "v1.4.2")
	f.Add("branch", "", "", "", "{branch}-{sha:8}", "short", "", "", "feat/x", "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5")
	f.Add("deployment:a/b", "", "", "", "", "", "", "30m", "", "1.0")
	f.Add("registry", ">=1 <2 || 3.x", "", "numerical", "{tag}", "", "1.2", "1h", "", "12.50")
	f.Fuzz(func(t *testing.T, from, version, pattern, order, form, typ, pin, soak, branch, tag string) {
		p, err := Parse(Settings{from, version, pattern, order, form, typ, pin, soak, branch, Workload{"a", "c"}})
		if err != nil {
			var faults Faults
			if !errors.As(err, &faults) || len(faults) == 0 || strings.ContainsAny(err.Error(), "\n\r\x00") || len(err.Error()) > 4000 {
				t.Errorf("%T %q", err, err)
			}
			return
		}
		now := time.Now()
		o := &Observed{Images: []string{tag}, Replicas: 1, Generation: 1, ObservedGeneration: 1, CurrentReplicas: 1, UpdatedReplicas: 1, ReadyToUse: 1,
			Available: &Condition{Status: "True"}}
		c, err := p.Choose(Known{Head: tag, Tags: NewTags([]Tag{{tag, "0123456789"}}), Observed: o, Now: now,
			Same: func(s string) (string, bool) { return s, true }})
		if err == nil && !imageTag.MatchString(c.Tag) || (err == nil) != (c.Why != "") {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

func many(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("v%d.%d.%d", i/1000, i/10%100, i%10)
	}
	return names
}

func BenchmarkChoose(b *testing.B) {
	for _, n := range []int{5_000, 100_000} {
		names := many(n)
		p := parse(b, Settings{TagFrom: "registry", Version: "^3"})
		pattern := parse(b, Settings{TagFrom: "registry", Version: "^3", TagPattern: `^v(?P<version>\d+\.\d+\.\d+)$`})
		absent := parse(b, Settings{TagFrom: "registry", Version: "^3000"})
		for _, bench := range []struct {
			name string
			p    *Policy
		}{{"first", p}, {"pattern", pattern}, {"none", absent}} {
			b.Run(fmt.Sprintf("%s/%d", bench.name, n), func(b *testing.B) {
				for b.Loop() {
					bench.p.Choose(Known{Tags: NewNames(names)})
				}
			})
		}
		tags := NewNames(names)
		p.Choose(Known{Tags: tags})
		b.Run(fmt.Sprintf("again/%d", n), func(b *testing.B) {
			for b.Loop() {
				p.Choose(Known{Tags: tags})
			}
		})
	}
}
