package k8s

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"
)

// links follows how requests to the API server fare: client-go tries again and
// again, and says little of it.
type links struct {
	log    *zap.Logger
	server string
	quiet  func() bool // problem is asked for, so nothing need be logged

	mu     sync.Mutex
	broken []failure // oldest first
}

// call is a kind of request: to list or to watch a namespace's Deployments.
type call struct{ namespace, verb string }

type failure struct {
	call
	kind string // failures of one kind are one state, however their texts differ
	text string
}

// report takes note of how a request ended.
func (l *links) report(ctx context.Context, of call, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return // the end, or only the need to list again
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.broken = slices.DeleteFunc(l.broken, func(f failure) bool {
			// Who can watch need not list: a watch begins with everything there is.
			return f.call == of || of.verb == "watch" && f.namespace == of.namespace
		})
		return
	}
	now := failure{call: of}
	now.kind, now.text = l.explain(err)
	if i := slices.IndexFunc(l.broken, func(f failure) bool { return f.kind == now.kind }); i >= 0 {
		now.text = l.broken[i].text
	} else if !l.quiet() {
		l.log.Warn("Deployments cannot be listed; trying again", zap.String("error", now.text))
	}
	if i := slices.IndexFunc(l.broken, func(f failure) bool { return f.call == of }); i >= 0 {
		l.broken[i] = now
	} else {
		l.broken = append(l.broken, now)
	}
}

func (l *links) problem() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.broken) == 0 {
		return ""
	}
	return l.broken[0].text
}

// explain says in plain words why a request failed.
func (l *links) explain(err error) (kind, text string) {
	switch status := apierrors.APIStatus(nil); {
	case apierrors.IsUnauthorized(err):
		return "unauthorized", "the API server " + l.server + " does not accept the credentials: token or certificate are missing, invalid or expired"
	case apierrors.IsForbidden(err):
		text := denial(err)
		return text, "forbidden: " + text + ": allow it to get, list and watch deployments.apps"
	case errors.As(err, &status):
		s := status.Status()
		return string(s.Reason), "the API server " + l.server + " answers: " + s.Message
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the long address
	}
	return "unreachable", "cannot reach the API server " + l.server + ": " + err.Error()
}

// denial returns who may not do what, as RBAC said it.
func denial(err error) string {
	_, text, found := strings.Cut(err.Error(), " is forbidden: ")
	if !found {
		text = err.Error()
	}
	return text
}

// client-go logs through klog, which writes to standard error unless told
// otherwise, before anything uses it. What concerns the operator comes as
// errors, too.
func init() { klog.SetLogger(logr.Discard()) }

// debugLogger passes client-go's messages on at level debug. They go up to
// verbosity 4: beyond that, whole requests are logged.
func debugLogger(log *zap.Logger) logr.Logger {
	if !log.Core().Enabled(zap.DebugLevel) {
		return logr.Discard()
	}
	return funcr.New(func(_, args string) { log.Debug("client-go", zap.String("message", args)) }, funcr.Options{Verbosity: 4})
}
