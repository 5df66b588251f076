package k8s

import (
	"errors"
	"strings"

	"github.com/kainlite/gitops-operator/mask"
	"github.com/kainlite/gitops-operator/policy"
)

// TagConfig is what the annotations say of the wanted tag, as it is written.
type TagConfig struct {
	TagFrom    string `json:"tag_from,omitempty"`
	Version    string `json:"version,omitempty"`
	TagPattern string `json:"tag_pattern,omitempty"`
	TagOrder   string `json:"tag_order,omitempty"`
	TagFormat  string `json:"tag_format,omitempty"`
	Soak       string `json:"soak,omitempty"`
	Pin        string `json:"pin,omitempty"`
}

// tagAnnotations are those of TagConfig, in its order.
var tagAnnotations = []string{"tag_from", "version", "tag_pattern", "tag_order", "tag_format", "soak", "pin"}

func parseTagConfig(annotations map[string]string) TagConfig {
	of := func(name string) string { return value(annotations, name) }
	return TagConfig{of("tag_from"), of("version"), of("tag_pattern"), of("tag_order"), of("tag_format"), of("soak"), of("pin")}
}

// needsApp says whether the wanted tag is found in the application's repository:
// else none need be named.
func needsApp(annotations map[string]string) bool {
	from := value(annotations, "tag_from")
	return from != "registry" && !strings.HasPrefix(from, "deployment:")
}

// parseTag reads which tag is wanted. A Spec with a fault has a policy all the
// same, which nobody asks.
func (s *Spec) parseTag(self Ref) (faults []string) {
	for i, v := range []string{s.TagFrom, s.Version, s.TagPattern, s.TagOrder, s.TagFormat, s.Soak, s.Pin} {
		if mask.Value(v) != v { // it would be part of messages
			faults = append(faults, Prefix+tagAnnotations[i]+" looks as if it held a password or a token: remove it")
		}
	}
	if faults != nil {
		return faults
	}
	settings := policy.Settings{
		TagFrom: s.TagFrom, Version: s.Version, TagPattern: s.TagPattern, TagOrder: s.TagOrder, TagFormat: s.TagFormat,
		Soak: s.Soak, Pin: s.Pin, Branch: s.AppBranch, Self: policy.Workload{Namespace: self.Namespace, Name: self.Name},
	}
	if s.TagType == TagLong || s.TagType == TagShort { // else that is a fault already
		settings.TagType = s.TagType
	}
	var err error
	s.Tag, err = policy.Parse(settings)
	var found policy.Faults
	if !errors.As(err, &found) {
		return nil
	}
	for _, f := range found {
		faults = append(faults, Prefix+f.Error())
	}
	return faults
}

// Repository returns the image, of several the first, as its registry is asked for
// its tags.
func (s *Spec) Repository() string { return s.References()[0] }
