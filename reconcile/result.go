package reconcile

import (
	"context"
	"strings"
	"time"

	"github.com/kainlite/gitops-operator/k8s"
)

// What was done with a Deployment.
const (
	ActionPatched  = "patched"
	ActionUpToDate = "up_to_date"
	ActionSkipped  = "skipped"
	ActionFailed   = "failed"
	ActionPending  = "pending"
)

// Result is what a pass tells about one Deployment. The order of the fields is
// that of the JSON, which is a contract; the fields below are for people who look.
type Result struct {
	Deployment string `json:"deployment"`
	Namespace  string `json:"namespace"`
	Action     string `json:"action"`
	FromSHA    string `json:"from_sha,omitempty"`
	ToSHA      string `json:"to_sha,omitempty"`
	Status     string `json:"status"`
	Message    string `json:"message"`

	Head   string `json:"-"` // the application's commit, once it is known
	Want   string `json:"-"` // the tag that Head asks for
	Commit string `json:"-"` // the manifests commit that was pushed
}

// Outcome is how the work on a Deployment ended, or was put off.
type Outcome struct {
	Target k8s.Target
	Result Result
	// Again, if positive, says that the Deployment has no result yet: it waits for
	// its image, as Result says, and is to be given to Group again after this time.
	Again time.Duration
	Begin time.Time // of the work on its group; zero: none was done
	Begun bool      // the Observer's Began was called for it
	// Reason is that of a failure: one of Reasons.
	Reason string
	// Seen is when Result.Head was looked up; zero if that was not reached.
	Seen time.Time
	// Due is when to look at it again, where it waits for something that takes its
	// time; zero: the next pass does.
	Due time.Time
	// Behind says that the manifest does not have Head's tag; false if that is
	// not known.
	Behind bool
	// Places are where the tag is in the manifests, once that is known.
	Places []Place
}

// Done is told of the outcome of a job, by its index. ctx is of what the
// Observer's Began returned for the Deployment, or the group's.
type Done func(ctx context.Context, i int, o Outcome)

// patched is the result of a deployment that has changed.
func (d *deployment) patched() Result {
	r := result(d.target, ActionPatched, "success", "patched successfully to version "+d.saying())
	r.FromSHA, r.ToSHA = d.replaced(), d.want
	if pins := d.pins(); pins != nil && r.FromSHA == r.ToSHA {
		r.Message += " with digest " + strings.Join(pins, ", ")
	}
	if d.group.DryRun {
		r.Message += " (dry run)"
		if where := Where(d.places()); where != "" {
			r.Message += ": " + where
		}
	}
	return r
}

func upToDate(t k8s.Target, at, saying string) Result {
	r := result(t, ActionUpToDate, "success", "is up to date at "+saying)
	r.ToSHA = at
	return r
}

// Skipped is the result of a Deployment that is switched off.
func Skipped(t k8s.Target) Result {
	return result(t, ActionSkipped, "skipped", "is disabled (gitops.operator.enabled=false)")
}

// Failed is the result of a Deployment for which something went wrong.
func Failed(t k8s.Target, err error) Result {
	r := result(t, ActionFailed, "failure", "failed: "+err.Error())
	r.Message = printable(r.Message) // the others are made of checked parts only
	return r
}

// Pending is the result of a Deployment that is still being worked on.
func Pending(t k8s.Target) Result {
	return result(t, ActionPending, "pending", "is still being worked on; the pass goes on in the background")
}

func result(t k8s.Target, action, status, message string) Result {
	return Result{
		Deployment: t.Name, Namespace: t.Namespace, Action: action, Status: status,
		Message: "Deployment " + t.Name + " " + message,
	}
}
