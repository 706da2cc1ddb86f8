# Nothing needs to be installed before these: each makes the environment it uses. `make help` prints what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# Hundreds of processes are started below; where each compiles all of Keyturn anew that doubles what a start costs.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-stop test test-long check corpus sweep fuzz bench bench-policies bench-schedule bench-rotations bench-gap bench-doctor bench-networks bench-console screenshots types upgrade clean

help: ## Print this.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo ## Rotate a real PostgreSQL password before your eyes. No root, no questions.
	@$(BIN)/keyturn demo

demo-stop: ## Stop what make demo left running.
	@if [ -x $(BIN)/keyturn ]; then $(BIN)/keyturn demo --stop; else echo "Nothing is running: make demo was never run here."; fi

test: $(VENV)/.dev ## Install what the tests need (Debian packages included) and run them all.
	@scripts/debian-packages awscli bubblewrap chromium fonts-dejavu-core mariadb-server nftables postgresql nodejs npm python3-boto3 redis-server slirp4netns
	@scripts/node-client
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy >$(VENV)/mypy.txt 2>&1 & \
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS); tests=$$?; \
	wait $$!; types=$$?; cat $(VENV)/mypy.txt; exit $$((tests | types))

test-long: $(VENV)/.dev ## The tests that make test leaves out, because others say nearly the same, or make sweep says more.
	@scripts/debian-packages bubblewrap chromium fonts-dejavu-core nodejs npm postgresql
	@scripts/node-client
	@$(BIN)/pytest -n 3 --dist loadfile -m long $(PYTEST_ARGS)

check: $(VENV)/.dev ## The fast half: format, lint, types, unit, property and contract tests, the doctor's corpus.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pytest -q -n 2 tests/unit tests/property tests/contract tests/fuzz tests/corpus -m "not slow and not long"

sweep: $(VENV)/.dev ## Kill everything at every point of a rotation and look what is left (SWEEP_ARGS="function --every 5").
	@scripts/debian-packages bubblewrap postgresql
	@$(BIN)/python -m tests.sweep $(SWEEP_ARGS)

corpus: $(VENV)/.dev ## Ask the doctor about every case with a known answer, and print how often it is right (CORPUS_ARGS="drivers").
	@$(BIN)/python -m tests.corpus $(CORPUS_ARGS)

FUZZ_SECONDS ?= 60
fuzz: $(VENV)/.fuzz ## Throw broken input at every parser, a minute each (FUZZ_SECONDS=300, FUZZ_TARGETS="sigv4 json").
	@scripts/fuzz $(VENV) $(FUZZ_SECONDS) $(FUZZ_TARGETS)

bench: $(VENV)/.bench ## Measure signed, audited reads beside OpenBao on this machine.
	@$(BIN)/python benchmarks/get_secret_value.py $(BENCH_ARGS)

bench-policies: $(VENV)/.bench ## Measure what deciding a call costs, with few policies and with many.
	@$(BIN)/python benchmarks/policies.py $(BENCH_ARGS)

bench-schedule: $(VENV)/.bench ## Measure the scheduler with a thousand secrets and with a million. Needs 2 GB of disk.
	@$(BIN)/python benchmarks/schedule.py $(BENCH_ARGS)

bench-rotations: $(VENV)/.bench ## Measure rotations of real passwords beside OpenBao's and beside the least that they cost.
	@$(BIN)/python benchmarks/rotations.py $(BENCH_ARGS)

bench-gap: $(VENV)/.bench ## Measure how long clients are refused while a password is rotated: ours, and AWS's samples.
	@scripts/debian-packages mariadb-server
	@$(BIN)/python benchmarks/gap.py $(BENCH_ARGS)

bench-networks: $(VENV)/.bench ## Measure functions with networks of their own, and kill the server a hundred times.
	@scripts/debian-packages bubblewrap nftables slirp4netns
	@$(BIN)/python benchmarks/function_networks.py $(BENCH_ARGS)

bench-doctor: $(VENV)/.bench ## Measure keyturn doctor: one secret, and all of 200.
	@$(BIN)/python benchmarks/doctor.py $(BENCH_ARGS)

bench-console: $(VENV)/.bench ## Measure pages of the console with 100,000 secrets.
	@$(BIN)/python benchmarks/console.py $(BENCH_ARGS)

screenshots: $(VENV)/.dev ## Take the pictures of the console anew, after its pages have changed.
	@scripts/debian-packages bubblewrap chromium fonts-dejavu-core postgresql
	@$(BIN)/python scripts/take_screenshots.py

types: $(VENV)/.dev ## Regenerate the wire types from the service models.
	@$(BIN)/python scripts/generate_wire_types.py

upgrade: ## Take the newest release of every dependency into constraints.txt; run the tests before you commit it.
	@scripts/upgrade

clean: ## Remove the environment and caches. Stop the demo first.
	rm -rf $(VENV) build *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# One stamp for each set of extras, renewed when the dependencies change.
$(VENV)/.%: pyproject.toml constraints.txt
	@scripts/environment $(VENV) $*
	@touch $@
