package patcher

import (
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

const (
	dockerHub = "docker.io"
	maxName   = 512 // bytes; a repository has at most 255, and a host as many
)

// Name is the name of an image, without tag and digest. Names are comparable.
type Name struct {
	given  string
	domain string // lower case; empty: any registry
	also   string // one more registry, for a name that names none
	path   string
}

// ParseName parses an image_name annotation. With anyRegistry, a name that
// names no registry host matches in whatever registry the manifest names.
// Its errors are of type *Error with reason ErrName.
func ParseName(name string, anyRegistry bool) (Name, error) {
	if name == "" {
		return Name{}, refuse(0, ErrName, "the image name is empty: give it without a tag, as in kainlite/blog")
	}
	// Not left to the library, whose words repeat the name as it is.
	if len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return Name{}, refuse(0, ErrName, "%s is not an image name: it is too long, or has characters that no image name has", quote(name))
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return Name{}, refuse(0, ErrName, "%s is not an image name: %v", quote(name), err)
	}
	if d, ok := named.(reference.Digested); ok {
		return Name{}, refuse(0, ErrName, "the image name %s has a digest: remove @%s", quote(name), d.Digest())
	}
	if t, ok := named.(reference.Tagged); ok {
		return Name{}, refuse(0, ErrName, "the image name %s has a tag: remove :%s", quote(name), t.Tag())
	}
	n := Name{given: name}
	n.domain, n.path = normalize(named)
	if anyRegistry && !namesHost(name, n.domain) {
		n.domain, n.path = "", name
	}
	return n, nil
}

// Or returns a name that, if it names no registry host itself, matches in the
// given registry too: a host, with its port if it has one.
func (n Name) Or(registry string) Name {
	if n.domain != "" && !namesHost(n.given, n.domain) {
		n.also = strings.ToLower(registry)
	}
	return n
}

// String returns the name as it was given.
func (n Name) String() string { return n.given }

// namesHost reports whether the registry of a name is written in it rather
// than Docker Hub by default.
func namesHost(name, domain string) bool {
	first, _, ok := strings.Cut(name, "/")
	return ok && (domain != dockerHub || strings.EqualFold(first, dockerHub) || strings.EqualFold(first, "index."+dockerHub))
}

// normalize returns the registry and the repository of a parsed reference in
// their one normal spelling.
func normalize(named reference.Named) (domain, path string) {
	domain, path = strings.ToLower(reference.Domain(named)), reference.Path(named)
	if domain == "index."+dockerHub {
		domain = dockerHub
	}
	if domain == dockerHub && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	return domain, path
}

// matches reports whether n is the name of a repository in a registry.
func (n Name) matches(domain, path string) bool {
	if n.domain == "" {
		return path == n.path || domain == dockerHub && path == "library/"+n.path
	}
	return domain == n.domain && path == n.path || domain == n.also && path == n.given
}

// ref is what an image field means.
type ref struct {
	value                     string
	domain, path, tag, digest string
	err                       error // why it is not a valid reference
}

// longestRef is the longest text that is taken for an image: hosts and
// repositories have at most 255 characters each, tags 128.
const longestRef = 768

// readRef reads an image field.
func readRef(value string) ref {
	switch {
	case len(value) > longestRef:
		return ref{err: reference.ErrNameTooLong}
	case !plausible(value): // the library takes long to find that out
		return ref{value: value, err: reference.ErrReferenceInvalidFormat}
	}
	named, err := reference.ParseNormalizedNamed(value)
	if err != nil {
		return ref{value: value, err: err}
	}
	r := ref{value: value}
	r.domain, r.path = normalize(named)
	if t, ok := named.(reference.Tagged); ok {
		r.tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		r.digest = d.Digest().String()
	}
	return r
}

// plausible reports whether a text has the characters of a reference, and no
// empty part.
func plausible(value string) bool {
	if value == "" || value[0] == '/' || value[len(value)-1] == '/' || strings.Contains(value, "//") {
		return false
	}
	return strings.IndexFunc(value, notInReference) < 0
}

// name returns the reference as it is spelled, without tag and digest.
func (r ref) name() string {
	name, _, _ := strings.Cut(r.value, "@")
	if r.tag != "" {
		name = strings.TrimSuffix(name, ":"+r.tag)
	}
	return name
}

// is reports whether r names the image n. What is no valid reference but could
// become n's, as kainlite/blog:${TAG}, counts.
func (n Name) is(r ref) bool {
	if r.err != nil {
		return n.couldBe(r.value)
	}
	return n.matches(r.domain, r.path)
}

// base is the last part of the repository.
func (n Name) base() string { return n.path[strings.LastIndexByte(n.path, '/')+1:] }

// read reports whether value names the image n, and what else it says.
func (n Name) read(value string) (ref, bool) {
	if !strings.Contains(value, n.base()) {
		return ref{}, false // most texts of a file, so no need to parse them
	}
	r := readRef(value)
	return r, n.is(r)
}

// TagOf reads an image reference: its tag, and whether it is one of the image n.
func (n Name) TagOf(reference string) (tag string, is bool) {
	r, is := n.read(reference)
	return r.tag, is && r.err == nil
}

// paths returns the repositories, in their normal spelling, that n may match.
func (n Name) paths() []string {
	paths := []string{n.path}
	if n.domain == "" {
		paths = append(paths, "library/"+n.path)
	}
	if n.also != "" && n.given != n.path {
		paths = append(paths, n.given)
	}
	return paths
}

// couldBe looks at the literal parts of a value that is no valid reference:
// its beginning, and what follows a registry that is a variable.
func (n Name) couldBe(value string) bool {
	if !strings.Contains(value, n.base()) {
		return false
	}
	if start := literalName(value); start != "" {
		if !plausible(start) {
			return false
		}
		named, err := reference.ParseNormalizedNamed(start)
		return err == nil && n.matches(normalize(named))
	}
	for literal := range strings.FieldsFuncSeq(value, notInReference) {
		_, rest, _ := strings.Cut(literal, "/")
		path := literalName(rest)
		if path != "" && (path == n.path || "library/"+path == n.path) {
			return true
		}
	}
	return false
}

// literalName cuts off the tag, the digest, and all from the first character
// that no reference contains.
func literalName(value string) string {
	if i := strings.IndexFunc(value, notInReference); i >= 0 {
		value = value[:i]
	}
	value, _, _ = strings.Cut(value, "@")
	if i := strings.LastIndexByte(value, ':'); i > strings.LastIndexByte(value, '/') {
		value = value[:i]
	}
	return value
}

func notInReference(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-/:@", r))
}

var tagPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// CheckTag says whether a container runtime would accept tag. Its error is an
// *Error with reason ErrTag.
func CheckTag(tag string) error {
	if !tagPattern.MatchString(tag) {
		return refuse(0, ErrTag, "%s is not an image tag: use 1 to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'", quote(tag))
	}
	return nil
}

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// CheckDigest says whether digest is one that is written: sha256: and 64
// hexadecimal digits. Its error is an *Error with reason ErrDigest.
func CheckDigest(digest string) error {
	if !digestPattern.MatchString(digest) {
		return refuse(0, ErrDigest, "%s is not a digest: use sha256: and 64 hexadecimal digits in lower case", quote(digest))
	}
	return nil
}

// sexagesimal is how YAML 1.1, which many tools still read, writes numbers in
// base 60: 12:30 is 750.
var sexagesimal = regexp.MustCompile(`^[0-9][0-9_]*:[0-5]?[0-9](?:\.[0-9_]*)?$`)

// readsAsNumber reports whether some reader takes the plain scalar NAME:TAG
// for a number. No other type of YAML 1.1 or 1.2 can look like that.
func readsAsNumber(value string) bool { return sexagesimal.MatchString(value) }

// notText matches what some reader of YAML 1.1 or 1.2 takes for a number, a date,
// a bool or null where it stands alone; maybeNumber is wider, and cheap to be
// sure of.
var (
	notText     = regexp.MustCompile(`^(?i:~|null|true|false|yes|no|on|off|y|n|0b[01_]+|0x[0-9a-f_]+|0o[0-7_]+|[-+]?[0-9][0-9_]*(\.[0-9_]*)?(e[-+]?[0-9]+)?|\.[0-9_]+(e[-+]?[0-9]+)?|[-+]?\.inf|\.nan|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?)$`)
	maybeNumber = regexp.MustCompile(`^[0-9_][0-9a-fA-FxXoO_.+-]*$`)
)

// needsQuotes reports whether a tag is to be quoted where it stands alone.
func needsQuotes(tag string) bool {
	return notText.MatchString(tag) || maybeNumber.MatchString(tag) && strings.Count(tag, ".") < 2
}
