# make demo: set-up and the default study.  make test: set-up and the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all

.PHONY: demo test test-slurm test-workflow test-rest check bench bench-dag bench-eval bench-laws bench-merge bench-plan bench-seeds bench-theory clean

demo: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES)
	@echo "The report: $(CURDIR)/results/default/report/report.html"

test: $(VENV)/installed
	$(BIN)/python -m benchmarks.mergekit_env overlay
	$(BIN)/python -m benchmarks.lm_eval_env
	$(BIN)/python -m tests.experts.build
	$(MAKE) --jobs 2 --keep-going --no-print-directory test-slurm test-rest test-workflow

# Tests on Slurm wait most of their time: the others run beside them.
test-slurm:
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest tests/slurm

test-rest:
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest --ignore tests/slurm --ignore tests/workflow

# Begins when those on Slurm have ended.
test-workflow:
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest tests/workflow

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

bench: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks.study --cores 2

bench-dag: $(VENV)/installed
	$(BIN)/python -m benchmarks.dag --json results/bench/dag.json

bench-eval: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks.evaluation --json results/bench/evaluation.json --text $(or $(TEXT),$(error give a folder of JSON lists of {instruction, output}: make bench-eval TEXT=FOLDER))

bench-laws: $(VENV)/installed
	OMP_NUM_THREADS=1 PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks.laws --cores 2

bench-merge: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks.merge

bench-plan: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks.plan --cores 2

bench-seeds: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks.seeds --cores 2

bench-theory: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks.theory --cores 2

$(VENV)/installed: pyproject.toml envs/constraints.txt
	@$(PYTHON) -c "import sys; sys.exit('mergelaw needs Python 3.11 or newer; set PYTHON=...' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet --constraint envs/constraints.txt --editable ".[train,slurm,dev]"
	@touch $@

clean:
	rm -rf results .snakemake
