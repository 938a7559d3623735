PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLD := Modelspan needs Python 3.10 or later; make PYTHON=python3.12 ... takes another one than $(PYTHON).
CHECK := $(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 10) else "$(OLD)")'
READY := $(VENV)/.ready

.PHONY: help
help:  ## Say what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

DEMO := $(VENV)/.demo

$(DEMO): pyproject.toml
	@$(CHECK)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[demo]'
	@# For the data set in it; any platform's holds the same.
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.12 \
		--dest $(VENV)/wheels river==0.26.1
	@touch $@

$(READY): pyproject.toml
	@$(CHECK)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

FRAMEWORKS := $(VENV)/.frameworks

$(FRAMEWORKS): pyproject.toml
	@$(CHECK)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,frameworks]'
	@touch $(READY) $@

.PHONY: setup
setup: $(READY)  ## Make the virtual environment in .venv

.PHONY: demo
demo: $(DEMO)  ## Run the main job on real data: train, serve, break something, read the verdict
	$(BIN)/python -m demo

.PHONY: lint
lint: $(FRAMEWORKS)  ## Check style, types and generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m modelspan.semconv.generate --check
	$(BIN)/python -m modelspan.processor.config --check

.PHONY: test
test: lint  ## Run every check and every test
	@# Hundreds of tests start a program, which may not be allowed to write what it compiles.
	$(BIN)/python -m compileall -q semconv profile instrumentation processor queries cli bench tests
	$(BIN)/pytest -n 2 --dist loadfile --durations 15

.PHONY: bench
bench: $(READY)  ## Print the tables of the README
	$(BIN)/python -m bench

.PHONY: bench-sustained
bench-sustained: $(FRAMEWORKS)  ## Measure what recording costs programs that predict without end, about six minutes
	$(BIN)/python -m bench.sustained

.PHONY: bench-drift
bench-drift: $(READY)  ## Measure false alarms and recall of the verdicts (needs ../shared/data), about four minutes
	$(BIN)/python -m bench.drift

NEWRELIC := .venv-newrelic
.PHONY: bench-frameworks
bench-frameworks: $(FRAMEWORKS)  ## Measure what recording costs in every framework, and New Relic's agent beside it, about a quarter of an hour
	@$(CHECK)
	$(PYTHON) -m venv $(NEWRELIC)
	$(NEWRELIC)/bin/pip install --quiet --disable-pip-version-check newrelic==14.1.0 scikit-learn
	$(BIN)/python -m bench.paired
	$(BIN)/python -m bench.frameworks

.PHONY: proof-checks
proof-checks: $(FRAMEWORKS)  ## Run scikit-learn's checks of all estimators with and without instrumentation, about twenty minutes
	$(BIN)/python -m proof.check_estimators

PEERS ?= ../peers
PEERS_VENV := .venv-peers
.PHONY: proof-peers
proof-peers: $(FRAMEWORKS)  ## Run the tests that the libraries ship, of checkouts in the folder PEERS, with and without instrumentation, about an hour
	$(BIN)/python -m venv $(PEERS_VENV)
	$(BIN)/python -c 'import site; print("import site; site.addsitedir(" + repr(site.getsitepackages()[0]) + ")")' \
		> $$($(PEERS_VENV)/bin/python -c 'import site; print(site.getsitepackages()[0])')/frameworks.pth
	@# ONNX Runtime does not read models of an ONNX that is newer than the one it was made with.
	$(PEERS_VENV)/bin/pip install --quiet --disable-pip-version-check hypothesis expecttest 'onnx<1.21'
	$(PEERS_VENV)/bin/python -m proof.peer_tests $(PEERS)

.PHONY: proof-amplification
proof-amplification: $(FRAMEWORKS)  ## Measure the memory that the worst admitted requests need, and that none passes 2 GB, six minutes
	$(BIN)/python -m proof.amplification

.PHONY: proof-soak
proof-soak: $(FRAMEWORKS)  ## Predict ten million times in eight threads while the service goes up and down, ten minutes
	$(BIN)/python -m proof.soak

.PHONY: proof-soak-actuals
proof-soak-actuals: $(FRAMEWORKS)  ## Record a million actuals in eight threads while the service goes up and down, four minutes
	$(BIN)/python -m proof.soak_actuals

# With Python 3.10 or 3.11: later ones came after these versions. Two environments, since MLflow 2.14 and OpenTelemetry's exporter
# need different versions of protobuf; in the first none of the other frameworks is there.
OLDEST := .venv-oldest
OLDEST_FILES := $(wildcard tests/instrumentation/test_*.py tests/instrumentation/policy/test_*.py)
OLDEST_MIXED = $(shell grep -lE '^ *import (catboost|celery|lightgbm|onnxruntime|torch|xgboost)' $(OLDEST_FILES))

$(OLDEST)/.ready: pyproject.toml tests/oldest.txt tests/oldest-frameworks.txt
	@$(CHECK)
	$(PYTHON) -m venv $(OLDEST)/alone
	$(OLDEST)/alone/bin/pip install --quiet --disable-pip-version-check -c tests/oldest.txt -e '.[otlp,pii]' \
		scikit-learn pandas polars psutil pyarrow cloudpickle pytest pytest-timeout opentelemetry-test-utils \
		opentelemetry-instrumentation-threading
	@$(CHECK)
	$(PYTHON) -m venv $(OLDEST)/frameworks
	$(OLDEST)/frameworks/bin/pip install --quiet --disable-pip-version-check -c tests/oldest.txt -r tests/oldest-frameworks.txt -e .
	@touch $@

.PHONY: test-oldest
test-oldest: $(OLDEST)/.ready  ## Test the instrumentation with the oldest versions that it supports, about seven minutes
	$(OLDEST)/alone/bin/pytest $(filter-out $(OLDEST_MIXED),$(OLDEST_FILES)) tests/profile
	$(OLDEST)/frameworks/bin/pytest $(OLDEST_MIXED) \
		$(addprefix tests/instrumentation/,xgboost lightgbm catboost onnxruntime mlflow loading training)
