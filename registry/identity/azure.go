package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/containers/azcontainerregistry"
	"github.com/google/go-containerregistry/pkg/authn"
)

var acrHost = regexp.MustCompile(`^[a-z0-9]{5,50}(-[a-z0-9]{1,20})?\.azurecr\.(io|cn|us)$`)

const (
	acrScope  = "https://containerregistry.azure.net/.default" // in all of Azure's clouds
	acrUnsure = 2 * early                                      // how long a token that does not say its end is good
)

// azure gets tokens for Azure's Container Registry: with workload identity, or
// with the managed identity of the node.
type azure struct {
	transport policy.Transporter // for tests; nil is the library's own
}

func (azure) scope(host string) string {
	if !acrHost.MatchString(host) {
		return ""
	}
	return "azure " + host
}

func (a azure) fetch(ctx context.Context, host string) (token, error) {
	what := "get token for " + host
	options := azcore.ClientOptions{Transport: a.transport, Retry: policy.RetryOptions{MaxRetries: 1, RetryDelay: time.Second}}
	cred, err := a.credential(options)
	if err != nil {
		return token{}, failed(what, firstLine(err), err)
	}
	entra, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{acrScope}})
	if err != nil {
		return token{}, failed(what, said(err), err)
	}
	client, err := azcontainerregistry.NewAuthenticationClient("https://"+host, &azcontainerregistry.AuthenticationClientOptions{ClientOptions: options})
	if err != nil {
		return token{}, failed(what, firstLine(err), err)
	}
	answer, err := client.ExchangeAADAccessTokenForACRRefreshToken(ctx, azcontainerregistry.PostContentSchemaGrantTypeAccessToken, host,
		&azcontainerregistry.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenOptions{AccessToken: &entra.Token})
	if err != nil {
		return token{}, failed(what, said(err), err)
	}
	if answer.RefreshToken == nil || *answer.RefreshToken == "" {
		return token{}, failed(what, "the answer holds no token", nil)
	}
	refresh := *answer.RefreshToken
	return token{authn.AuthConfig{IdentityToken: refresh}, endOf(refresh)}, nil
}

// credential is the pod's: what the workload identity webhook has put into its
// environment, else the node's.
func (a azure) credential(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	if os.Getenv("AZURE_FEDERATED_TOKEN_FILE") != "" {
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: true, // the authority is the webhook's
		})
	}
	managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
	if id := os.Getenv("AZURE_CLIENT_ID"); id != "" {
		managed.ID = azidentity.ClientID(id)
	}
	return azidentity.NewManagedIdentityCredential(managed)
}

// endOf reads when a token ends. The registry checks it, so this need not.
func endOf(jwt string) time.Time {
	var claims struct {
		Exp int64 `json:"exp"`
	}
	if parts := strings.Split(jwt, "."); len(parts) == 3 {
		if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(payload, &claims) == nil && claims.Exp > 0 {
			return time.Unix(claims.Exp, 0)
		}
	}
	return time.Now().Add(acrUnsure)
}

// said is what a server said, of the pages that the library makes of it.
func said(err error) string {
	var login *azidentity.AuthenticationFailedError
	var answer *azcore.ResponseError
	switch {
	case errors.As(err, &login) && login.RawResponse != nil:
		var body struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}
		content, _ := io.ReadAll(io.LimitReader(login.RawResponse.Body, 64<<10))
		if json.Unmarshal(content, &body) == nil && body.Error != "" {
			description, _, _ := strings.Cut(body.Description, "\n")
			return body.Error + ": " + description
		}
		return login.RawResponse.Status
	case errors.As(err, &answer):
		return strings.TrimSpace(fmt.Sprintf("%d %s", answer.StatusCode, answer.ErrorCode))
	}
	return firstLine(err)
}

func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
