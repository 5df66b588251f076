package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/kainlite/gitops-operator/builds"
	"github.com/kainlite/gitops-operator/internal/secret"
	"github.com/kainlite/gitops-operator/k8s"
	"github.com/kainlite/gitops-operator/notify"
	"github.com/kainlite/gitops-operator/registry"
)

// secretsAtOnce bounds the Secrets that one group reads at once.
const secretsAtOnce = 8

// look is a question to a registry; commit one to what builds it. Who asks is a
// part of both: the answer may depend on it.
type (
	look   struct{ image, credentials string }
	commit struct{ owner, name, sha, token string }
)

// errUnanswered is why a group goes on without an answer.
var errUnanswered = errors.New("no answer yet")

// gate ends, or puts off, the deployments whose image is not there. The
// reference that is checked is the one that the manifest will get.
func (g *group) gate(ctx context.Context, behind []*deployment) {
	p := newPatience(g.Patience)
	defer p.stop()
	reading := make(chan struct{}, secretsAtOnce)
	var wg sync.WaitGroup
	for _, d := range behind {
		wg.Go(func() {
			defer g.recovered(d)
			g.inspect(d.in(ctx), d, p, reading)
		})
	}
	wg.Wait()
}

// holdTogether ends the deployments that share an image with one that the gate
// has just ended: an edit is for all who claim the image.
func (g *group) holdTogether(behind []*deployment) {
	type place struct {
		file   *manifest
		offset int
	}
	held := map[place]*deployment{}
	for _, d := range behind {
		if !d.ended {
			continue
		}
		for _, s := range d.spots {
			for _, p := range s.places {
				held[place{s.file, p.Offset}] = d
			}
		}
	}
	by := func(d *deployment) *deployment {
		for _, s := range d.spots {
			for _, p := range s.places {
				if by := held[place{s.file, p.Offset}]; by != nil {
					return by
				}
			}
		}
		return nil
	}
	for _, d := range g.open() {
		switch by := by(d); {
		case by == nil:
		case by.result.Action == ActionPending:
			res := Pending(d.target)
			res.Message = fmt.Sprintf("Deployment %s shares its image with deployment %s, which waits: %s", d.target.Name, by.target.Key(), by.result.Message)
			d.end(res, by.again)
		default:
			f, image := d.shared(by)
			g.fail(d, g.inFile(d, f, fmt.Errorf("image %s is shared with deployment %s, which failed: %s", image, by.target.Key(), by.result.Message)))
		}
	}
}

// withTag returns an image with another tag.
func withTag(image, tag string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return image + ":" + tag // package registry says what is wrong with it
	}
	return reference.FamiliarName(named) + ":" + tag
}

// inspect decides about one deployment: nothing happens when its images are
// there, or when nobody asked for a check. Where digests are pinned, it takes them
// down.
func (g *group) inspect(ctx context.Context, d *deployment, p *patience, reading chan struct{}) {
	reading <- struct{}{}
	credentials, from, gated, err := g.credentials(ctx, d.target)
	<-reading
	if err != nil {
		g.fail(d, because(reasonSecret, err))
		return
	}
	images := d.behind
	if d.target.Spec.PinDigest {
		images = d.images(true)
	}
	if !gated {
		d.log().Debug("no image gate is configured: patched without a check", append(d.about(), zap.String("image", strings.Join(images, ", ")))...)
		return
	}
	digests := make([]string, len(images))
	errs := make([]error, len(images))
	var wg sync.WaitGroup
	for i, image := range images {
		wg.Go(func() { digests[i], errs[i] = g.digest(ctx, d, p, image, from, credentials) })
	}
	wg.Wait()
	for i, image := range images {
		host := registry.Host(image)
		switch err := errs[i]; {
		case errors.Is(err, errUnanswered):
			g.goOn(d, "registry "+host)
		case isNotAsked(err):
			g.leaveOut(d, err)
		case err != nil:
			g.fail(d, err)
		case digests[i] == "":
			g.await(ctx, d, p, image)
		default:
			continue
		}
		return
	}
	if d.target.Spec.PinDigest {
		d.digests = map[string]string{}
		for i, image := range images {
			d.digests[image] = digests[i]
		}
	}
}

// digest asks a registry for the digest of an image with its tag; it is empty where
// the registry does not have it.
func (g *group) digest(ctx context.Context, d *deployment, p *patience, image, from string, credentials *registry.Credentials) (digest string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("internal error, please report it: %v", v)
		}
	}()
	return answer(ctx, p, &g.looks, g.memory.looks, look{image, from}, d.since(), func() *question[string] {
		return pose(g.outliving(ctx), &g.questions, "registry "+registry.Host(image), registry.IsSilent, func(ctx context.Context) (string, error) {
			return g.Registry.Digest(ctx, image, credentials)
		})
	})
}

// since is from when on somebody wants to know about the deployment: what was
// asked later serves.
func (d *deployment) since() time.Time {
	if !d.job.Requested.IsZero() {
		return d.job.Requested
	}
	return d.job.Since
}

// outliving returns a context that ends with the Reconciler, and not with the
// group, whose values it has.
func (g *group) outliving(ctx context.Context) context.Context {
	return lasting{Context: g.life, values: ctx}
}

type lasting struct {
	context.Context
	values context.Context
}

func (l lasting) Value(key any) any { return l.values.Value(key) }

// goOn puts a deployment off whose server has not answered: the others do not
// wait for that.
func (g *group) goOn(d *deployment, server string) {
	res := Pending(d.target)
	res.Message = fmt.Sprintf("Deployment %s waits for an answer from %s", d.target.Name, server)
	d.end(res, headAgain)
}

// leaveOut ends a deployment whose server is not asked for now. It has not
// failed: nothing is known about it.
func (g *group) leaveOut(d *deployment, err error) {
	res := Pending(d.target)
	res.Message = fmt.Sprintf("Deployment %s is left as it is: %s; the first pass then looks again", d.target.Name, err)
	if !d.guest {
		g.complain(d.log(), zapcore.WarnLevel, d.waiting(), "silent", res.Message, d.about()...)
	}
	d.end(res, 0)
}

// credentials returns what to show to the registry, the Secret it is from, and
// whether there is a gate at all: any registry annotation, pin_digest, or the
// default Secret, asks for one.
func (g *group) credentials(ctx context.Context, t k8s.Target) (cred *registry.Credentials, from string, gated bool, err error) {
	c, ref := t.Spec, t.Spec.RegistrySecret()
	named := c.RegistrySecretName != nil || c.RegistrySecretNamespace != nil
	var secret map[string][]byte
	// The default Secret too is used only for whom it is meant.
	if err = g.Policy.Allow(t.Namespace, ref); err == nil {
		secret, err = g.secret(ctx, ref)
	}
	switch {
	case named && errors.Is(err, k8s.ErrSecretNotFound):
		return nil, "", true, fmt.Errorf("read registry credentials: %w: create it, or correct gitops.operator.registry_secret_name and registry_secret_namespace", err)
	case named && err != nil:
		return nil, "", true, fmt.Errorf("read registry credentials: %w", err)
	case errors.Is(err, k8s.ErrSecretNotFound) || errors.Is(err, k8s.ErrSecretForbidden):
		return nil, "", c.RegistryURL != nil || c.PinDigest, nil // nobody made the default Secret, or not for us: anonymous, or no gate
	case err != nil:
		return nil, "", true, fmt.Errorf("read registry credentials: %w", err) // whether there is a gate is not known
	}
	for _, key := range []string{".dockerconfigjson", "config.json"} {
		if config, ok := secret[key]; ok {
			cred, err = registry.ParseCredentials(config)
			if err != nil {
				return nil, "", true, fmt.Errorf("read registry credentials: secret %s: %w", ref, err)
			}
			return cred, ref.String(), true, nil
		}
	}
	return nil, "", true, fmt.Errorf("read registry credentials: secret %s has neither .dockerconfigjson nor config.json: create it with kubectl create secret docker-registry %s -n %s --from-file=.dockerconfigjson=FILE",
		ref, ref.Name, ref.Namespace)
}

// await decides about a deployment whose image is not there: while it is being
// built it waits, holding nothing and nobody up.
func (g *group) await(ctx context.Context, d *deployment, p *patience, image string) {
	if d.head == "" { // a pinned tag, or one that is promoted
		g.fail(d, because(ReasonImageMissing, fmt.Errorf("image %s not found in registry: push it, or correct what says that this tag is wanted", image)))
		return
	}
	state, err := g.build(ctx, d, p)
	switch {
	case errors.Is(err, errUnanswered):
		g.goOn(d, d.target.Spec.App.Host())
		return
	case isNotAsked(err):
		g.leaveOut(d, err)
		return
	case err != nil:
		g.fail(d, because(ReasonImageMissing, fmt.Errorf("image %s is not in the registry, and its build cannot be looked up: %w", image, err)))
		return
	}
	w := g.waits.of(d.waitKey(), image)
	name := strings.TrimSuffix(image, ":"+d.want)
	switch state {
	case builds.Running, builds.Queued:
		switch {
		case time.Until(w.due) > 0: // somebody asked before it was due
		case w.attempt >= g.Wait.Attempts:
			g.failWith(d, because(ReasonImageMissing, fmt.Errorf("image %s not found in registry after waiting for build: the build is still %s; the next pass looks again", image, state)), notify.ImageMissing(name, d.want))
			return
		default:
			w.attempt++
			delay := g.Wait.delay(w.attempt)
			w.due = time.Now().Add(delay)
			g.tell(d, notify.BuildRunning(name, d.head, delay, w.attempt, g.Wait.Attempts))
		}
		g.putOff(d, w, fmt.Sprintf("waits for image %s: its build is %s (attempt %d/%d)", image, state, w.attempt, g.Wait.Attempts))
	case builds.Completed:
		switch {
		case time.Until(w.due) > 0 && w.grace:
		case w.grace:
			g.failWith(d, because(ReasonImageMissing, fmt.Errorf("image %s not found in registry although the build of %s completed: possible image name mismatch, compare image_name with what the build pushes", image, d.head)),
				notify.ImageMissing(name, d.want))
			return
		default:
			w.grace = true
			w.due = time.Now().Add(g.Wait.First)
		}
		g.putOff(d, w, fmt.Sprintf("waits for image %s: its build completed, the registry may lag", image))
	case builds.Failed:
		g.failWith(d, because(ReasonImageMissing, fmt.Errorf("build failed for %s (SHA: %s), image will not be available: fix the build, or push a new commit", name, d.head)), notify.BuildFailed(name, d.head))
	default:
		g.fail(d, because(ReasonImageMissing, fmt.Errorf("image %s not found in registry, and no build of %s found: start one, or push the image", image, d.head)))
	}
}

// build looks up how the build of a deployment's commit stands.
func (g *group) build(ctx context.Context, d *deployment, p *patience) (builds.State, error) {
	owner, name, ok := g.Builds.Repository(d.target.Spec.App.Host(), d.target.Spec.App.Path())
	if !ok {
		return builds.None, fmt.Errorf("%s is not on GitHub", d.target.Spec.App)
	}
	ref, ok := d.target.Spec.GitHubTokenSecret()
	if !ok {
		return builds.None, errors.New("no token: set gitops.operator.github_token_secret_name")
	}
	if err := g.Policy.Allow(d.target.Namespace, ref); err != nil {
		return builds.None, fmt.Errorf("read GitHub token: %w", err)
	}
	values, err := g.secret(ctx, ref)
	if err != nil {
		return builds.None, fmt.Errorf("read GitHub token: %w", err)
	}
	token := strings.TrimSpace(string(values["github-token"]))
	if token == "" {
		return builds.None, fmt.Errorf("read GitHub token: secret %s has no key github-token", ref)
	}
	key := commit{owner, name, d.head, secret.New(token).ID()}
	return answer(ctx, p, &g.states, g.memory.states, key, d.since(), func() *question[builds.State] {
		return pose(g.outliving(ctx), &g.questions, "the builds' host for "+d.target.Spec.App.Host(), builds.IsSilent, func(ctx context.Context) (builds.State, error) {
			return g.Builds.State(ctx, owner, name, d.head, token)
		})
	})
}

// putOff reports a deployment as pending until its next look.
func (g *group) putOff(d *deployment, w *wait, why string) {
	delay := max(time.Until(w.due), time.Millisecond)
	res := Pending(d.target)
	res.Message = fmt.Sprintf("Deployment %s %s; next look in %s", d.target.Name, why, delay.Round(time.Second))
	if !d.guest {
		g.complain(d.log(), zapcore.InfoLevel, d.waiting(), why, res.Message, d.about()...)
	}
	d.end(res, delay)
}

// Wait says how long to wait for an image that is being built.
type Wait struct {
	Attempts   int           // looks after the first
	First, Max time.Duration // the delay before the first of them, which doubles, and its bound
}

func (w Wait) delay(attempt int) time.Duration {
	delay := w.First
	for range attempt - 1 {
		if delay *= 2; delay >= w.Max {
			break
		}
	}
	return min(delay, w.Max)
}

// waits remembers, from one run of a job to the next and from pass to pass, how
// far the waiting for each Deployment's image has come. Only the image's arrival
// ends it: else each pass would begin the attempts, and their messages, anew.
type waits struct {
	mu    sync.Mutex
	known map[string]*wait
	swept time.Time
}

// keepWaits is how long a wait is remembered that nobody looks at again: its
// Deployment was deleted, or renamed.
const keepWaits = 24 * time.Hour

// wait is how far it has come for one image with its tag. One group works on a Deployment at a
// time, so only the map needs a lock.
type wait struct {
	image   string
	attempt int
	due     time.Time
	grace   bool // the look after a completed build was promised
	used    time.Time
}

// of returns the wait of a Deployment. A newer commit starts anew.
func (ws *waits) of(key, image string) *wait {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	now := time.Now()
	ws.sweep(now)
	w := ws.known[key]
	if w == nil || w.image != image {
		if ws.known == nil {
			ws.known = map[string]*wait{}
		}
		w = &wait{image: image}
		ws.known[key] = w
	}
	w.used = now
	return w
}

// sweep forgets the waits that nobody looks at; ws.mu is held.
func (ws *waits) sweep(now time.Time) {
	if now.Sub(ws.swept) < keepWaits {
		return
	}
	ws.swept = now
	for key, w := range ws.known {
		if now.Sub(w.used) > keepWaits {
			delete(ws.known, key)
		}
	}
}

func (ws *waits) forget(key string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.known, key)
}
