PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ONCE ?=

.PHONY: demo serve screenshots test test-clients node-clients python-clients lint bench lock clean

demo: $(VENV)/.installed  ## three simulated providers, the gateway and a scene; ONCE=1 plays it once
	$(BIN)/turnout demo $(if $(ONCE),--once)

serve: $(VENV)/.installed  ## the gateway on your own turnout.yaml
	@test -f turnout.yaml || cp config/default.yaml turnout.yaml
	$(BIN)/turnout serve --config turnout.yaml

test: $(VENV)/.installed python-clients  ## every test
	$(BIN)/pytest -n 2 --dist worksteal

test-clients: $(VENV)/.installed python-clients node-clients  ## real SDKs as clients: their table is tests/clients/TABLE.md
	$(BIN)/pytest tests/clients

node-clients: tests/clients/node/node_modules/.package-lock.json  ## the JavaScript SDKs, for tests/clients

tests/clients/node/node_modules/.package-lock.json: tests/clients/node/package-lock.json
	npm ci --silent --no-audit --no-fund --prefix tests/clients/node
	@touch $@

python-clients:  ## the Python SDKs, for tests/clients: apart from the project's own environment
	@$(MAKE) --no-print-directory .venv-clients/.installed || \
		echo "The Python clients could not be installed: their tests are skipped."

.venv-clients/.installed: tests/clients/python/requirements.lock
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

lint: $(VENV)/.installed  ## style, then types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed  ## what the gateway costs beside other gateways; its tables go on top of tests/bench/RESULTS.md
	$(BIN)/python -m tests.bench --save

screenshots: $(VENV)/.installed  ## a picture of every dashboard page; needs chromium
	$(BIN)/python -m tests.dashboard.screenshots

lock:  ## write requirements.lock anew from pyproject.toml, and deploy/requirements.txt from it
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --group dev pyproject.toml -o requirements.lock
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url -c requirements.lock pyproject.toml -o deploy/requirements.txt

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf $(VENV) .venv-lock .venv-clients .venv-bench-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
