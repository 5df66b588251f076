package k8s

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cenkalti/backoff/v4"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	eventrecord "k8s.io/client-go/tools/record"
	"k8s.io/client-go/tools/record/util"
	"k8s.io/client-go/util/flowcontrol"
)

const (
	eventSource = "gitops-operator" // what kubectl shows in the column From

	maxEventMessage = 1024   // bytes: what the API allows in a note
	maxEvents       = 10_000 // that wait to be written
	maxKnownEvents  = 20_000 // that are counted instead of written anew

	// eventsPerSecond and eventsAtOnce are what a kubelet is bounded by.
	eventsPerSecond = 50
	eventsAtOnce    = 100

	eventTime     = 10 * time.Second // one request
	eventPatience = 2 * time.Minute  // of tries, while the API server is away
	eventSilence  = time.Hour        // between log lines about the same trouble
)

// Event is something to tell about a Deployment.
type Event struct {
	Warning bool
	Reason  string // in CamelCase, as kubectl shows it
	Message string // made one line of at most 1,024 bytes
}

// Events writes Kubernetes Events about Deployments, one after the other, in
// the order in which they were recorded. The same Event again becomes a count;
// many that differ in their message only become one; and client-go's usual
// bounds for one object hold (25 at once, then one in 5 minutes). What cannot be
// written is logged and forgotten: Events are for people, nothing depends on
// them. It is safe for concurrent use.
type Events struct {
	core       rest.Interface
	links      *links
	log        *zap.Logger
	correlator *eventrecord.EventCorrelator
	limit      flowcontrol.RateLimiter
	patience   time.Duration
	silenced   map[string]time.Time // kinds of trouble, and when they were logged; the writer's

	life  context.Context // of requests
	kill  context.CancelFunc
	ended chan struct{}

	mu      sync.Mutex
	wake    sync.Cond
	line    []*corev1.Event
	waiting map[eventKey]bool // those in the line
	lost    int               // since the writer last looked
	idle    bool              // the writer waits for the next
	closed  bool
}

// eventKey tells whether two Events are the same.
type eventKey struct {
	uid             types.UID
	namespace, name string
	Event
}

// RecordEvents starts to write Events to the cluster; Close must end that.
func (c *Cluster) RecordEvents() *Events {
	e := &Events{
		core: c.core, links: &c.links, log: c.log, patience: eventPatience,
		correlator: eventrecord.NewEventCorrelatorWithOptions(eventrecord.CorrelatorOptions{LRUCacheSize: maxKnownEvents}),
		limit:      flowcontrol.NewTokenBucketRateLimiter(eventsPerSecond, eventsAtOnce),
		silenced:   map[string]time.Time{},
		ended:      make(chan struct{}),
		waiting:    map[eventKey]bool{},
	}
	e.wake.L = &e.mu
	e.life, e.kill = context.WithCancel(context.Background())
	go e.write()
	return e
}

// Record keeps an Event to be written, and returns at once. One that waits to
// be written already is not kept twice.
func (e *Events) Record(t Target, ev Event) {
	ev.Message = oneLine(ev.Message, maxEventMessage)
	now := metav1.Now()
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: util.GenerateEventName(t.Name, now.UnixNano()), Namespace: t.Namespace},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "apps/v1", Kind: "Deployment", Namespace: t.Namespace, Name: t.Name, UID: t.UID,
		},
		Type: corev1.EventTypeNormal, Reason: ev.Reason, Message: ev.Message,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: eventSource}, ReportingController: eventSource,
	}
	if ev.Warning {
		event.Type = corev1.EventTypeWarning
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch key := keyOf(event); {
	case e.closed || e.waiting[key]:
	case len(e.line) == maxEvents:
		e.lost++
	default:
		e.waiting[key] = true
		e.line = append(e.line, event)
		e.wake.Signal()
	}
}

func keyOf(e *corev1.Event) eventKey {
	of := e.InvolvedObject
	return eventKey{of.UID, of.Namespace, of.Name, Event{e.Type == corev1.EventTypeWarning, e.Reason, e.Message}}
}

// Close writes what was recorded until ctx is done, drops the rest, and returns
// when nothing is being written any more.
func (e *Events) Close(ctx context.Context) {
	e.mu.Lock()
	e.closed = true
	e.wake.Signal()
	e.mu.Unlock()
	defer context.AfterFunc(ctx, e.kill)()
	<-e.ended
	e.kill()
}

// next waits for an Event to write; nil: that was all.
func (e *Events) next() (event *corev1.Event, lost int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.idle = true
	for len(e.line) == 0 && !e.closed {
		e.wake.Wait()
	}
	e.idle = false
	lost, e.lost = e.lost, 0
	if e.life.Err() != nil {
		lost += len(e.line)
		e.line = nil
	}
	if len(e.line) == 0 {
		return nil, lost
	}
	event, e.line = e.line[0], e.line[1:]
	delete(e.waiting, keyOf(event))
	return event, lost
}

// write writes Events until Close.
func (e *Events) write() {
	defer close(e.ended)
	for {
		event, lost := e.next()
		if lost > 0 {
			e.trouble("lost", "Events were dropped: more came than could be written", zap.Int("dropped", lost))
		}
		if event == nil {
			return
		}
		if err := e.send(event); err != nil && e.life.Err() == nil {
			e.failed(err)
		}
	}
}

// send creates an Event, or counts up the one that there is.
func (e *Events) send(event *corev1.Event) error {
	result, err := e.correlator.EventCorrelate(event)
	if err != nil || result.Skip {
		return err
	}
	try := func() error {
		ctx, cancel := context.WithTimeout(e.life, eventTime)
		defer cancel()
		if err := e.limit.Wait(ctx); err != nil {
			return backoff.Permanent(err)
		}
		written, err := e.put(ctx, result.Event, result.Patch)
		switch {
		case err == nil:
			e.correlator.UpdateState(written)
			return nil
		case apierrors.IsAlreadyExists(err): // an answer was lost on the way
			return nil
		case transient(err):
			return err
		}
		return backoff.Permanent(err)
	}
	wait := backoff.NewExponentialBackOff(backoff.WithMaxInterval(20*time.Second), backoff.WithMaxElapsedTime(e.patience))
	return backoff.Retry(try, backoff.WithContext(wait, e.life))
}

func (e *Events) put(ctx context.Context, event *corev1.Event, patch []byte) (*corev1.Event, error) {
	var written corev1.Event
	if event.Count > 1 {
		err := e.core.Patch(types.StrategicMergePatchType).Namespace(event.Namespace).Resource("events").Name(event.Name).Body(patch).Do(ctx).Into(&written)
		if !apierrors.IsNotFound(err) { // Events are kept for an hour
			return &written, err
		}
	}
	event.ResourceVersion = ""
	return &written, e.core.Post().Namespace(event.Namespace).Resource("events").Body(event).Do(ctx).Into(&written)
}

// transient says whether it may help to try again.
func transient(err error) bool {
	var answer apierrors.APIStatus
	return !errors.As(err, &answer) || apierrors.IsInternalError(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err)
}

// failed logs why an Event could not be written.
func (e *Events) failed(err error) {
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause): // the Deployment goes, too
	case apierrors.IsForbidden(err):
		text := denial(err)
		e.trouble(text, "Events cannot be written: allow it to create and patch events, as deploy/components/events does", zap.String("reason", text))
	default:
		kind, text := e.links.explain(err)
		e.trouble(kind, "Events cannot be written", zap.String("reason", text))
	}
}

// trouble logs a kind of trouble, but not again and again.
func (e *Events) trouble(kind, message string, fields ...zap.Field) {
	if now := time.Now(); now.Sub(e.silenced[kind]) >= eventSilence {
		e.silenced[kind] = now
		e.log.Warn(message, fields...)
	}
}

// oneLine makes one printable line of a text, of at most so many bytes.
func oneLine(s string, size int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r) || r == utf8.RuneError:
			return -1
		}
		return r
	}, s)
	if len(s) <= size {
		return s
	}
	const cut = "…"
	end := size - len(cut)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + cut
}
