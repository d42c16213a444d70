# Every tool is pinned in tools/go.mod and built by Go. Nothing is installed.
TOOL := go tool -modfile=$(CURDIR)/tools/go.mod

# The vulnerability database: its address, a mirror's or file:///path.
VULN_DB ?= https://vuln.go.dev

.DEFAULT_GOAL := help
.PHONY: help demo simulate simulate-faults outages outages-postgres test test-unit test-local test-race test-compare compare bench fmt lint tidy-check vuln compose-check examples-check release release-check ci

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Play the example conversations on an embedded Temporal server, then keep serving
	go run -C local .

SEED ?= 1
CONVERSATIONS ?= 100000

simulate: ## Simulate CONVERSATIONS (100000) in virtual time, from SEED (1) on; prints the first failure as its shortest story
	go test -run TestSimulation ./workflows -v -count 1 -timeout 0 \
		-args -simulate.conversations=$(CONVERSATIONS) -simulate.seed=$(SEED)
	go test -run TestStoriesOnTheWorkflow ./workflows -v -count 1 -args -simulate.stories=10000

simulate-faults: ## Put deliberate faults into the code, and say after how many conversations each is found
	go run ./internal/simulation/faults

SEEDS ?= 10
OUTAGES := -v -count 1 -timeout 3h -parallel 3 -args \
	-outages.seed=$(SEED) -outages.seeds=$(SEEDS) -outages.conversations=300 -outages.for=3m

outages: ## Kill, freeze, restart and cut off every process while conversations run: SEEDS (10) seeds from SEED (1) on
	go test -C local -run 'TestOutages$$' ./outages $(OUTAGES)

outages-postgres: ## The same with Temporal on PostgreSQL, which must be installed
	go test -C local -run TestOutagesOnPostgres ./outages $(OUTAGES) -outages.postgres

test: test-unit test-local ## Test the product, without the race detector

test-unit: ## Test the root module
	go test ./...
	go test -C docs/contract ./...
	go test -run TestSimulation ./workflows -args -simulate.conversations=20000

# With -short, the demo is not played a second time on the same database file. The
# outages need the machine for themselves.
test-local: ## Test end to end on an embedded Temporal server
	go test -C local -short -timeout 30m ./...
	go test -C local -timeout 10m ./outages

# The race detector needs a second build of everything, which takes many minutes
# for the Temporal server. It leaves SQLite out, because that would be a hundred
# times slower. It also leaves out the visitor of payloads: the history service of server
# 1.32.1 lets it write the pointers of an event back, unchanged, while another request
# encodes the same event. The tests that load the server run without it.
NO_RACE := -gcflags='modernc.org/...=-race=false' -gcflags='go.temporal.io/api/proxy=-race=false'
LOAD := TestManyConversationsAtOnce|TestActions|TestKilled|TestOutages
test-race: ## Test the root module and end to end, with the race detector
	go test -race ./...
	go test -C docs/contract ./...
	go test -run TestSimulation ./workflows -args -simulate.conversations=20000
	go test -C local -race $(NO_RACE) -timeout 30m -skip '$(LOAD)' ./...
	go test -C local -run '$(LOAD)' -timeout 10m -p 1 ./e2e ./outages

# Stores that are not installed are left out.
test-compare: ## Test the comparison with other schedulers
	go test -C compare -timeout 15m ./...

compare: ## Run the same job on sessionkeeper and on other schedulers (about five minutes)
	go run -C compare . -short

bench: ## Measure cost, latency and bursts
	go test -run '^$$' -bench Absorb ./sender
	go test -run '^$$' -bench Memory -benchtime 1x ./sender
	go test -run '^$$' -bench Memory ./workflows
	go test -run '^$$' -bench Events -benchtime 10s ./internal/receiver
	go test -C local -run '^$$' -bench 'History|Burst|Window|HostileToken|Encryption' -benchtime 1x -timeout 60m ./bench
	go test -C local -run '^$$' -bench HangUp -benchtime 300x -timeout 60m ./bench

fmt: ## Format every Go file
	$(TOOL) golangci-lint fmt

lint: ## Check the format, vet, the linters and that workflows are deterministic
	$(TOOL) golangci-lint fmt --diff
	go vet ./...
	go vet -C local ./...
	go vet -C compare ./...
	go vet -C deploy ./...
	go vet -C docs/contract ./...
	$(TOOL) golangci-lint run ./...
	cd local && $(TOOL) golangci-lint run ./...
	cd compare && $(TOOL) golangci-lint run ./...
	cd deploy && $(TOOL) golangci-lint run ./...
	cd docs/contract && $(TOOL) golangci-lint run ./...
	$(TOOL) workflowcheck ./workflows/...

tidy-check: ## Check that go mod tidy would change nothing
	go mod tidy -diff
	go -C local mod tidy -diff
	go -C compare mod tidy -diff
	go -C deploy mod tidy -diff
	go -C docs/contract mod tidy -diff
	go -C tools mod tidy -diff

vuln: ## Look for known vulnerabilities (with VULN_REQUIRED=1 it fails without the database)
	@if $(TOOL) govulncheck -db $(VULN_DB) -version | grep -q '^DB updated'; then \
		set -ex; \
		$(TOOL) govulncheck -db $(VULN_DB) ./...; \
		cd local; $(TOOL) govulncheck -db $(VULN_DB) ./...; \
	else \
		echo "NOT CHECKED for vulnerabilities: no database at $(VULN_DB); set VULN_DB to a mirror" >&2; \
		test -z "$(VULN_REQUIRED)"; \
	fi

compose-check: ## Check docker-compose.yml and the files in deploy/
	go test -C deploy ./...

examples-check: ## Check the TypeScript example and the published schemas (skipped if npm is not installed)
	@if command -v npm >/dev/null; then \
		set -ex; \
		for folder in examples/typescript docs/contract/check; do \
			(cd $$folder && npm ci --no-audit --no-fund --ignore-scripts && npm run check); \
		done; \
	else \
		echo "NOT CHECKED: examples/typescript and docs/contract need npm" >&2; \
	fi

VERSION ?= 0.0.0-snapshot
release: ## Build the archives, SBOMs and checksums of a release into bin/release (VERSION=1.2.3)
	tools/release.sh $(VERSION) bin/release linux/amd64 linux/arm64 darwin/arm64

release-check: ## Check that a release of the last commit has the same bytes in another folder
	tools/release-check.sh

ci: lint tidy-check compose-check examples-check vuln test-race test-compare release-check ## Run every check that CI runs
