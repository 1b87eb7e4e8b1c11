PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ONCE ?=

.PHONY: demo serve test lint bench lock clean

demo: $(VENV)/.installed  ## three simulated providers, the gateway and a scene; ONCE=1 plays it once
	$(BIN)/turnout demo $(if $(ONCE),--once)

serve: $(VENV)/.installed  ## the gateway on your own turnout.yaml
	@test -f turnout.yaml || cp config/default.yaml turnout.yaml
	$(BIN)/turnout serve --config turnout.yaml

test: $(VENV)/.installed  ## every test
	$(BIN)/pytest

lint: $(VENV)/.installed  ## style, then types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed  ## what the gateway costs, as ratios within one run
	$(BIN)/python -m tests.bench

lock:  ## write requirements.lock anew from pyproject.toml
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --group dev pyproject.toml -o requirements.lock

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf $(VENV) .venv-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis
