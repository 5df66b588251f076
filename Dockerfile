# The operator's image. It needs BuildKit, which Docker and buildx use, or Podman:
#
#   docker buildx build --platform linux/amd64,linux/arm64 \
#     --build-arg VERSION=v1.2.3 --build-arg REVISION="$(git rev-parse HEAD)" \
#     -t kainlite/gitops-operator:v1.2.3 .

ARG VERSION=dev

# Runs on the builder's own architecture and cross-compiles: emulation is slow.
# Go is the release that go.mod asks for; of the Alpine below it, nothing is
# left in a static binary.
FROM --platform=$BUILDPLATFORM golang:1.26.8-alpine AS build
WORKDIR /src
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
# Tags and flags are those of `make build`.
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath \
      -tags yq_nobase64,yq_nocsv,yq_nohcl,yq_noini,yq_nojson,yq_nolua,yq_noprops,yq_nosh,yq_noshell,yq_notoml,yq_nouri,yq_noxml \
      -ldflags "-s -w -X main.version=$VERSION" \
      -o bin/gitops-operator .

FROM alpine:3.24

# On Alpine, git does not bring ssh; fast-import is a builtin of it. tini reaps what git and ssh leave behind.
# OpenSSH refuses to run for a uid without a passwd entry, hence a named user.
RUN apk add --no-cache ca-certificates git openssh-client-default tini && \
    addgroup -g 65532 gitops-operator && \
    adduser -D -u 65532 -G gitops-operator -s /sbin/nologin gitops-operator

COPY --from=build /src/bin/gitops-operator /usr/local/bin/gitops-operator

# By number: Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
WORKDIR /home/gitops-operator
EXPOSE 8000
ENTRYPOINT ["/sbin/tini", "--", "/usr/local/bin/gitops-operator"]

ARG VERSION
ARG REVISION=unknown
LABEL org.opencontainers.image.title="gitops-operator" \
      org.opencontainers.image.description="Moves image tags in a manifests repository to the head commits of the applications' repositories" \
      org.opencontainers.image.source="https://github.com/kainlite/gitops-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
