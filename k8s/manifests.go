package k8s

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kainlite/gitops-operator/policy"
)

// manifests is what one YAML file holds for the operator. Deployments are not
// kept, only what was read out of them.
type manifests struct {
	targets   []Target
	untracked []Untracked
	observed  map[Ref]*policy.Observed
	secrets   []secret
}

type secret struct {
	ref  SecretRef
	data map[string][]byte
}

// parser collects the manifests of one file.
type parser struct {
	wanted func(*appsv1.Deployment) bool // which Deployments to take
	found  manifests
}

// parse reads a YAML file of any number of documents. Errors name document and
// line, and quote nothing of a Secret.
func (p *parser) parse(file []byte) error {
	number := 0
	for firstLine, doc := range documents(file) {
		before, ok := blankLines(doc)
		if !ok {
			continue
		}
		number++
		if kind := statedKind(doc); kind != "" && !slices.Contains(kinds, kind) {
			continue
		}
		line := firstLine + before
		object, err := yaml.YAMLToJSON(doc)
		if err != nil {
			if n, ok := faultyLine(err); ok {
				line = firstLine + n - 1
			}
			return fmt.Errorf("document %d, line %d: %w", number, line, yamlFault(err, doc))
		}
		if err := p.add(object, metav1.TypeMeta{}); err != nil {
			return fmt.Errorf("document %d, line %d: %w", number, line, err)
		}
	}
	return nil
}

// kinds are the ones worth decoding.
var kinds = []string{"Deployment", "Secret", "List", "DeploymentList", "SecretList"}

// statedKind finds the kind without decoding the document: a key that starts
// in the first column is one of the document's own. "" if there is no such
// line, as in JSON; then only decoding tells.
func statedKind(doc []byte) string {
	rest, ok := bytes.CutPrefix(doc, []byte("kind:"))
	if !ok {
		_, rest, _ = bytes.Cut(doc, []byte("\nkind:"))
	}
	rest, _, _ = bytes.Cut(rest, []byte("\n"))
	rest, _, _ = bytes.Cut(rest, []byte(" #"))
	kind := strings.Trim(string(rest), " \t\r\"'")
	if strings.ContainsFunc(kind, func(r rune) bool { return !unicode.IsLetter(r) }) {
		return "" // an anchor, say
	}
	return kind
}

// add takes in one object, or every object of a list. inherited is the type of
// an object that states none, as is usual in a DeploymentList.
func (p *parser) add(object json.RawMessage, inherited metav1.TypeMeta) error {
	switch {
	case bytes.Equal(object, []byte("null")), object[0] == '[':
		return nil // nothing, or a kustomize patch
	case object[0] != '{':
		return errors.New("neither a mapping nor a list")
	}
	kind := inherited
	if json.Unmarshal(object, &kind) != nil {
		return nil // a kind that is no text: not a Kubernetes object
	}
	group, _, _ := strings.Cut(kind.APIVersion, "/")
	apps := group == "apps" || group == "extensions"
	core := kind.APIVersion == "v1"

	switch {
	case kind.Kind == "Deployment" && apps:
		return p.addDeployment(object)
	case kind.Kind == "Secret" && core:
		return p.addSecret(object)
	case kind.Kind == "List" && core:
		return p.addItems(object, metav1.TypeMeta{})
	case kind.Kind == "DeploymentList" && apps:
		return p.addItems(object, metav1.TypeMeta{Kind: "Deployment", APIVersion: kind.APIVersion})
	case kind.Kind == "SecretList" && core:
		return p.addItems(object, metav1.TypeMeta{Kind: "Secret", APIVersion: kind.APIVersion})
	}
	return nil
}

func (p *parser) addItems(object json.RawMessage, inherited metav1.TypeMeta) error {
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(object, &list); err != nil {
		return typeFault(err)
	}
	for i, item := range list.Items {
		if err := p.add(item, inherited); err != nil {
			return fmt.Errorf("items[%d]: %w", i, err)
		}
	}
	return nil
}

func (p *parser) addDeployment(object json.RawMessage) error {
	var d appsv1.Deployment
	err := json.Unmarshal(object, &d)
	d.Namespace = orDefaultNamespace(d.Namespace)
	if err != nil {
		return fmt.Errorf("deployment %s/%s: %w", d.Namespace, d.Name, typeFault(err))
	}
	if !p.wanted(&d) {
		return nil
	}
	if p.found.observed == nil {
		p.found.observed = map[Ref]*policy.Observed{}
	}
	p.found.observed[Ref{Namespace: d.Namespace, Name: d.Name}] = observe(&d)
	target, untracked := ParseDeployment(&d)
	switch {
	case target == nil && untracked == nil:
		return nil
	case d.Name == "":
		return errors.New("deployment without a name")
	case target != nil:
		p.found.targets = append(p.found.targets, *target)
	default:
		p.found.untracked = append(p.found.untracked, *untracked)
	}
	return nil
}

// addSecret decodes the base64 itself: corev1.Secret would not say which key
// is at fault.
func (p *parser) addSecret(object json.RawMessage) error {
	var s struct {
		Metadata struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"metadata"`
		Data       map[string]string `json:"data"`
		StringData map[string]string `json:"stringData"`
	}
	err := json.Unmarshal(object, &s)
	ref := SecretRef{orDefaultNamespace(s.Metadata.Namespace), s.Metadata.Name}
	if err != nil {
		return fmt.Errorf("secret %s: %w", ref, typeFault(err))
	}
	if ref.Name == "" {
		return errors.New("secret without a name")
	}
	data := make(map[string][]byte, len(s.Data)+len(s.StringData))
	for _, key := range slices.Sorted(maps.Keys(s.Data)) {
		if data[key], err = base64.StdEncoding.DecodeString(s.Data[key]); err != nil {
			return fmt.Errorf("secret %s: data[%q]: %w", ref, key, err)
		}
	}
	for key, value := range s.StringData {
		data[key] = []byte(value)
	}
	p.found.secrets = append(p.found.secrets, secret{ref, data})
	return nil
}

// documents yields every document with the number of its first line; a
// separator belongs to the document it opens. (apimachinery's reader does not
// tell lines.)
func documents(file []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		start, startLine := 0, 1
		end, line := 0, 1
		for text := range bytes.Lines(file) {
			if separates(text) && end > start {
				if !yield(startLine, file[start:end]) {
					return
				}
				start, startLine = end, line
			}
			end += len(text)
			line++
		}
		yield(startLine, file[start:])
	}
}

func separates(line []byte) bool {
	after, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(after) == 0 || bytes.IndexByte([]byte(" \t\r\n"), after[0]) >= 0)
}

// blankLines counts the lines before the first that is not blank, a comment, a
// directive or the separator; false if there is no such line.
func blankLines(doc []byte) (n int, ok bool) {
	for line := range bytes.Lines(doc) {
		if separates(line) {
			line = line[len("---"):]
		}
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return n, true
		}
		n++
	}
	return 0, false
}

var (
	yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)
	// The other messages of the YAML parser quote the document, which may hold
	// a secret.
	yamlMessage = regexp.MustCompile(`^yaml: (?:line \d+: )?((?:found|did not find|could not find|mapping|block|control|invalid leading|invalid trailing|document|exceeded) .*)$`)
)

// faultyLine returns the line of the document that the YAML parser blames.
func faultyLine(err error) (line int, ok bool) {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, false
	}
	line, err = strconv.Atoi(m[1])
	return line, err == nil
}

func yamlFault(err error, doc []byte) error {
	text := "not valid YAML"
	if m := yamlMessage.FindStringSubmatch(err.Error()); m != nil {
		text += ": " + m[1]
	}
	if bytes.Contains(doc, []byte("{{")) {
		text += " (is it a template?)"
	}
	return errors.New(text)
}

// typeFault says which field has the wrong type, in YAML's terms and without
// the value.
func typeFault(err error) error {
	fault, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	got, _, _ := strings.Cut(fault.Value, " ") // "number 12"
	got = strings.NewReplacer("object", "mapping", "array", "list").Replace(got)
	want := fault.Type.Kind().String()
	switch fault.Type.Kind() {
	case reflect.Struct, reflect.Map:
		want = "mapping"
	case reflect.Slice:
		want = "list"
	}
	hint := ""
	if want == "string" && (got == "bool" || got == "number") {
		hint = ": put the value in quotes"
	}
	return fmt.Errorf("%s: got %s, want %s%s", fault.Field, got, want, hint)
}
