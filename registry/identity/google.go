package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"time"

	"cloud.google.com/go/compute/metadata"
	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/oauth2"
	googleauth "golang.org/x/oauth2/google"
)

var googleHost = regexp.MustCompile(`^(([a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev)$`)

// google gets tokens for Google's Artifact Registry and gcr.io: from the
// metadata server, which on GKE answers for the pod's service account, or as
// the file says that GOOGLE_APPLICATION_CREDENTIALS names.
type google struct{}

func (google) scope(host string) string {
	if !googleHost.MatchString(host) {
		return ""
	}
	return "gcp"
}

func (google) fetch(ctx context.Context, _ string) (token, error) {
	access, ends, err := "", time.Time{}, error(nil)
	if file := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); file != "" {
		access, ends, err = fromFile(ctx, file)
	} else {
		access, ends, err = fromMetadata(ctx)
	}
	if err != nil {
		return token{}, err
	}
	return token{authn.AuthConfig{Username: "oauth2accesstoken", Password: access}, ends}, nil
}

func fromMetadata(ctx context.Context) (string, time.Time, error) {
	const what = "get token from Google's metadata server"
	answer, err := metadata.GetWithContext(ctx, "instance/service-accounts/default/token")
	var status *metadata.Error
	var undefined metadata.NotDefinedError
	switch {
	case errors.As(err, &undefined):
		return "", time.Time{}, failed(what, "it has no service account for this pod", err)
	case errors.As(err, &status):
		return "", time.Time{}, failed(what, fmt.Sprintf("%d %s", status.Code, http.StatusText(status.Code)), err)
	case err != nil:
		return "", time.Time{}, failed(what, innermost(err), err)
	}
	var body struct {
		Access  string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
	}
	if json.Unmarshal([]byte(answer), &body) != nil || body.Access == "" || body.Seconds <= 0 {
		return "", time.Time{}, failed(what, "the answer holds no token", nil)
	}
	return body.Access, time.Now().Add(time.Duration(body.Seconds) * time.Second), nil
}

// fromFile uses a service account's key, or workload identity federation.
func fromFile(ctx context.Context, file string) (string, time.Time, error) {
	const what = "get token by the file of GOOGLE_APPLICATION_CREDENTIALS"
	content, err := os.ReadFile(file)
	if err != nil {
		return "", time.Time{}, failed(what, err.Error(), err)
	}
	var head struct {
		Type   googleauth.CredentialsType `json:"type"`
		Source struct {
			Executable json.RawMessage `json:"executable"`
		} `json:"credential_source"`
	}
	if json.Unmarshal(content, &head) != nil || head.Type != googleauth.ServiceAccount && head.Type != googleauth.ExternalAccount {
		return "", time.Time{}, failed(what, "it is neither a service account's key nor the configuration of workload identity federation", nil)
	}
	if head.Source.Executable != nil {
		return "", time.Time{}, failed(what, "it names a program to run, which is not done: use a credential source of another kind", nil)
	}
	// Made for this call, so that its context holds for the call.
	cred, err := googleauth.CredentialsFromJSONWithType(ctx, content, head.Type, "https://www.googleapis.com/auth/cloud-platform")
	if err != nil {
		return "", time.Time{}, failed(what, "its content is not complete", err) // the library may quote it
	}
	t, err := cred.TokenSource.Token()
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused):
		return "", time.Time{}, failed(what, refusal(refused), err)
	case err != nil:
		return "", time.Time{}, failed(what, innermost(err), err)
	}
	return t.AccessToken, t.Expiry, nil
}

// refusal is what a token server said, if it spoke as OAuth wants.
func refusal(err *oauth2.RetrieveError) string {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	switch {
	case json.Unmarshal(err.Body, &body) == nil && body.Error != "":
		return body.Error + ": " + body.Description
	case err.Response != nil:
		return err.Response.Status
	}
	return "refused"
}
