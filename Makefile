# The two commands of the README are `make lab` and `make test`; each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
# What a learner needs, and what the tests need beside it: a file each that says "done for these requirements".
LAB := $(VENV)/.lab
DEV := $(VENV)/.dev
PIP := $(BIN)/python -m pip install -q -c requirements.lock
NBVAL := -p tests.nbval_plugin --nbval-lax --nbval-current-env --nbval-cell-timeout=1200 \
  --nbval-kernel-startup-timeout=120 --timeout=1300

.PHONY: lab setup test check book models scoreboard lock wheelhouse clean help

lab: $(LAB)  ## open the course in JupyterLab
	$(BIN)/jupyter lab notebooks

setup: $(LAB)  ## only install what `make lab` needs

test: $(DEV) check  ## all that CI runs
	$(BIN)/python -m pytest tests --ignore=tests/browser
	$(BIN)/python -m pytest tests/browser
	$(BIN)/python -m pytest $(NBVAL) notebooks

check: $(DEV)  ## lint, and whatever is derived is fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/course export --check
	$(BIN)/course imports --check
	$(BIN)/python -m data.build.manifest --check
	$(BIN)/python -m data.build.report --check
	$(BIN)/python -m data.build.real --check
	$(BIN)/course scoreboard --check

book: $(LAB)  ## execute every notebook once and build the web edition in book/_build/html (needs npm once)
	@$(BIN)/python -c "import myst_nb, nbclient, sphinx, sphinx_book_theme" 2>/dev/null || $(PIP) -e ".[book]"
	$(BIN)/python -m book.build

models: $(LAB)  ## train every shipped checkpoint again (hours with a GPU, else days)
	$(BIN)/course train --all

scoreboard: $(LAB)  ## measure again what is stale, and write its tables
	$(BIN)/course scoreboard

lock: $(DEV)  ## renew requirements.lock from the ranges in pyproject.toml (needs the network)
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --all-extras --no-header --no-annotate \
	  --no-emit-index-url pyproject.toml -o requirements.lock
	sed -i.bak "/'never'/d" requirements.lock && rm requirements.lock.bak

wheelhouse: $(LAB)  ## every package a learner needs in one folder, for a class room without good internet
	$(BIN)/python -m pip wheel -q -w wheelhouse -c requirements.lock . setuptools
	rm -rf build  # pip's copy of the course, which the next wheel would take for the course
	$(BIN)/python -c "from course_utils.install import extra; \
	  [print(r.name) for e in ('peers', 'judges') for r in extra(e)]" | sort -u | while read name; do \
	  $(BIN)/python -m pip wheel -q --no-deps -w wheelhouse -c requirements.lock $$name || echo "no wheel: $$name"; done

$(LAB): pyproject.toml requirements.lock
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; set PYTHON=...')"
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	$(BIN)/course install peers judges
	$(BIN)/python -m course_utils.widgets.lab_settings
	@touch $(LAB)

$(DEV): $(LAB)
	$(PIP) -e ".[dev,book]"
	@touch $(DEV)

clean:  ## remove the environment
	rm -rf $(VENV)

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /\1	/p' Makefile | while IFS='	' read -r name what; do printf '%-12s%s\n' "$$name" "$$what"; done
