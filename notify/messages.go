package notify

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kainlite/gitops-operator/internal/text"
)

// Kind says what a message means for those that follow it.
type Kind int

const (
	// KindSuccess is always sent, and lets the Deployment's next failure be sent.
	KindSuccess Kind = iota
	// KindProgress is always sent, and changes nothing.
	KindProgress
	// KindFailure is sent unless it is the failure that was last sent for the
	// Deployment.
	KindFailure
)

// Message is one notification. The functions below make all but About.
type Message struct {
	About string // namespace/name of the Deployment
	Kind  Kind
	Text  string // in Slack's markup, values escaped
	// Shared, of a failure that several Deployments have in common, is what
	// they share: it is remembered by that, and not by About.
	Shared string
	// In, if set, adds to the context of the requests.
	In func(context.Context) context.Context
	// Same, if set, is what makes a failure the same as the one before, in place
	// of Text.
	Same string
}

// subject is what failures are remembered by.
func (m Message) subject() string { return cmp.Or(m.Shared, m.About) }

// same is what makes a failure the same as the one before.
func (m Message) same() string { return cmp.Or(m.Same, m.Text) }

// BuildRunning says that the image is waited for: retry number attempt, of so
// many, comes after the wait.
func BuildRunning(image, sha string, wait time.Duration, attempt, of int) Message {
	seconds := strconv.FormatFloat(wait.Round(time.Millisecond).Seconds(), 'f', -1, 64)
	return Message{Kind: KindProgress, Text: fmt.Sprintf(":hourglass: Build running for %s (SHA: %s), retrying in %ss (attempt %d/%d)",
		value(image), value(sha), seconds, attempt, of)}
}

// BuildFailed says that no image will come of the commit.
func BuildFailed(image, sha string) Message {
	return Message{Kind: KindFailure, Text: fmt.Sprintf(":x: Build failed for %s (SHA: %s), image will not be available",
		value(image), value(sha))}
}

// ImageMissing says that the image did not come of its build.
func ImageMissing(image, tag string) Message {
	return Message{Kind: KindFailure, Text: fmt.Sprintf(":x: image %s:%s not found in registry after waiting for build",
		value(image), value(tag))}
}

// Failure is any other failure.
func Failure(text string) Message { return Message{Kind: KindFailure, Text: ":x: " + value(text)} }

// Success is good news.
func Success(text string) Message { return Message{Kind: KindSuccess, Text: value(text)} }

// Escape escapes the characters that have a meaning in Slack's markup.
func Escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// maxValue bounds a value, in bytes. Slack cuts messages, but much later.
const maxValue = 3000

// value makes one line of text of what comes from git, YAML or the network.
func value(s string) string { return Escape(text.Line(s, maxValue)) }
