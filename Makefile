# Thin targets: each calls one program. `make demo` and `make test` are all a newcomer needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
RUN := $(BIN)/python -m
DATASET ?= storefront
UV_VERSION := 0.13.8

.PHONY: demo test up lint format proto lock setup bench-recommend bench-stream bench-stream-growth fuzz sensitivity chaos-stream clean

demo: setup            ## the whole way, from a click on Kafka to a changed list; DATASET=storefront|movielens
	@$(BIN)/mmrec demo --dataset $(DATASET)

test: setup            ## every test that must pass
	@$(RUN) pytest

up: setup              ## the embedded stack in the foreground, until Ctrl-C
	@$(BIN)/mmrec up

lint: setup            ## style, types, import walls
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

proto: setup           ## renew the committed stubs
	@cd proto && ../$(RUN) grpc_tools.protoc -I. --python_out=.. --pyi_out=.. mmrec/v1/*.proto
	@cd proto && ../$(RUN) grpc_tools.protoc -I. --grpc_python_out=.. mmrec/v1/collector.proto mmrec/v1/recommender.proto

lock: .boot/bin/uv     ## renew requirements.lock from pyproject.toml
	@.boot/bin/uv pip compile pyproject.toml --group dev --generate-hashes --universal --quiet -o requirements.lock

bench-recommend: setup ## latency and throughput of the serving path; writes a receipt
	@$(RUN) tests.benchmarks.bench_recommend

bench-stream: setup    ## events/s, freshness and collector rates of the scoring stream; receipts and a page (30 minutes)
	@$(RUN) tests.benchmarks.bench_stream

bench-stream-growth: setup ## throughput and memory around 500 k and around 5 M events (12 minutes)
	@$(RUN) tests.benchmarks.bench_stream_growth

fuzz: setup            ## malformed inputs for every way in, ten minutes; a receipt
	@$(RUN) tests.fuzz

sensitivity: setup     ## HR@5 and NDCG@5 by decay rate and weights, and what pruning costs; reads MMREC_DATA_DIR
	@$(RUN) tests.benchmarks.sensitivity
	@$(RUN) tests.benchmarks.pruning

chaos-stream: setup    ## kill -9 of every part of the stream under load, on SQLite and on Redis, against an oracle; a receipt (20 minutes)
	@$(RUN) tests.benchmarks.chaos_stream

setup: .venv/ready     ## environment from the hashed lock, jars, the mmrec command
	@$(RUN) services.stack.setup

.venv/ready: requirements.lock Makefile | .boot/bin/uv
	@echo "[setup] environment: 190 packages, a few GB the first time ..." && date +%s > .boot/started
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip .venv
	@.boot/bin/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@printf '%s\n' "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/mmrec.pth"
	@printf '#!/bin/sh\nexec "%s/$(BIN)/python" -m mmrec.cli.main "$$@"\n' "$(CURDIR)" > $(BIN)/mmrec && chmod +x $(BIN)/mmrec
	@echo "[setup] environment ready after $$(( $$(date +%s) - $$(cat .boot/started) )) s"
	@touch $@

.boot/bin/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v[:2] == (3, 11) or sys.exit("mmrec needs Python 3.11, found %d.%d at %s; install it or call make PYTHON=/path/to/python3.11" % (v[0], v[1], sys.executable))'
	@$(PYTHON) -m venv .boot
	@.boot/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

clean:                 ## remove the environment and the state of runs; downloads stay cached
	rm -rf .boot .venv .mmrec
