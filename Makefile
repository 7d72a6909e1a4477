# Thin targets: each calls one program. `make demo` and `make test` are all a newcomer needs.

PYTHONS := 3.13 3.12 3.11
# The newest of them that runs here and can make environments (a name on the PATH may stand for nothing, as with pyenv);
# PYTHON=/path/to/python3.x overrides. Where there is none, the check below says so.
IS_SUPPORTED = "%d.%d" % sys.version_info[:2] in "$(PYTHONS)".split()
ifndef PYTHON
PYTHON = $(eval PYTHON := $(or $(shell for name in $(PYTHONS:%=python%) python3; do \
	$$name -c 'import ensurepip, sys; sys.exit(not $(IS_SUPPORTED))' 2> /dev/null && command -v $$name && break; \
	done),python3))$(PYTHON)
endif
BIN := .venv/bin
RUN := $(BIN)/python -m
DATASET ?= storefront
WORKERS ?= 2
PYTEST := $(RUN) pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
UV_VERSION := 0.13.8
NEEDED := mmrec needs Python $(lastword $(PYTHONS)) to $(firstword $(PYTHONS))
ADVICE := install one of these, or call make PYTHON=/path/to/it

.PHONY: demo test test-long test-unit explore up lint lint-deploy format proto lock setup bench-recommend bench-stream bench-stream-growth bench-content bench-training bench-batch bench-forms search-quality cold-items encoders report-content evaluate evaluate-all evaluate-studies keep-demo screenshots fuzz sensitivity chaos-stream same-python clean

demo: setup            ## the whole way, from a click on Kafka to a changed list; DATASET=storefront|movielens
	@$(BIN)/mmrec demo --dataset $(DATASET)

test: setup            ## every test that must pass, by WORKERS processes at once
	@$(PYTEST) --durations 30

test-long: setup       ## tests that repeat at length what others show in small, ten minutes
	@$(PYTEST) -m long --durations 10

test-unit: setup       ## the tests that start nothing, in about a minute
	@$(PYTEST) tests/unit

explore: setup         ## the property tests on new examples, about an hour; a failure prints what to add as @example
	@$(PYTEST) tests/unit tests/contract --hypothesis-profile explore

up: setup              ## the embedded stack in the foreground, until Ctrl-C
	@$(BIN)/mmrec up

lint: setup            ## style, types, import walls
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lint-deploy: setup     ## deploy/ renders, fits the schemas, keeps to the policies, and names what the code names
	@$(PYTEST) tests/unit/test_deploy_*.py

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

proto: setup           ## renew the committed stubs
	@cd proto && ../$(RUN) grpc_tools.protoc -I. --python_out=.. --pyi_out=.. mmrec/v1/*.proto
	@cd proto && ../$(RUN) grpc_tools.protoc -I. --grpc_python_out=.. mmrec/v1/admin.proto mmrec/v1/collector.proto mmrec/v1/recommender.proto

lock: .boot/bin/uv     ## renew requirements.lock, one for all supported versions of Python, from pyproject.toml
	@.boot/bin/uv pip compile pyproject.toml --group dev --generate-hashes --universal --python-version 3.11 --fork-strategy fewest \
		--quiet -o requirements.lock

bench-recommend: setup ## latency and throughput of the serving path; writes a receipt
	@$(RUN) tests.benchmarks.bench_recommend

bench-stream: setup    ## events/s, freshness and collector rates of the scoring stream; receipts and a page (30 minutes)
	@$(RUN) tests.benchmarks.bench_stream

bench-content: setup   ## encoding, new and hidden items, search beside serving; a receipt
	@$(RUN) tests.benchmarks.bench_content

bench-training: setup  ## sequences/s and NDCG@10 of the causal tower beside SASRec as published; a receipt (hours)
	@$(RUN) tests.benchmarks.bench_training

bench-batch: setup      ## lists per second of single calls, RecommendBatch and the job over all users; a receipt
	@$(RUN) tests.benchmarks.bench_batch

bench-forms: setup     ## processor time and NDCG@10 of each form in which the ranker may serve; a receipt
	@$(RUN) tests.benchmarks.deployable_forms

search-quality: setup  ## NDCG@10 of searches on fashion_catalog by words, vectors and both; a receipt
	@$(RUN) tests.benchmarks.search_quality

cold-items: setup      ## HR@10 of items without events, found by frozen and by aligned content; a receipt
	@$(RUN) tests.benchmarks.cold_items

encoders: setup        ## what each encoder of pictures and texts knows of fashion_catalog; a receipt
	@$(RUN) tests.benchmarks.encoders

report-content: setup  ## one page on a catalogue and what is learned from it; DATASET=storefront|movielens|fashion_catalog or a folder
	@$(RUN) jobs.report_content --dataset $(DATASET) --train attributes --train align --train finetune

evaluate: setup        ## a few models on two sets, one seed; reads MMREC_DATA_DIR, goes on where it ended
	@$(BIN)/mmrec evaluate --data amazon_beauty_sequences --models random,popularity,item_knn,item_knn_content \
		--trials 4 --max-targets 5000 --out build/evaluate/beauty
	@$(BIN)/mmrec evaluate --data taobao_userbehavior_cml --models random,popularity,recency,item_knn \
		--trials 4 --max-targets 5000 --out build/evaluate/taobao

evaluate-all: setup    ## every model on every set, five seeds, cell by cell, going on where it ended; BUDGET=minutes
	@$(RUN) tests.benchmarks.evaluate_all --budget-minutes $(or $(BUDGET),inf)

evaluate-studies: setup ## tables and curves of the papers, beside what they print; goes on where it ended
	@$(BIN)/mmrec evaluate --study s3_main,s3_ablations,s3_sensitivity,s2_main,s2_ablations,s2_robustness,s1_fusion,s1_regularization --max-targets 1000 --trials 2 --out .mmrec/studies

keep-demo: setup       ## add the last demo's figures to the receipt that README states
	@$(RUN) tests.benchmarks.keep_demo .mmrec/demo.json

bench-stream-growth: setup ## throughput and memory around 500 k and around 5 M events (12 minutes)
	@$(RUN) tests.benchmarks.bench_stream_growth

screenshots: setup     ## pictures of the console's pages, of the stack that `make up` runs in another window
	@$(RUN) tests.screenshots

fuzz: setup            ## malformed inputs for every way in, ten minutes; a receipt
	@$(RUN) tests.fuzz

sensitivity: setup     ## HR@5 and NDCG@5 by decay rate and weights, and what pruning costs; reads MMREC_DATA_DIR
	@$(RUN) tests.benchmarks.sensitivity
	@$(RUN) tests.benchmarks.pruning

chaos-stream: setup    ## kill -9 of every part of the stream under load, on SQLite and on Redis, against an oracle; a receipt (20 minutes)
	@$(RUN) tests.benchmarks.chaos_stream

setup: .venv/ready     ## environment from the hashed lock, jars, the mmrec command
	@$(RUN) services.stack.setup

# pyspark comes as a source archive: the lock pins what builds it, too.
.venv/ready: requirements.lock Makefile | .boot/bin/uv .venv/bin/python $(if $(filter-out file,$(origin PYTHON)),same-python)
	@echo "[setup] environment: $$(grep -c "^[a-zA-Z0-9_.-]*==" requirements.lock) packages, a few GB the first time ..." && date +%s > .boot/started
	@.boot/bin/uv pip sync --quiet --python $(BIN)/python --require-hashes --build-constraints requirements.lock --compile-bytecode \
		requirements.lock
	@printf '%s\n' "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/mmrec.pth"
	@printf '#!/bin/sh\nexec "%s/$(BIN)/python" -m mmrec.cli.main "$$@"\n' "$(CURDIR)" > $(BIN)/mmrec && chmod +x $(BIN)/mmrec
	@echo "[setup] environment ready after $$(( $$(date +%s) - $$(cat .boot/started) )) s"
	@touch $@

define CHECK_PYTHON
@$(PYTHON) -c '' || { echo "$(NEEDED), but $(PYTHON) does not run; $(ADVICE)" >&2; exit 1; }
@$(PYTHON) -c 'import sys; $(IS_SUPPORTED) or sys.exit("$(NEEDED), found %s at %s; $(ADVICE)" % (sys.version.split()[0], sys.executable))'
@$(PYTHON) -c 'import ensurepip' || { echo "$(PYTHON) lacks its venv module; Debian and Ubuntu have it in python3-venv" >&2; exit 1; }
endef

.boot/bin/uv:
	$(CHECK_PYTHON)
	@$(PYTHON) -m venv .boot
	@.boot/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/bin/python:
	$(CHECK_PYTHON)
	@$(PYTHON) -m venv --without-pip .venv

same-python: .venv/bin/python  # an environment keeps the Python it was made with; where another is asked for, it says so
	@for python in $(BIN)/python $(PYTHON); do $$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'; done \
		| uniq | awk 'END { exit NR > 1 }' || \
		{ echo "$(PYTHON) is not the version that .venv was made with; remove .venv first" >&2; exit 1; }

clean:                 ## remove the environment and the state of runs; downloads stay cached
	rm -rf .boot .venv .mmrec
