# Needs Go and make; `make race` a C compiler as well. Tools are built from pinned versions into a folder of the user's cache, once.

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

# Where the tools stand. Tests look for the S3 server there.
TOOLS := $(or $(RAPPORT_TOOLS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rapport/bin)
export RAPPORT_TOOLS := $(TOOLS)

VERSITYGW   := github.com/versity/versitygw/cmd/versitygw@v1.8.0
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

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

# Packages below cmd may be answered from the test cache. Those of cmd read what subprocesses say, which the cache cannot see.
.PHONY: test
test: $(call stamp,$(VERSITYGW)) ## Run every test, against a real S3 server too; ends with a count
	@$(GO) run ./cmd/internal/testsum $$($(GO) list ./... | grep -v /cmd/) -- -count=1 ./cmd/...

.PHONY: race
race: $(call stamp,$(VERSITYGW)) ## Run every test under the race detector (slow; needs a C compiler)
	@$(GO) run ./cmd/internal/testsum -race -timeout 40m ./...

.PHONY: lint
lint: $(call stamp,$(GOFUMPT)) $(call stamp,$(STATICCHECK)) ## Layout (gofumpt), go vet, staticcheck (staticcheck.conf says why each check)
	@unformatted=$$($(TOOLS)/gofumpt -l .); if [ -n "$$unformatted" ]; then echo "not as gofumpt wants it (gofumpt -w):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(TOOLS)/staticcheck ./...
	$(GO) mod tidy -diff

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
	rm -rf bin demo

# One rule a tool: built when its stamp, which carries the version, is missing.
define tool
$(call stamp,$(1)):
	@mkdir -p $$(@D)
	GOFLAGS= GOBIN=$$(@D) $(GO) install $(1)
	@rm -f $$(@D)/.$(firstword $(subst @, ,$(notdir $(1))))@*
	@touch $$@
endef
$(foreach t,$(VERSITYGW) $(GOFUMPT) $(STATICCHECK),$(eval $(call tool,$(t))))
