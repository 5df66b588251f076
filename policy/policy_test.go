package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const head = "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5"

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// failer is a test, a benchmark or a property.
type failer interface {
	Helper()
	Fatalf(string, ...any)
}

func parse(t failer, s Settings) *Policy {
	t.Helper()
	p, err := Parse(s)
	if err != nil {
		t.Fatalf("%+v: %v", s, err)
	}
	return p
}

// same is for images of kainlite/blog.
func same(reference string) (string, bool) {
	name, tag, _ := strings.Cut(reference, ":")
	return tag, name == "kainlite/blog"
}

func gitTags(names ...string) *Tags {
	list := make([]Tag, len(names))
	for i, name := range names {
		list[i] = Tag{name, fmt.Sprintf("%040x", i+1)}
	}
	return NewTags(list)
}

func TestChoices(t *testing.T) {
	releases := gitTags("v1.3.9", "v1.4.0", "v1.4.2", "v1.4.10", "v1.5.0-rc.1", "v2.0.0", "nightly", "1", "1.4")
	builds := gitTags("main-e4f5a6b-1745", "main-0a1b2c3-999", "main-ffffff-10000", "latest", "dev-aaaaaaa-20000")
	for _, test := range []struct {
		s    Settings
		tags *Tags
		want string // the tag and why
	}{
		{Settings{Branch: "main"}, nil, head + ": head of main"},
		{Settings{TagFrom: "branch", Branch: "main", TagType: "short"}, nil, "e4f5a6b: head of main"},
		{Settings{Branch: "main", TagFormat: "sha-{short}", TagType: "long"}, nil, "sha-e4f5a6b: head of main"},
		{Settings{Branch: "feat/ü_1", TagFormat: "{branch}-{sha:8}"}, nil, "feat--_1-e4f5a6b1: head of feat/ü_1"},
		{Settings{Branch: "main", TagFormat: "{sha:64}"}, nil, head + ": head of main"},
		{Settings{TagFrom: "tags", Version: "^1.4"}, releases, "v1.4.10: highest of 4 tags that fit ^1.4"},
		{Settings{TagFrom: "tags", Version: " ^1.4 ", TagFormat: "{version}"}, releases, "1.4.10: highest of 4 tags that fit ^1.4"},
		{Settings{TagFrom: "tags", Version: "^1.4", TagFormat: "{version}-{short}"}, releases, "1.4.10-0000000: highest of 4 tags that fit ^1.4"},
		{Settings{TagFrom: "tags"}, releases, "v2.0.0: highest of 6 tags that fit *"},
		{Settings{TagFrom: "registry", Version: ">=1.4.0-0 <2"}, releases, "v1.5.0-rc.1: highest of 5 tags that fit >=1.4.0-0 <2"},
		{Settings{TagFrom: "registry", Version: "~1.3"}, releases, "v1.3.9: highest of 1 tag that fits ~1.3"},
		{Settings{TagFrom: "registry", Version: "1.4.0"}, releases, "v1.4.0: highest of 2 tags that fit 1.4.0"},
		{Settings{TagFrom: "registry", TagPattern: `^v(?P<version>1\.4\.\d+)$`}, releases, `v1.4.10: highest of 3 tags that fit * and match ^v(?P<version>1\.4\.\d+)$`},
		{Settings{TagFrom: "registry", TagPattern: `^\d+$`}, releases, `1: highest of 1 tag that fits * and matches ^\d+$`},
		{Settings{TagFrom: "registry", TagOrder: "numerical", TagPattern: `^main-[0-9a-f]+-(?P<version>\d+)$`}, builds,
			`main-ffffff-10000: highest number of 3 tags that match ^main-[0-9a-f]+-(?P<version>\d+)$`},
		{Settings{TagFrom: "registry", TagOrder: "alphabetical", TagPattern: "^main-"}, builds, "main-ffffff-10000: last in the alphabet of 3 tags that match ^main-"},
		{Settings{TagFrom: "registry", TagOrder: "alphabetical"}, gitTags("b", "a"), "b: last in the alphabet of 2 tags"},
		{Settings{TagFrom: "registry", TagOrder: "numerical"}, gitTags("9", "10", "x", "010.50"), "010.50: highest number of 3 tags"},
		{Settings{TagFrom: "tags", Version: "^1", Pin: "1.2.3"}, nil, "1.2.3: pinned"},
	} {
		p := parse(t, test.s)
		c, err := p.Choose(Known{Head: head, Tags: test.tags})
		if err != nil {
			t.Errorf("%+v: %v", test.s, err)
			continue
		}
		equal(t, fmt.Sprintf("%+v", test.s), c.Why, test.want)
		equal(t, "trailer", c.Trailer(), "Tag-From: "+test.want)
		if c.Pinned != (test.s.Pin != "") || c.Pinned != (p.Source() == PinnedOnly) || !strings.HasPrefix(c.Why, c.Tag+": ") {
			t.Errorf("%+v: %+v", test.s, c)
		}
	}
}

// What is equal must not depend on the order of a list.
func TestEqualVersionsAreDecided(t *testing.T) {
	p := parse(t, Settings{TagFrom: "registry"})
	for _, list := range [][]string{{"1.4", "1.4.0", "v1.4.0"}, {"v1.4.0", "1.4.0", "1.4"}, {"1.4.0", "v1.4.0", "1.4"}} {
		c, err := p.Choose(Known{Tags: NewNames(list)})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprint(list), c.Tag, "1.4.0")
	}
}

func TestTagsThatDoNotFit(t *testing.T) {
	megabytes := strings.Repeat("1.0.", 1<<20)
	for _, test := range []struct {
		s    Settings
		tags *Tags
		kind error
		want string
	}{
		{Settings{TagFrom: "tags"}, gitTags(), ErrNoTag, "there are no tags"},
		{Settings{TagFrom: "tags", Version: "^1.4"}, gitTags("v1.3.8", "v1.3.9", "2.0.0", "0.1.0", "x"), ErrNoTag,
			"none of 5 tags fits ^1.4: the nearest are v1.3.9, v1.3.8 and 2.0.0"},
		{Settings{TagFrom: "tags", Version: "^3"}, gitTags("v1.3.8"), ErrNoTag, "none of 1 tag fits ^3: the nearest is v1.3.8"},
		{Settings{TagFrom: "tags", Version: "^1.4"}, gitTags("1.4.0-rc.1", "1.4.0-rc.2"), ErrNoTag,
			"none of 2 tags fits ^1.4: the nearest are 1.4.0-rc.2 and 1.4.0-rc.1 (pre-releases count only where version names one, as >=1.4.0-0 does)"},
		{Settings{TagFrom: "registry"}, gitTags("latest", "main", "1234567", "dev", "a"), ErrNoTag,
			"none of 5 tags is a version: there are, for example, main, latest and dev: say with tag_pattern what of a tag is to be compared"},
		{Settings{TagFrom: "registry", TagOrder: "numerical"}, gitTags("latest"), ErrNoTag,
			"none of 1 tag is a number: there is, for example, latest: say with tag_pattern what of a tag is to be compared"},
		{Settings{TagFrom: "registry", TagPattern: "^v"}, gitTags("latest", "1.0"), ErrNoTag, "none of 2 tags matches ^v: there are, for example, latest and 1.0"},
		{Settings{TagFrom: "registry", TagPattern: "^main-"}, gitTags("main-1-a", "main-2-b", "1.0.0"), ErrNoTag,
			"none of 2 tags that match ^main- is a version: there are, for example, main-2-b and main-1-a: put (?P<version>…) around what of a tag is to be compared"},
		{Settings{TagFrom: "registry", TagPattern: "^main-(?P<version>.*)"}, gitTags("main-x1"), ErrNoTag,
			"in none of 1 tag that match ^main-(?P<version>.*) is the group version a version: there is, for example, main-x1"},
		{Settings{TagFrom: "registry", TagPattern: "^(?P<version>.*)-alpine$", Version: "^3"}, gitTags("2.1-alpine", "3.1"), ErrNoTag,
			"none of 2 tags fits ^3 and matches ^(?P<version>.*)-alpine$: the nearest is 2.1-alpine"},
		{Settings{TagFrom: "tags"}, gitTags(megabytes), ErrNoTag, "none of 1 tag is a version: there is, for example, " + strings.Repeat("1.0.", 16) +
			"…: say with tag_pattern what of a tag is to be compared"},
		{Settings{TagFrom: "tags", TagPattern: "^release/(?P<version>.*)$"}, gitTags("release/1.0.0"), ErrFormat,
			`tag_format makes "release/1.0.0" of "release/1.0.0": ` + goodTag + ": correct tag_format"},
		{Settings{TagFrom: "tags", TagFormat: "{short}"}, NewNames([]string{"1.0.0"}), ErrUnknown, `the commit of tag "1.0.0" is not known`},
		{Settings{TagFrom: "tags"}, nil, ErrUnknown, "the tags are not known"},
		{Settings{Branch: "main"}, nil, ErrUnknown, "the head of main is not known"},
	} {
		c, err := parse(t, test.s).Choose(Known{Tags: test.tags})
		if !errors.Is(err, test.kind) || c != (Choice{}) {
			t.Errorf("%+v: got %+v, %v", test.s, c, err)
			continue
		}
		equal(t, fmt.Sprintf("%+v", test.s), err.Error(), "choose tag: "+test.want)
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	self := Workload{"prod", "blog"}
	for _, test := range []struct {
		s    Settings
		want string
	}{
		{Settings{TagFrom: "git"}, `tag_from: "git" is no source: use branch, tags, registry or deployment:NAMESPACE/NAME`},
		{Settings{TagFrom: "deployment:blog"}, `tag_from: "deployment:blog" names no Deployment: write deployment:NAMESPACE/NAME`},
		{Settings{TagFrom: "deployment:a/b/c"}, `tag_from: "deployment:a/b/c" names no Deployment: write deployment:NAMESPACE/NAME`},
		{Settings{TagFrom: "deployment:prod/blog", Self: self}, `tag_from: deployment prod/blog cannot be promoted from itself: name the one that runs the tag first`},
		{Settings{Version: "^1"}, `version: it chooses among tags, and here none are listed: set tag_from to tags or registry, or remove version`},
		{Settings{TagFrom: "deployment:a/b", TagPattern: "x", TagOrder: "semver"},
			`tag_pattern: it chooses among tags, and here none are listed: set tag_from to tags or registry, or remove tag_pattern; ` +
				`tag_order: it chooses among tags, and here none are listed: set tag_from to tags or registry, or remove tag_order`},
		{Settings{TagFrom: "tags", Version: "latest"}, `version: "latest" is no constraint for semantic versions: write one like ^1.4, ~1.4.2, >=2 <3 or *`},
		{Settings{TagFrom: "tags", Version: "1 || ~0.0.0"}, `version: "1 || ~0.0.0" would fit every version: write >=0.0.0 <0.1.0 instead, or * if all are wanted`},
		{Settings{TagFrom: "tags", TagOrder: "newest"}, `tag_order: "newest" is no order: use semver, numerical or alphabetical`},
		{Settings{TagFrom: "tags", TagOrder: "numerical", Version: "^1"}, `version: it is for semantic versions, and tag_order is numerical: remove one of the two`},
		{Settings{TagFrom: "tags", TagPattern: "(?=x)"}, `tag_pattern: "(?=x)" is no regular expression (RE2, without look-around and back-references): invalid or unsupported Perl syntax: ` + "`(?=`"},
		{Settings{TagFrom: "tags", TagPattern: "(?P<Version>x)"}, `tag_pattern: its group is called Version: what is compared must be called version, as in (?P<version>…)`},
		{Settings{TagFrom: "tags", TagPattern: strings.Repeat("(", 513)}, `tag_pattern: it has 513 bytes: use at most 512`},
		{Settings{TagFrom: "tags", TagPattern: "a\nb"}, `tag_pattern: "a\nb" has characters that cannot be printed: write it anew`},
		{Settings{TagFormat: "latest"}, `tag_format: "latest" has no placeholder, so that nothing would ever move: use one of {sha}, {short}, {sha:N} and {branch}, or pin to stay on one tag`},
		{Settings{TagFormat: "{SHA}"}, `tag_format: "{SHA}" has {SHA}: placeholders are {sha}, {short}, {sha:N}, {branch}, {tag} and {version}`},
		{Settings{TagFormat: "{sha:3}"}, `tag_format: "{sha:3}" has {sha:3}: the length must be a number from 4 to 64`},
		{Settings{TagFormat: "{sha:N}"}, `tag_format: "{sha:N}" has {sha:N}: the length must be a number from 4 to 64`},
		{Settings{TagFormat: "{short:8}"}, `tag_format: "{short:8}" has {short:8}: placeholders are {sha}, {short}, {sha:N}, {branch}, {tag} and {version}`},
		{Settings{TagFormat: "x{sha"}, `tag_format: "x{sha" has a { without a }: placeholders are {sha}, {short}, {sha:N}, {branch}, {tag} and {version}`},
		{Settings{TagFormat: "sha}"}, `tag_format: "sha}" has a } without a {: placeholders are {sha}, {short}, {sha:N}, {branch}, {tag} and {version}`},
		{Settings{TagFormat: "{version}"}, `tag_format: "{version}" has {version}, which is not known with this tag_from: use {sha}, {short}, {sha:N} and {branch}`},
		{Settings{TagFrom: "registry", TagFormat: "{sha}"}, `tag_format: "{sha}" has {sha}, which is not known with this tag_from: use {tag} and {version}`},
		{Settings{TagFormat: "-{short}"}, `tag_format: "-{short}" makes no image tag, but "-0000000": ` + goodTag},
		{Settings{TagFormat: "{branch}-{short}", Branch: "ü"}, `tag_format: "{branch}-{short}" makes no image tag, but "--0000000": ` + goodTag},
		{Settings{TagFormat: "a:{sha}"}, `tag_format: "a:{sha}" makes no image tag, but "a:<sha>": ` + goodTag},
		{Settings{TagFrom: "tags", TagFormat: "/{tag}"}, `tag_format: "/{tag}" makes no image tag, whatever the placeholders become: ` + goodTag},
		{Settings{TagType: "medium"}, `tag_type: "medium" is no type: use long or short`},
		{Settings{Pin: "a b"}, `pin: "a b" is no image tag: ` + goodTag},
		{Settings{Soak: "5m"}, `soak: it is how long another Deployment must have run a tag: set tag_from to deployment:NAMESPACE/NAME, or remove soak`},
		{Settings{TagFrom: "deployment:a/b", Soak: "1 day"}, `soak: "1 day" is no duration: write one like 30m or 1h30m`},
		{Settings{TagFrom: "deployment:a/b", Soak: "-1s"}, `soak: "-1s" is no duration: write one like 30m or 1h30m`},
		{Settings{TagFrom: "git", Pin: "-", Version: "^1"}, `tag_from: "git" is no source: use branch, tags, registry or deployment:NAMESPACE/NAME; pin: "-" is no image tag: ` + goodTag},
	} {
		p, err := Parse(test.s)
		if err == nil || p != nil {
			t.Errorf("%+v: taken", test.s)
			continue
		}
		if faults, ok := errors.AsType[Faults](err); !ok || len(faults) == 0 {
			t.Errorf("%+v: %T", test.s, err)
		}
		equal(t, fmt.Sprintf("%+v", test.s), err.Error(), test.want)
	}
}

func TestPromotionMessages(t *testing.T) {
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	ready := func(change func(*Observed)) *Observed {
		o := &Observed{
			Images: []string{"envoy:1", "kainlite/blog:1.4.2"}, Replicas: 3, Generation: 7, ObservedGeneration: 7,
			CurrentReplicas: 3, UpdatedReplicas: 3, ReadyToUse: 3,
			Available:   &Condition{Status: "True", LastTransition: now.Add(-time.Hour)},
			Progressing: &Condition{Status: "True", Reason: "NewReplicaSetAvailable", LastUpdate: now.Add(-12*time.Minute - 5*time.Second)},
		}
		if change != nil {
			change(o)
		}
		return o
	}
	for _, test := range []struct {
		name string
		soak string
		o    *Observed
		want string
	}{
		{"complete", "", ready(nil), "1.4.2: runs in staging/blog"},
		{"soaked", "12m", ready(nil), "1.4.2: runs in staging/blog for at least 12m"},
		{"soaking", "30m", ready(nil), "waits: staging/blog runs 1.4.2 for 12m of 30m; again in 17m55s"},
		{"soaking since it became available", "2h", ready(func(o *Observed) { o.Available.LastTransition = now.Add(-45 * time.Second) }),
			"waits: staging/blog runs 1.4.2 for 45s of 2h; again in 1h59m15s"},
		{"another clock", "30m", ready(func(o *Observed) { o.Available.LastTransition = now.Add(time.Minute) }),
			"waits: staging/blog runs 1.4.2 for 0s of 30m; again in 31m0s"},
		{"no condition Progressing", "90m", ready(func(o *Observed) { o.Progressing = nil }), "waits: staging/blog runs 1.4.2 for 1h of 1h30m; again in 30m0s"},
		{"no status", "", ready(func(o *Observed) { *o = Observed{Images: o.Images, Replicas: 1, Generation: 1} }),
			"waits: staging/blog has no status yet, so that it is not known whether it runs 1.4.2"},
		{"not observed", "", ready(func(o *Observed) { o.Generation = 8 }), "waits: staging/blog is about to roll out 1.4.2"},
		{"deadline", "", ready(func(o *Observed) { o.Progressing.Reason = "ProgressDeadlineExceeded" }), "waits: staging/blog could not roll out 1.4.2: ProgressDeadlineExceeded"},
		{"updating", "", ready(func(o *Observed) { o.UpdatedReplicas = 1 }), "waits: staging/blog rolls out 1.4.2: 1 of 3 replicas are updated"},
		{"ending", "", ready(func(o *Observed) { o.CurrentReplicas = 4 }), "waits: staging/blog rolls out 1.4.2: 1 old replica still to end"},
		{"starting", "", ready(func(o *Observed) { o.ReadyToUse = 2 }), "waits: staging/blog rolls out 1.4.2: 2 of 3 replicas are available"},
		{"scaled to nothing", "", ready(func(o *Observed) { o.Replicas, o.CurrentReplicas, o.UpdatedReplicas, o.ReadyToUse = 0, 0, 0, 0 }),
			"waits: staging/blog is scaled to 0 and runs nothing"},
		{"no condition Available", "", ready(func(o *Observed) { o.Available = nil }), "waits: staging/blog does not say whether 1.4.2 is available"},
		{"not available", "", ready(func(o *Observed) { o.Available.Status = "False" }), "waits: staging/blog runs 1.4.2, but is not available"},
		{"not watched", "", nil, "choose tag: deployment staging/blog, to promote from, is not there or not among those that are watched: correct tag_from, or watch its namespace too"},
		{"another image", "", ready(func(o *Observed) { o.Images = []string{"a:1", "b:2", "c:3", "d:4", "e:5"} }),
			"choose tag: deployment staging/blog does not run image kainlite/blog, but a:1, b:2, c:3, 2 more: correct tag_from or the image"},
		{"no image", "", ready(func(o *Observed) { o.Images = nil }), "choose tag: deployment staging/blog does not run image kainlite/blog, but none: correct tag_from or the image"},
		{"no tag", "", ready(func(o *Observed) { o.Images[1] = "kainlite/blog" }), "choose tag: deployment staging/blog runs kainlite/blog, which names no tag to promote"},
		{"two tags", "", ready(func(o *Observed) { o.Images[0] = "kainlite/blog:1.5" }),
			"choose tag: deployment staging/blog runs image kainlite/blog with two tags, 1.5 and 1.4.2: which to promote is not certain"},
	} {
		p := parse(t, Settings{TagFrom: "deployment:staging/blog", Soak: test.soak, Self: Workload{"prod", "blog"}})
		c, err := p.Choose(Known{Observed: test.o, Same: same, Image: "kainlite/blog", Now: now})
		got := c.Why
		var wait *Wait
		switch {
		case errors.As(err, &wait):
			if got = wait.Reason; !wait.Until.IsZero() {
				got += "; again in " + wait.Until.Sub(now).String()
			}
		case err != nil:
			got = err.Error()
		}
		equal(t, test.name, got, test.want)
	}
}

func TestCycles(t *testing.T) {
	w := func(name string) Workload { return Workload{"ns", name} }
	long := map[Workload]Workload{}
	for i := range 1000 {
		long[w(fmt.Sprintf("w%03d", i))] = w(fmt.Sprintf("w%03d", (i+1)%1000))
	}
	got := Cycles(long)
	if len(got) != 1000 {
		t.Errorf("%d of 1000 are on the cycle", len(got))
	}
	equal(t, "long", got[w("w500")].Error(), "tag_from: Deployments are promoted from one another in a circle, so that no tag would ever begin: "+
		"ns/w000 <- ns/w001 <- ns/w002 <- ns/w003 <- ns/w004 <- ns/w005 <- ns/w006 <- ns/w007 <- 992 more <- ns/w000")
	got = Cycles(map[Workload]Workload{
		w("prod"): w("staging"), w("staging"): w("test"), // a chain
		w("a"): w("b"), w("b"): w("c"), w("c"): w("b"), // a leads to a circle
		w("self"): w("self"),
	})
	if len(got) != 3 {
		t.Errorf("got %v", got)
	}
	equal(t, "b", fmt.Sprint(got[w("b")]), "tag_from: Deployments are promoted from one another in a circle, so that no tag would ever begin: ns/b <- ns/c <- ns/b")
	equal(t, "self", fmt.Sprint(got[w("self")]), "tag_from: Deployments are promoted from one another in a circle, so that no tag would ever begin: ns/self <- ns/self")
}
