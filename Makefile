# `make study` runs the study and builds its report, `make test` runs the tests; both install first.
# TESTS are options of pytest: make test TESTS='-m numeric'.
PYTHON  ?= python3
PROFILE ?= quick
CORES   ?= all
WORKERS ?= 2
# GPUS is the number of GPUs to use, by default one where there is one. ADLIB_GPU_SLOTS=0,0,1 names
# them by hand, two cells on the first. Where SNAKEFLAGS name a cluster, it counts its own.
CLUSTER := $(findstring --executor,$(SNAKEFLAGS))$(findstring -profile,$(SNAKEFLAGS))

ENV       := .venv
BIN       := $(ENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
INSTALLED := $(ENV)/.installed
SNAKEMAKE := $(BIN)/python -m snakemake --config profile=$(PROFILE) $(GPUS:%=gpus=%) --quiet rules host progress reason
REPORT    := $(SNAKEMAKE) --cores $(CORES) --nolock --allowed-rules report -- report \
	&& echo "Report: $(abspath $(or $(ADLIB_RESULTS),results))/report/index.html"

.PHONY: study report test lint lab bench clean

# Cells keep going after another has failed; the report is built all the same and shows which did.
# Without Snakemake's lock a study that was killed just goes on: runs have their own locks.
study: $(INSTALLED)
	@failed=0; \
	$(SNAKEMAKE) $(if $(CLUSTER),,--cores $(CORES)) --keep-going --rerun-incomplete --nolock $(SNAKEFLAGS) \
	    || failed=$$?; \
	$(REPORT) && exit $$failed

report: $(INSTALLED)
	@$(REPORT)

test: $(INSTALLED)
	@$(BIN)/python -m pytest -n $(WORKERS) $(TESTS)

lint: $(INSTALLED)
	@$(BIN)/python -m ruff check .

lab: $(INSTALLED)
	@$(BIN)/python -m jupyterlab notebooks

bench: export TQDM_DISABLE := 1
# As in the notebooks' kernels, see adlib/study/engine/execute.py.
bench: export MALLOC_TRIM_THRESHOLD_ := 4294967296
bench: export MALLOC_MMAP_THRESHOLD_ := 33554432
bench: $(INSTALLED)
	@failed=0; for script in tests/bench/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || failed=1; done; exit $$failed

# Keeps data/, trained runs/ and results/: its report is committed.
clean:
	rm -rf $(ENV) .cache .snakemake .pytest_cache .ruff_cache adlib.egg-info

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
	    'adlib needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is %d.%d. Name another: make study PYTHON=python3.12' % v)"
	@echo "Installing into $(ENV) (once: some minutes, up to 6 GB on Linux)"
	@$(PYTHON) -m venv $(ENV) || { echo "No virtual environment: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
