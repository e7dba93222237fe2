# `make demo` needs Go and make; `make test` also the Debian packages below, `make race` a C compiler. Tools are built from pinned
# versions into a folder of the user's cache, once.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO     ?= go
SIZE   ?= full# full, or ci: small, without targets
DEMO   ?= demo# folder of the demo
DATA   ?= ../shared/data/complete-journey# of make quality
FUZZ   ?= 10s# for each fuzz target
BENCH  ?= .# which Go benchmarks
COUNT  ?= 1x# how often each runs (-benchtime)
FEATURES ?=# flags of make bench-features
TRAIN  ?=# flags of make bench-train
EVAL   ?=# flags of make bench-eval
PEERS  ?=# flags of make bench-peers
PRIVACY ?=# flags of make bench-privacy

# Where the tools stand. Tests look for the S3 server there.
TOOLS := $(or $(RAPPORT_TOOLS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rapport/bin)
export RAPPORT_TOOLS := $(TOOLS)

VERSITYGW   := github.com/versity/versitygw/cmd/versitygw@v1.8.0
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# What tests run beside the S3 server, as command=package: a Redis, a browser, a reader in another language.
PACKAGES := redis-server=redis-server chromium=chromium python3=python3

# stamp PACKAGE@VERSION is the file that says that the tool is built in that version.
stamp = $(TOOLS)/.$(notdir $(1))

.PHONY: help
help: ## Show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.PHONY: demo
demo: build ## Seven nights of the main job on synthetic events, one of them drifted (DEMO=folder)
	@bin/rapport demo $(DEMO)
	@echo 'rapport    is bin/rapport here; make demo makes its folder anew each time'

.PHONY: build
build: ## Build bin/rapport
	$(GO) build -o bin/rapport ./cmd/rapport

VERSION ?= $(shell git describe --tags --always --dirty 2> /dev/null || echo unknown)
TARGETS := linux/amd64 linux/arm64 darwin/arm64

.PHONY: dist
dist: ## Static binaries for each of TARGETS in dist/, with their checksums; the same commit gives the same bytes
	@rm -rf dist; mkdir -p dist
	@for t in $(TARGETS); do \
		echo "dist/rapport-$${t%/*}-$${t#*/}"; \
		CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -buildid= -X main.version=$(VERSION)' -o "dist/rapport-$${t%/*}-$${t#*/}" ./cmd/rapport; \
	done
	@cd dist && sha256sum rapport-* > SHA256SUMS && cat SHA256SUMS

# Packages below cmd may be answered from the test cache. Those of cmd read what subprocesses say, which the cache cannot see.
# The peer of make bench-features is built with a C++ compiler, that of make bench-train with a C compiler and OpenBLAS, which has a header and no command.
# The peers of make bench-peers are Python packages; one of them is compiled.
.PHONY: packages bench-packages bench-train-packages bench-peers-packages compat-packages
bench-packages: PACKAGES := gcc=gcc g++=g++
bench-train-packages: PACKAGES := gcc=gcc /usr/include/*/openblas_config.h=libopenblas-dev
bench-peers-packages: PACKAGES := python3=python3 gcc=gcc /usr/lib/python3*/ensurepip/__init__.py=python3-venv /usr/include/python3*/Python.h=python3-dev
compat-packages: PACKAGES := python3=python3 /usr/lib/python3*/ensurepip/__init__.py=python3-venv
packages bench-packages bench-train-packages bench-peers-packages compat-packages: ## Install the Debian packages that tests (benchmarks) need; who is not root is told their names
	@missing=; for p in $(PACKAGES); do command -v "$${p%%=*}" > /dev/null || compgen -G "$${p%%=*}" > /dev/null || missing="$$missing $${p#*=}"; done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then echo "needed are the Debian packages$$missing: sudo apt-get install$$missing" >&2; exit 1; fi; \
	for try in 1 2 3; do \
		if apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing > /dev/null; then exit 0; fi; sleep 10; \
	done; echo "could not install$$missing" >&2; exit 1

.PHONY: test
test: packages $(call stamp,$(VERSITYGW)) ## Run every test, against a real S3 server too; ends with a count
	@$(GO) run ./cmd/internal/testsum $$($(GO) list ./... | grep -v /cmd/) -- -count=1 ./cmd/...

.PHONY: race
race: packages $(call stamp,$(VERSITYGW)) ## Run every test under the race detector (slow; needs a C compiler)
	@$(GO) run ./cmd/internal/testsum -race -timeout 40m ./...

.PHONY: lint
lint: $(call stamp,$(GOFUMPT)) $(call stamp,$(STATICCHECK)) ## Layout (gofumpt), go vet, staticcheck (staticcheck.conf says why each check)
	@unformatted=$$($(TOOLS)/gofumpt -l .); if [ -n "$$unformatted" ]; then echo "not as gofumpt wants it (gofumpt -w):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./... && $(GO) vet -tags purego $(addprefix ./,$(ASSEMBLY))
	$(TOOLS)/staticcheck ./...
	$(GO) mod tidy -diff
	@$(MAKE) --no-print-directory lint-assembly

# The assembly that is committed must be what its generators write. Their modules are not those of the product: who cannot get them is told so.
ASSEMBLY := models/internal/vec storage/table/internal/sha features/local/internal/words
.PHONY: lint-assembly
lint-assembly: ## The committed assembly is what the generators beside it write
	@for folder in $(ASSEMBLY); do \
		if ! (cd $$folder/asm && $(GO) mod download) > /dev/null 2>&1; then \
			[ -z "$${CI:-}" ] || { echo "the modules of $$folder/asm cannot be had" >&2; exit 1; }; \
			echo "skipped: the modules of $$folder/asm cannot be had"; continue; fi; \
		(cd $$folder && (cd asm && $(GO) vet .) && dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
		sed -n 's|^//go:generate go run -C asm \. \([a-z]*\) .*|\1|p' generate.go | while read -r unit; do \
			$(GO) run -C asm . "$$unit" -out "$$dir/$${unit}_amd64.s" -stubs "$$dir/$${unit}_stubs_amd64.go" -pkg $$(basename $$folder); \
			for f in "$${unit}_amd64.s" "$${unit}_stubs_amd64.go"; do \
				diff <(sed 1d "$$f") <(sed 1d "$$dir/$$f") > /dev/null || { echo "$$folder/$$f is not what its generator writes: go generate ./$$folder" >&2; exit 1; }; \
			done; done) || exit 1; \
	done

.PHONY: fuzz
fuzz: ## Fuzz every target for a while each (FUZZ=10s)
	@grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9]+' . | sed -E 's|/[^/]*:func |\t|' | sort -u | while IFS=$$'\t' read -r dir name; do \
		echo "$$dir $$name"; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZ) "$$dir"; done

.PHONY: chaos
chaos: ## Kill a run at each of its writes and resume it, all of them (make test does a sample)
	RAPPORT_CHAOS=all $(GO) test -count=1 -timeout 80m -run Chaos -v ./cmd/rapport

.PHONY: bench
bench: ## Run the Go benchmarks (BENCH=pattern, COUNT=1x|2s)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(COUNT) -benchmem $$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n1 dirname | sort -u)

.PHONY: bench-job
bench-job: ## Time and peak memory of the demo and of a night of MovieLens 1M's size (SIZE=ci: small)
	$(GO) run ./cmd/internal/benchjob -size $(SIZE)

.PHONY: bench-features
bench-features: bench-packages ## The feature engine against DuckDB: speed, memory, the same answers (SIZE=ci: small; FEATURES=flags, as -only a,b)
	$(GO) run ./cmd/internal/benchfeatures -size $(SIZE) $(FEATURES)

.PHONY: bench-eval
bench-eval: ## Evaluation of MovieLens 1M's size, and of a million people in bounded memory; drift: a scan, false alarms, power (SIZE=ci: small; EVAL=flags, as -only ml1m)
	$(GO) run ./cmd/internal/bencheval -size $(SIZE) $(EVAL)

.PHONY: bench-privacy
bench-privacy: packages ## When a denial is read, what an erasure writes, what records of consent add to an ingest (SIZE=ci: small; PRIVACY=flags, as -only join)
	$(GO) run ./cmd/internal/benchprivacy -size $(SIZE) $(PRIVACY)

.PHONY: bench-train
bench-train: bench-train-packages ## Kernels against OpenBLAS, and whole fits: speed, memory, objectives (SIZE=ci: small; TRAIN=flags, as -only gram,ials)
	$(GO) run ./cmd/internal/benchtrain -size $(SIZE) $(TRAIN)

.PHONY: bench-peers
bench-peers: bench-peers-packages ## Our als against Python's implicit, same problem: speed, objective, nDCG; BPR and WARP in nDCG (SIZE=ci: small; PEERS=flags, as -dims 64)
	$(GO) run ./cmd/internal/benchpeers -size $(SIZE) $(PEERS)

# The reference implementations stand in an environment of their own, made anew when their list changes.
COMPAT := $(dir $(TOOLS))compat-$(firstword $(shell cksum eval/testdata/requirements.txt))

$(COMPAT)/made: eval/testdata/requirements.txt
	@rm -rf $(@D); python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-input -r $<
	@touch $@

.PHONY: compat
compat: compat-packages $(COMPAT)/made ## What scikit-learn, fairlearn, scipy, evidently and ranx say of fixed inputs, pinned again in testdata, and our figures against it
	$(COMPAT)/bin/python eval/testdata/compat.py eval/testdata/reference.json eval/drift/testdata/reference.json
	$(GO) test -count=1 -run Reference ./eval ./eval/drift

.PHONY: compat-drift
compat-drift: compat-packages $(COMPAT)/made ## How often Evidently's defaults and our drift check call the same stationary and changed weeks (SIZE=ci: few)
	$(GO) run ./cmd/internal/bencheval -size $(SIZE) -only alarms,power -evidently $(COMPAT)/bin/python

.PHONY: quality
quality: build ## A year of real purchases, week by week, and the figures of docs/quality.md (DATA=folder of The Complete Journey)
	@rm -rf bin/journey
	bin/rapport import completejourney "$(DATA)" --to bin/journey
	bin/rapport -c bin/journey/rapport.yaml backfill weekly --from 2017-01-02 --to 2018-01-01 --through build
	bin/rapport -c bin/journey/rapport.yaml backfill weekly --from 2017-11-06 --to 2018-01-01 --through train || [ $$? = 3 ] # a week may be rejected
	$(GO) run ./cmd/internal/quality file:bin/journey/lake weekly

.PHONY: tools
tools: $(call stamp,$(VERSITYGW)) $(call stamp,$(GOFUMPT)) $(call stamp,$(STATICCHECK)) ## Build the pinned tools: S3 server for tests, linters

.PHONY: clean
clean: ## Remove what make builds here; the tools in the cache stay
	rm -rf bin demo dist

# One rule a tool: built when its stamp, which carries the version, is missing.
define tool
$(call stamp,$(1)):
	@mkdir -p $$(@D)
	GOFLAGS= GOBIN=$$(@D) $(GO) install $(1)
	@rm -f $$(@D)/.$(firstword $(subst @, ,$(notdir $(1))))@*
	@touch $$@
endef
$(foreach t,$(VERSITYGW) $(GOFUMPT) $(STATICCHECK),$(eval $(call tool,$(t))))
