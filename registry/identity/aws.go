package identity

import (
	"context"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/authn"
)

// ecrHost has the account, whether it is a FIPS endpoint, and the region. The
// suffixes are those of Amazon's own credential helper.
var ecrHost = regexp.MustCompile(`^\d{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9]+(?:-[a-z0-9]+)+)\.(?:` +
	`amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$`)

// aws gets tokens for Amazon's Elastic Container Registry: with the role of the
// service account (IRSA), with EKS Pod Identity, or with that of the node.
type aws struct{}

func (aws) scope(host string) string {
	m := ecrHost.FindStringSubmatch(host)
	if m == nil {
		return ""
	}
	return "aws " + m[2] + m[1] // one token is good for all accounts of a region
}

func (aws) fetch(ctx context.Context, host string) (token, error) {
	m := ecrHost.FindStringSubmatch(host)
	region := m[2]
	what := "get token for ECR in " + region
	options := []func(*config.LoadOptions) error{
		config.WithRegion(region),
		config.WithSharedConfigFiles([]string{}), // a pod has none, and they may start processes
		config.WithSharedCredentialsFiles([]string{}),
		config.WithRetryMaxAttempts(2),
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return token{}, failed(what, err.Error(), err)
	}
	client := ecr.NewFromConfig(cfg, func(o *ecr.Options) {
		if m[1] != "" {
			o.EndpointOptions.UseFIPSEndpoint = 1
		}
	})
	answer, err := client.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	var api smithy.APIError
	switch {
	case errors.As(err, &api):
		return token{}, failed(what, api.ErrorCode()+": "+api.ErrorMessage(), err)
	case err != nil:
		return token{}, failed(what, innermost(err), err)
	}
	for _, data := range answer.AuthorizationData {
		if data.AuthorizationToken == nil || data.ExpiresAt == nil {
			continue
		}
		plain, err := base64.StdEncoding.DecodeString(*data.AuthorizationToken)
		user, password, found := strings.Cut(string(plain), ":")
		if err == nil && found {
			return token{authn.AuthConfig{Username: user, Password: password}, *data.ExpiresAt}, nil
		}
	}
	return token{}, failed(what, "the answer holds no token", nil)
}

// innermost is what went wrong in the end: what is around it repeats the names
// of operations.
func innermost(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
