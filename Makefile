# Weakspot's workbench. `make` alone lists the targets.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH  ?= torch==2.13.0
BIN    := .venv/bin
# Byte code is made of what is used, when it is: making it of every file of 150 packages takes a minute.
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
ARGS   ?=

# Libraries that report home are told not to.
export DO_NOT_TRACK := 1
export HF_HUB_DISABLE_TELEMETRY := 1

# Tests start programs of ours by the hundred; without byte code each compiles all of them anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test check tests-of-the-story tests-of-parts tests-of-training tests-of-ray tests-of-service tests-of-monitor tests-of-dashboard tests-of-browser fix types layers up migrate bench vendor lock
.DEFAULT_GOAL := help

help:  ## Show this list
	@awk -F ':.*## ' '/^##@/ {print "\n" substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ First
setup: .venv/.installed  ## Make .venv with everything, in the locked versions

# Torch comes first and apart: its CPU build is a choice the lock file cannot express (docs/adr/0005).
.venv/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "no python3.11 on the PATH; name yours: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing into .venv: 2 to 4 minutes, once." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) "$(TORCH)" >&2
	@$(PIP) --no-deps --require-hashes -r requirements.lock >&2
	@$(PIP) --no-deps --no-build-isolation -e . >&2
	@touch $@

demo: setup  ## The whole story on sample data, in minutes (ARGS="--exit --json")
	@$(BIN)/weakspot demo $(ARGS)

##@ Every day
check: setup  ## All that CI checks, fastest first
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(MAKE) --no-print-directory -j2 --output-sync=target layers types tests-of-the-story
	@$(ONE_THREAD) $(MAKE) --no-print-directory -j3 --output-sync=target tests-of-monitor tests-of-service tests-of-browser tests-of-parts tests-of-training tests-of-ray tests-of-dashboard

# The story has the machine nearly to itself, for people are told how long it takes. The others are
# shared out among runs of which most wait more than they compute; the longest begin first.
# Three of them share two cores: a library's own threads would mostly wait for each other, spinning.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

tests-of-the-story: setup
	@$(call pytest,tests/end_to_end)

tests-of-parts: setup
	@$(call pytest,core tests/unit)

tests-of-training: setup
	@$(call pytest,tests/integration/training --ignore=tests/integration/training/test_ray.py)

tests-of-ray: setup
	@$(call pytest,tests/integration/training/test_ray.py)

tests-of-service: setup
	@$(call pytest,tests/integration/service tests/integration/embedded)

tests-of-monitor: setup
	@$(call pytest,tests/integration --ignore=tests/integration/training --ignore=tests/integration/service --ignore=tests/integration/embedded --ignore=tests/integration/dashboard)

tests-of-dashboard: setup
	@$(call pytest,tests/integration/dashboard tests/house)

tests-of-browser: setup
	@$(call pytest,tests/browser)

# With ARGS="-k word" there may be no such test in a part, which is exit code 5.
pytest = $(BIN)/python -m pytest $(ARGS) $(1) || test $$? -eq 5

test: check  ## Install what is missing and run everything that CI runs

fix: setup  ## Format, and mend what can be mended by machine
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: setup  ## Check the types
	$(BIN)/pyright

layers: setup  ## Check who imports whom
	$(BIN)/lint-imports

##@ Running it
up: setup  ## Start every program on this machine
	@$(BIN)/weakspot up $(ARGS)

migrate: setup  ## Bring the database up to this code
	@$(BIN)/weakspot db upgrade

##@ Now and then
bench: setup  ## Measure what is claimed to be faster, as ratios in one run
	@$(BIN)/python -m pytest tests/bench --override-ini addopts="-p no:dash"
	@$(BIN)/python -m tests.bench.serving --write docs/benchmarks.md $(ARGS)

vendor: setup  ## Fetch the browser's runtime anew from npm, checked (dashboard/vendor)
	@$(BIN)/python -m dashboard.pages.tryout.vendoring

lock:  ## Resolve the versions anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra all --extra dev --python-version 3.11 --generate-hashes \
	    --no-emit-package torch --no-header --no-annotate --quiet -o requirements.lock.tmp $(ARGS)
	$(BIN)/python -c "import pathlib, re; p = pathlib.Path('requirements.lock.tmp'); \
	    parts = re.split(r'(?m)^(?=[a-z0-9])', p.read_text()); \
	    keep = [x for x in parts if not re.match(r'(torch|triton|nvidia-.*|cuda-.*)==', x.split()[0] if x.split() else '')]; \
	    pathlib.Path('requirements.lock').write_text('# Made by \`make lock\`; torch stands apart, see docs/adr/0005.\n' + ''.join(keep)); p.unlink()"
