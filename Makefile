# The two commands of the README are `make lab` and `make test`; each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := $(VENV)/.ready
NBVAL := -p tests.nbval_plugin --nbval-lax --nbval-current-env --nbval-cell-timeout=1200 \
  --nbval-kernel-startup-timeout=120 --timeout=1300

.PHONY: lab test check models scoreboard lock wheelhouse clean

lab: $(READY)  ## open the course in JupyterLab
	$(BIN)/jupyter lab notebooks

test: $(READY) check  ## all that CI runs
	$(BIN)/python -m pytest tests --ignore=tests/browser
	$(BIN)/python -m pytest tests/browser
	$(BIN)/python -m pytest $(NBVAL) notebooks

check: $(READY)  ## lint, and whatever is derived is fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/course export --check
	$(BIN)/python -m data.build.manifest --check
	$(BIN)/python -m data.build.report --check
	$(BIN)/course scoreboard --check

models: $(READY)  ## train every shipped checkpoint again (hours with a GPU, else days)
	for name in $$(ls course_utils/models | sed -n 's/^\([a-z].*\)\.py$$/\1/p'); do $(BIN)/course train $$name || exit 1; done

scoreboard: $(READY)  ## measure again what is stale, and write the tables of the README
	$(BIN)/course scoreboard

lock: $(READY)  ## renew requirements.lock from the ranges in pyproject.toml (needs the network)
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --all-extras --no-header --no-annotate \
	  --no-emit-index-url pyproject.toml -o requirements.lock
	sed -i.bak "/'never'/d" requirements.lock && rm requirements.lock.bak

wheelhouse: $(READY)  ## all wheels in one folder, for a class room without good internet
	$(BIN)/python -m pip wheel -q -w wheelhouse -c requirements.lock . setuptools
	$(BIN)/python -c "from course_utils.install import extra; \
	  [print(r.name) for e in ('peers', 'judges') for r in extra(e)]" | sort -u | while read name; do \
	  $(BIN)/python -m pip wheel -q --no-deps -w wheelhouse -c requirements.lock $$name || echo "no wheel: $$name"; done

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; set PYTHON=...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c requirements.lock -e ".[dev,book]"
	$(BIN)/course install peers judges
	$(BIN)/python -m course_utils.widgets.lab_settings
	@touch $(READY)

clean:  ## remove the environment
	rm -rf $(VENV)
