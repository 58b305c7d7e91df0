# Every target makes .venv and what it needs by itself. A GPU: make quickstart EXTRAS=cuda12
.PHONY: help quickstart test test-parity test-faults test-latest mutants docs bench evidence results lint clean
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
WORKERS ?= 2
# One stamp for each EXTRAS, so that asking for a GPU later still installs it.
READY := .venv/ready$(if $(EXTRAS),-$(EXTRAS))

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

.venv/ready: setup.py launch/setup.sh
	@launch/setup.sh

.venv/ready-%: setup.py launch/setup.sh
	@EXTRAS='$*' launch/setup.sh

quickstart: $(READY)  ## train PatchAIL from videos on a real task, on this CPU; ARGS='--config.seed=1'
	@$(PYTHON) -m patchail_jax train --config=quickstart $(ARGS)

test: lint  ## lint and tests, all but the slow ones
	@launch/browser.sh
	@$(PYTHON) -m pytest -n $(WORKERS) --dist=worksteal -q $(ARGS)

test-parity: $(READY)  ## all numbers of the published program, the slow ones too; ARGS='--parity-table=parity.md'
	@$(PYTHON) -m pytest -q tests/parity -m 'slow or not slow' $(ARGS)

test-faults: $(READY)  ## 50 kills at random moments of a run of each of three methods; ARGS='--kills=9 --seed=1'
	@for method in patchail rot bc; do $(PYTHON) -m tests.faults.kills $$method $(ARGS) || exit 1; done

test-latest:  ## all but the slow tests, with the newest versions that setup.py allows, in .venv; make clean brings the tested ones back
	@LOCKED= launch/setup.sh
	@$(PYTHON) -m pytest -n $(WORKERS) --dist=worksteal -q $(ARGS)

mutants: $(READY)  ## mutation testing: puts in small faults one at a time, and lists those that no test finds; ARGS='--only=NAME'
	@$(PYTHON) -m tests.mutants $(ARGS)

docs: .venv/ready-docs  ## the pages of docs/ as build/docs/index.html; a warning or a dead link is an error
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build

bench: $(READY)  ## milliseconds per update and agent steps per second, on this machine
	@$(PYTHON) -m patchail_jax bench $(ARGS)

evidence: $(READY)  ## on a machine with a GPU: doctor, bench, then the next run of the paper's size; MINUTES=25
	@$(PYTHON) -m patchail_jax evidence --minutes=$(or $(MINUTES),25) $(ARGS)

results: $(READY)  ## the runs of the sweep `small`, each on one core, until stopped; JOBS=2
	@trap : INT TERM; $(PYTHON) -m patchail_jax launch local small --jobs=$(or $(JOBS),1) --cores=1 --idle $(ARGS); status=$$?; \
	[ -z "$$(find runs/small -name config.json -print -quit 2>/dev/null)" ] || $(PYTHON) -m patchail_jax reports results runs/small; exit $$status

lint: $(READY)  ## ruff, mypy and import-linter
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

clean:  ## remove .venv and caches, never runs/
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
