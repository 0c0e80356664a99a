# Needs Python 3.11+, make and a package registry.
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

.PHONY: help demo test test-all fuzz faults test-cluster test-slurm test-ray browser smoke bench bench-gpu extras lint format docs notebook wheel clean

help:
	@echo "make demo      set up, train on handwritten digits, show them (about a minute after the install)"
	@echo "make test      set up and run the tests"
	@echo "make test-all  the tests, then every combination of loss, penalties, auxiliary, augmentation, conditioning and prior (hours)"
	@echo "make fuzz      2,000 random command lines: each runs, or is refused in two lines (five minutes)"
	@echo "make faults    kill runs, fill disks, damage files, and count what was lost (five minutes; SEED=1 for other moments)"
	@echo "make test-cluster  two 'machines' in network namespaces train one run under torchrun; a process is killed and restarted (Linux; a minute)"
	@echo "make test-slurm  a Slurm of one node runs a sweep; a job is requeued (root, Debian's slurm-wlm and munge; three minutes)"
	@echo "make test-ray  a Ray of two nodes runs a sweep; the process of a job is killed (root; a minute after Ray's install)"
	@echo "make browser   look at the HTML pages in headless Chromium (Debian's package chromium, and npm; three minutes)"
	@echo "make smoke     install the wheel into empty environments, by pip and by uv, with each extra (ten minutes)"
	@echo "make bench     time steps against a tutorial's loop, and write the tables of docs/performance.md (five minutes)"
	@echo "make bench-gpu the same on a GPU (in two parts of less than nine minutes); with ROOT=DIR of CIFAR-10 also FID against minutes (five more)"
	@echo "make lint      style and types"
	@echo "make extras    try what is too large for the tests: Trackio"
	@echo "make docs      write docs/choices.md from the files of conf/"
	@echo "make notebook  run docs/exploration.ipynb and keep what it shows (two minutes)"

# Installed once; again when its dependencies change. Bytecode is compiled here, not at every first start.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; set PYTHON=..." >&2; exit 2; }
ifneq ($(UV),)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python -e '.[dev]' -c constraints.txt
else
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
endif
	@touch $@

demo: $(VENV)/.installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m gan_cli.demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest

test-all: test
	GAN_COMBINATIONS=all $(BIN)/python -m pytest tests/test_combinations.py

fuzz: $(VENV)/.installed
	GAN_FUZZ=2000 $(BIN)/python -m pytest tests/test_fuzz.py

SEED ?= 0
faults: $(VENV)/.installed
	$(BIN)/python tests/faults/run.py --seed $(SEED)

test-cluster: $(VENV)/.installed
	$(BIN)/python tests/cluster/run.py

# Slurm's daemons end with it, and the machine's own Slurm is not touched: apt-get install slurm-wlm munge iproute2
test-slurm: $(VENV)/.installed
	$(BIN)/python tests/cluster/slurm.py

# Ray's plugin wants an older cloudpickle than constraints.txt has, so both are tried from a folder of their own.
test-ray: $(VENV)/.installed
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(UV) pip install --quiet --python $(BIN)/python pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target build/ray-packages 'ray>=2.9' 'hydra-ray-launcher>=1.2'
	PYTHONPATH=$(CURDIR)/build/ray-packages $(BIN)/python tests/cluster/ray_nodes.py

# Looks at the pages in headless Chromium; leaves its screenshots in build/browser.
browser: $(VENV)/.installed
	$(BIN)/python -m pytest -n 0 -o python_files='*.py' tests/browser

# The wheel in empty environments, by pip and by uv, with each extra: ten minutes and twice the room of torch.
smoke: $(VENV)/.installed
	$(BIN)/python tests/smoke/wheel.py

# On one thread, as the results that are kept.
bench: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/speed.py >> benchmarks/results/speed.jsonl
	$(BIN)/python benchmarks/speed.py --table

# Two parts of a few minutes, so that one that is broken off costs no more.
bench-gpu: $(VENV)/.installed
	for part in 1/2 2/2; do \
		timeout 540 $(BIN)/python benchmarks/speed.py --device cuda --part $$part >> benchmarks/results/speed.jsonl || exit; \
	done
	$(BIN)/python benchmarks/speed.py --table
ifneq ($(ROOT),)
	for part in 1/5 2/5 3/5 4/5 5/5; do \
		timeout 540 $(BIN)/python benchmarks/quality/gpu.py --root $(ROOT) $(if $(REFERENCE),--reference $(REFERENCE)) \
			--part $$part >> benchmarks/quality/results/gpu.jsonl || exit; \
	done
endif

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed
	$(BIN)/python docs/choices.py

# Trackio wants an older Pillow than constraints.txt has, so it is tried from a folder of its own.
extras: $(VENV)/.installed
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(UV) pip install --quiet --python $(BIN)/python pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target build/extras 'trackio>=0.20'
	PYTHONPATH=build/extras $(BIN)/python -m pytest -n 0 tests/extras/trackio_locally.py

notebook: $(VENV)/.installed
	$(BIN)/python docs/exploration.py

wheel: $(VENV)/.installed
	$(BIN)/python -m hatchling build -t wheel

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache
