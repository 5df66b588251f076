package policy

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/Masterminds/semver/v3"
)

// Settings are what somebody wrote; empty is the default.
type Settings struct {
	TagFrom    string // "branch", "tags", "registry" or "deployment:NAMESPACE/NAME"
	Version    string // a semantic version constraint
	TagPattern string // a regular expression, RE2
	TagOrder   string // "semver", "numerical" or "alphabetical"
	TagFormat  string // the image's tag, with placeholders
	TagType    string // "long" or "short": the default of TagFormat for a branch
	Pin        string // a tag
	Soak       string // a duration

	Branch string   // of the application, whose head is taken; for {branch}
	Self   Workload // whose policy it is
}

// Fault is what is wrong with one setting. Whoever knows what settings are
// called puts that before the error's text, which begins with Setting.
type Fault struct {
	Setting string // as in "tag_from"
	Problem string // what is wrong and what to do, one line
}

func (f *Fault) Error() string { return f.Setting + ": " + f.Problem }

// Faults are all that is wrong with Settings, in the order of their fields.
type Faults []*Fault

func (f Faults) Error() string {
	texts := make([]string, len(f))
	for i, fault := range f {
		texts[i] = fault.Error()
	}
	return strings.Join(texts, "; ")
}

const maxSetting = 512 // bytes

var (
	imageTag  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	dnsLabel  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	dnsDomain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

// tildeZero is what the semver library takes for >=0.0.0, unlike all other ~.
var tildeZero = regexp.MustCompile(`~>?\s*v?0\.0\.0\b`)

const goodTag = "an image tag has 1 to 128 letters, digits, '_', '.' and '-', and does not begin with '.' or '-'"

// parser collects what is wrong.
type parser struct {
	Settings
	policy Policy
	faults Faults
}

func (p *parser) fault(setting, problem string, args ...any) {
	p.faults = append(p.faults, &Fault{setting, fmt.Sprintf(problem, args...)})
}

// Parse reads Settings. Its error is of type Faults and has all of them.
func Parse(s Settings) (*Policy, error) {
	p := parser{Settings: s}
	if !p.printable() {
		return nil, p.faults
	}
	p.policy.branch = s.Branch
	p.source()
	p.which()
	p.format()
	p.pin()
	p.soak()
	if len(p.faults) > 0 {
		return nil, p.faults
	}
	return &p.policy, nil
}

// printable refuses what would make a mess of messages and commits.
func (p *parser) printable() bool {
	for _, s := range []struct{ name, value string }{
		{"tag_from", p.TagFrom}, {"version", p.Version}, {"tag_pattern", p.TagPattern}, {"tag_order", p.TagOrder},
		{"tag_format", p.TagFormat}, {"tag_type", p.TagType}, {"pin", p.Pin}, {"soak", p.Soak},
	} {
		switch {
		case len(s.value) > maxSetting:
			p.fault(s.name, "it has %d bytes: use at most %d", len(s.value), maxSetting)
		case strings.ContainsFunc(s.value, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }):
			p.fault(s.name, "%s has characters that cannot be printed: write it anew", quote(s.value))
		}
	}
	return len(p.faults) == 0
}

func (p *parser) source() {
	kind, name, _ := strings.Cut(p.TagFrom, ":")
	switch {
	case p.TagFrom == "" || p.TagFrom == "branch":
		p.policy.source = Branch
	case p.TagFrom == "tags":
		p.policy.source = GitTags
	case p.TagFrom == "registry":
		p.policy.source = Registry
	case kind == "deployment":
		p.policy.source = Promotion
		namespace, deployment, _ := strings.Cut(name, "/")
		p.policy.from = Workload{namespace, deployment}
		switch {
		case !dnsLabel.MatchString(namespace) || !dnsDomain.MatchString(deployment) || len(deployment) > 253:
			p.fault("tag_from", "%s names no Deployment: write deployment:NAMESPACE/NAME", quote(p.TagFrom))
		case p.policy.from == p.Self:
			p.fault("tag_from", "deployment %s cannot be promoted from itself: name the one that runs the tag first", p.Self)
		}
	default:
		p.fault("tag_from", "%s is no source: use branch, tags, registry or deployment:NAMESPACE/NAME", quote(p.TagFrom))
	}
}

// which reads what says which of many tags is wanted.
func (p *parser) which() {
	if p.policy.source != GitTags && p.policy.source != Registry {
		for _, s := range []struct{ name, value string }{{"version", p.Version}, {"tag_pattern", p.TagPattern}, {"tag_order", p.TagOrder}} {
			if s.value != "" && !p.faulty("tag_from") {
				p.fault(s.name, "it chooses among tags, and here none are listed: set tag_from to tags or registry, or remove %s", s.name)
			}
		}
		return
	}
	r := &rule{spec: spec{constraint: strings.TrimSpace(p.Version), pattern: p.TagPattern, order: order(p.TagOrder)}}
	p.policy.rule = r
	switch r.spec.order {
	case "":
		r.spec.order = bySemver
	case bySemver, byNumber, byAlphabet:
	default:
		p.fault("tag_order", "%s is no order: use semver, numerical or alphabetical", quote(p.TagOrder))
	}
	switch {
	case r.spec.order == bySemver:
		if r.spec.constraint == "" {
			r.spec.constraint = "*"
		}
		var err error
		if r.constraint, err = semver.NewConstraint(r.spec.constraint); err != nil {
			p.fault("version", "%s is no constraint for semantic versions: write one like ^1.4, ~1.4.2, >=2 <3 or *", quote(p.Version))
		} else if tildeZero.MatchString(r.spec.constraint) {
			p.fault("version", "%s would fit every version: write >=0.0.0 <0.1.0 instead, or * if all are wanted", quote(p.Version))
		}
	case p.Version != "" && !p.faulty("tag_order"):
		p.fault("version", "it is for semantic versions, and tag_order is %s: remove one of the two", p.TagOrder)
	}
	p.pattern(r)
}

func (p *parser) pattern(r *rule) {
	if p.TagPattern == "" {
		return
	}
	var err error
	if r.pattern, err = regexp.Compile(p.TagPattern); err != nil {
		p.fault("tag_pattern", "%s is no regular expression (RE2, without look-around and back-references): %s",
			quote(p.TagPattern), oneLine(strings.TrimPrefix(err.Error(), "error parsing regexp: ")))
		return
	}
	for i, name := range r.pattern.SubexpNames() {
		switch {
		case name == "version":
			r.group = i
		case strings.EqualFold(name, "version"):
			p.fault("tag_pattern", "its group is called %s: what is compared must be called version, as in (?P<version>…)", name)
		}
	}
}

func (p *parser) format() {
	switch p.TagType {
	case "", "long", "short":
	default:
		p.fault("tag_type", "%s is no type: use long or short", quote(p.TagType))
	}
	text := p.TagFormat
	switch {
	case text != "":
	case p.policy.source != Branch:
		text = "{tag}"
	case p.TagType == "short":
		text = "{short}"
	default:
		text = "{sha}"
	}
	f, problem := parseFormat(text, p.policy.source, p.Branch)
	if problem != "" && !p.faulty("tag_from") {
		p.fault("tag_format", "%s", problem)
	}
	p.policy.format = f
}

func (p *parser) pin() {
	if p.Pin != "" && !imageTag.MatchString(p.Pin) {
		p.fault("pin", "%s is no image tag: %s", quote(p.Pin), goodTag)
	}
	p.policy.pin = p.Pin
}

func (p *parser) soak() {
	if p.Soak == "" {
		return
	}
	d, err := time.ParseDuration(strings.ReplaceAll(p.Soak, " ", ""))
	switch {
	case err != nil || d < 0:
		p.fault("soak", "%s is no duration: write one like 30m or 1h30m", quote(p.Soak))
	case p.policy.source != Promotion && d > 0 && !p.faulty("tag_from"):
		p.fault("soak", "it is how long another Deployment must have run a tag: set tag_from to deployment:NAMESPACE/NAME, or remove soak")
	}
	p.policy.soak = d
}

func (p *parser) faulty(setting string) bool {
	for _, f := range p.faults {
		if f.Setting == setting {
			return true
		}
	}
	return false
}

// quote prints a value that somebody wrote, bounded and in one line.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:most], ""))
	}
	return fmt.Sprintf("%q", s)
}

// oneLine makes one bounded, printable line.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if s = strings.Join(strings.Fields(s), " "); len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
