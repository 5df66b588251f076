# Development commands. The product itself needs only `go build`.

GO ?= go

# The race detector needs cgo, which needs a C compiler.
RACE := $(shell if [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v "$$($(GO) env CC | cut -d' ' -f1)" >/dev/null 2>&1; then echo -race; fi)
FUZZTIME ?= 10s

# What of yq is not used here; this leaves 6 MB out of the binary.
TAGS := yq_nobase64,yq_nocsv,yq_nohcl,yq_noini,yq_nojson,yq_nolua,yq_noprops,yq_nosh,yq_noshell,yq_notoml,yq_nouri,yq_noxml

.PHONY: build
build: ## bin/gitops-operator
	CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags '-s -w' -o bin/gitops-operator .

.PHONY: test
test: ## formatting, vet, and all tests; the first time, it builds an API server to test with; says at the end what was left out
	@unformatted="$$(gofmt -l .)"; if [ -n "$$unformatted" ]; then echo "not gofmt'ed: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	@if [ -z "$(RACE)" ]; then echo "no C compiler: the tests run without the race detector"; fi
	@$(GO) run ./test/apiserver/install
	@TEST_REQUIRE_APISERVER=1 $(GO) run ./test/stages test $(RACE)

.PHONY: test-full
test-full: apiserver gitea ## what CI runs after `make test`: the newest git and OpenSSH, Gitea, the page, every fuzz target; says at the end what was left out
	@TEST_REQUIRE_APISERVER=1 TEST_REQUIRE_GITEA=1 $(GO) run ./test/stages full $(RACE)

.PHONY: newest
newest: ## the newest git and OpenSSH for the tests, built once from Debian's newest sources, in the user's cache directory
	@$(GO) run ./test/newest/install

.PHONY: test-faults
test-faults: ## the fault suite with its full counts, about half an hour; FAULTS_OUT=FILE writes them as Markdown
	FAULTS=full $(GO) test $(RACE) -count=1 -v -timeout 3h ./test/faults

.PHONY: apiserver
apiserver: ## kube-apiserver and etcd for the tests, built once, in the user's cache folder
	@$(GO) run ./test/apiserver/install

.PHONY: gitea
gitea: ## Gitea for the tests, built once from its module, in the user's cache directory; it needs a C compiler
	@$(GO) run ./test/gitea/install

.PHONY: test-gitea
test-gitea: gitea ## the tests that need a real Gitea (without it, `make test` skips them; part of test-full)
	TEST_REQUIRE_GITEA=1 $(GO) test $(RACE) -count=1 -timeout 20m ./test/gitea ./forge

.PHONY: deploycheck
deploycheck: ## the Dockerfile, and deploy/ with its overlays (part of test)
	cd test/deploycheck && $(GO) vet ./... && $(GO) test -count=1 ./...

.PHONY: targetscheck
targetscheck: ## what is written into kustomizations and Helm values, as kustomize's and Helm's libraries read it (part of test)
	cd test/targets && $(GO) vet ./... && $(GO) test -count=1 ./...

.PHONY: observabilitycheck
observabilitycheck: ## deploy/observability, with a real Prometheus where there is one (part of test)
	cd test/observability && $(GO) vet ./... && $(GO) test -count=1 ./...

.PHONY: browsertest
browsertest: ## the page, in a headless Chromium; SCREENSHOTS=DIR keeps pictures (part of test-full)
	cd test/browser && $(GO) vet ./... && $(GO) test -count=1 ./...

.PHONY: run
run: ## the operator against the current kubeconfig context, with readable logs
	$(GO) run . serve --log-format console

IMAGE ?= kainlite/gitops-operator:dev
.PHONY: image
image: ## the container image, for this machine
	docker build --build-arg VERSION="$$(git describe --tags --always --dirty)" --build-arg REVISION="$$(git rev-parse HEAD)" -t $(IMAGE) .

# At the end of its time, go's fuzzer now and then reports its own deadline as
# a failure, with no input to blame: such a run is repeated. A finding is not.
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (part of test-full)
	@out=$$(mktemp); trap 'rm -f "$$out"' EXIT; \
	for dir in $$($(GO) list -f '{{.Dir}}' ./...); do \
	  for target in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' "$$dir"/*_test.go 2>/dev/null | cut -d' ' -f2); do \
	    echo "$$target in $${dir#$(CURDIR)/}"; \
	    for try in 1 2 3; do \
	      if $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$$dir" >"$$out" 2>&1; then cat "$$out"; continue 2; fi; \
	      cat "$$out"; \
	      if grep -q 'Failing input written' "$$out" || ! grep -q 'context deadline exceeded' "$$out"; then exit 1; fi; \
	    done; \
	    exit 1; \
	  done; \
	done

.PHONY: bench
bench: build ## the operator against bare git and against clones; writes docs/performance.md; see there
	$(GO) run ./test/bench --operator bin/gitops-operator --out docs --command 'make bench' $(BENCHFLAGS)

.PHONY: microbench
microbench: ## the benchmarks of patcher, policy, queue and whole passes, inside the process
	$(GO) test -run '^$$' -bench . -benchmem ./patcher ./policy ./queue ./k8s ./reconcile

.PHONY: lint
lint: ## staticcheck, configured in staticcheck.conf
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

.PHONY: help
help:
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile
