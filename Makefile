# Every tool is pinned in tools/go.mod and built by Go: nothing to install.
TOOL := go tool -modfile=$(CURDIR)/tools/go.mod

# The vulnerability database; a mirror or file:///path works as well.
VULN_DB ?= https://vuln.go.dev

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-local test-compare compare bench fmt lint tidy-check vuln compose-check examples-check ci

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Play the example conversations on an embedded Temporal server, and go on serving
	go run -C local .

test: test-unit test-local test-compare ## Run every test with the race detector

test-unit: ## Test the packages a deployment is built from
	go test -race ./...
	go test -run TestNeverEarly ./workflows -rapid.checks=10000

# The race detector stays out of SQLite, which it makes a hundred times slower,
# and the tests that load the server run without it.
test-local: ## Test end to end on an embedded Temporal server
	go test -C local -race -gcflags='modernc.org/...=-race=false' -timeout 30m ./...
	go test -C local -run TestBurst -timeout 10m ./e2e
	go test -C local -run 'TestActions|TestKilled' -timeout 10m ./e2e

# Those of its stores that are not installed are left out.
test-compare: ## Test the comparison with the alternatives
	go test -C compare -timeout 15m ./...

compare: ## Run the same job on ours and on the alternatives (about five minutes)
	go run -C compare . -short

bench: ## Print cost and latency per message and conversation
	go test -run '^$$' -bench Absorb ./sender
	go test -run '^$$' -bench Events -benchtime 10s ./internal/receiver
	go test -C local -run '^$$' -bench History -benchtime 1x -timeout 60m ./bench
	go test -C local -run '^$$' -bench HangUp -benchtime 300x -timeout 60m ./bench

fmt: ## Format every Go file
	$(TOOL) golangci-lint fmt

lint: ## Check format, vet, linters and workflow determinism
	$(TOOL) golangci-lint fmt --diff
	go vet ./...
	go vet -C local ./...
	go vet -C compare ./...
	$(TOOL) golangci-lint run ./...
	cd local && $(TOOL) golangci-lint run ./...
	cd compare && $(TOOL) golangci-lint run ./...
	cd deploy && $(TOOL) golangci-lint run ./...
	$(TOOL) workflowcheck ./workflows/...

tidy-check: ## Check that go mod tidy would change nothing
	go mod tidy -diff
	go -C local mod tidy -diff
	go -C compare mod tidy -diff
	go -C deploy mod tidy -diff
	go -C tools mod tidy -diff

vuln: ## Look for known vulnerabilities (VULN_REQUIRED=1 fails without the database)
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

examples-check: ## Check the example in TypeScript (left out where npm is not installed)
	@if command -v npm >/dev/null; then \
		set -ex; \
		cd examples/typescript; npm ci --no-audit --no-fund; npm run check; \
	else \
		echo "NOT CHECKED: examples/typescript wants npm" >&2; \
	fi

ci: lint tidy-check compose-check examples-check vuln test ## Everything above that decides whether a change is good
