# Everything on a fresh machine with Python 3.11 or later: `make quickstart`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Two workers with one thread each are faster than one with two: most tests are small. A file's tests share its fixtures.
PYTEST ?= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# What depends on how a processor computes.
NUMERICAL ?= tests/engine tests/methods tests/metrics tests/analysis tests/training tests/backbones tests/interop tests/runs

.PHONY: quickstart test test-slow test-cluster test-processors coverage lint types reference docs clean

quickstart: $(VENV)/.installed
	$(BIN)/lora-ensemble quickstart

test: $(VENV)/.installed-dev
	$(PYTEST)

test-slow: $(VENV)/.installed-dev
	$(PYTEST) -m slow

# Real clusters of this machine: Ray with several nodes, jobs of submitit. Skipped where these are not installed.
test-cluster: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 0 -rs -m cluster tests/cluster || [ $$? -eq 5 ]  # 5: all of it skipped

# The numerical tests as other processors would run them: without vector instructions, with AVX2, with one thread and two.
test-processors: test-processor-default test-processor-avx2 test-processor-avx2-two

test-processor-default: export ATEN_CPU_CAPABILITY = default
test-processor-avx2 test-processor-avx2-two: export ATEN_CPU_CAPABILITY = avx2
test-processor-%: export ONEDNN_MAX_CPU_ISA = AVX2
test-processor-%: export MKL_ENABLE_INSTRUCTIONS = AVX2
test-processor-default test-processor-avx2: export OMP_NUM_THREADS = 1
test-processor-avx2-two: export OMP_NUM_THREADS = 2
test-processor-%: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(if $(filter 2,$(OMP_NUM_THREADS)),0,2) --dist loadfile $(NUMERICAL)

coverage: $(VENV)/.installed-dev
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

reference: $(VENV)/.installed-dev
	$(BIN)/python scripts/make_reference.py

# The site, strictly, in site/; every link is looked at.
docs: $(VENV)/.installed-dev
	$(BIN)/python scripts/build_site.py

# A stamp is newer than pyproject.toml while what it declares is installed.
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/.installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than 3.11; give another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -exec rm -rf {} +
