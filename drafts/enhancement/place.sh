#!/bin/bash
# Put notebook 01 into place: notebook, export, README row, checks. Needs data/checkpoints/enhancement to be useful.
set -e
cd "$(dirname "$0")"
../../.venv/bin/python build.py ../../notebooks/01_speech_enhancement.ipynb
cd ../..
.venv/bin/ruff check -q --fix notebooks/01_speech_enhancement.ipynb || true
.venv/bin/ruff format -q notebooks/01_speech_enhancement.ipynb
.venv/bin/course export
sed -i 's/^| 01 speech enhancement | a streaming noise remover with a complex mask | to come |$/| 01 speech enhancement | a streaming noise remover with a complex mask | ready |/' README.md
.venv/bin/ruff check notebooks/01_speech_enhancement.ipynb course_utils/checks/nb01.py
.venv/bin/ruff format --check notebooks/01_speech_enhancement.ipynb course_utils/checks/nb01.py
.venv/bin/course export --check
OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q tests/test_notebooks.py tests/test_checks.py
git status --short
echo "then: git add notebooks/01_speech_enhancement.ipynb course_utils/models/enhancement.py README.md && git commit"
