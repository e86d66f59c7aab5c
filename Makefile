# SPDX-License-Identifier: Apache-2.0
# One word per job; `make` alone lists them. Continuous integration runs the same words.

# Interpreter to build the environment on: make setup PYTHON=python3.12. Empty keeps the present one.
PYTHON ?=
# Options of the demo; an empty one leaves the command's own default.
TASK_SEED ?=
EPISODES ?=
OUT ?=
REALTIME ?=
# Fewer cases per row of the fault report, and only some rows: make fault-report QUICK=1 ROWS="2 15"
QUICK ?=
# How long the soak takes: make soak HOURS=8
HOURS ?=
ROWS ?=
# Random walks of the supervisor.
WALKS ?= 5000
# Extra arguments for pytest: make pytest ARGS="tests/ros -k gate"
ARGS ?=

SETUP := $(or $(PYTHON),python3) scripts/environment.py $(if $(PYTHON),--python "$(PYTHON)")
RUN := scripts/with_ros
TYPED := $(wildcard benchmarks examples meta_rl_core scripts sim_bridge ros_ws/src/pitaya_nodes/pitaya_nodes)

# Jobs share one environment and one screen.
.NOTPARALLEL:
.PHONY: help setup setup-dev demo test pytest mutants supervisor-walks check lint types layering format fault-report soak lock clean

help:
	@echo "make setup       environment for running: Python packages, ROS 2, the ROS packages of this checkout"
	@echo "make setup-dev   the same with torch and the tools that check the code"
	@echo "make demo        set up, then a simulated D'Claw adapts [TASK_SEED=7 EPISODES=5 OUT=folder REALTIME=1]"
	@echo "make test        set up, then lint, types and tests; what continuous integration runs"
	@echo "make pytest      tests alone [ARGS=\"tests/ros -k gate\"]"
	@echo "make mutants     how many small changes of the safety code its tests notice; minutes"
	@echo "make supervisor-walks   5,000 random walks of the supervisor [WALKS=100000]"
	@echo "make check       lint, types and the import rule"
	@echo "make format      rewrite the code in the one format"
	@echo "make fault-report  inject every fault, count what goes wrong [QUICK=1 ROWS=\"2 15\"]"
	@echo "make soak        memory, open files, threads of the whole graph over hours [HOURS=8]"
	@echo "make lock        choose the pinned versions anew"
	@echo "make clean       remove everything that these words made, except run folders"

setup:
	@$(SETUP)

setup-dev:
	@$(SETUP) --dev

demo: setup
	@$(RUN) pitaya demo $(if $(TASK_SEED),--task-seed "$(TASK_SEED)") $(if $(EPISODES),--episodes "$(EPISODES)") \
	  $(if $(OUT),--out "$(OUT)") $(if $(filter-out 0,$(REALTIME)),--realtime)

# pytest comes last, so that its summary line is the last line of the output.
test: lint types
	@$(RUN) python -m pytest --numprocesses 2 --dist loadgroup $(ARGS)

check: lint types layering

lint: setup-dev
	@$(RUN) ruff check --quiet .
	@$(RUN) ruff format --check --quiet .

types: setup-dev
	@$(RUN) mypy $(TYPED)

layering: setup-dev
	@$(RUN) python -m pytest -q tests/test_layering.py

pytest: setup-dev
	@$(RUN) python -m pytest $(ARGS)

mutants: setup-dev
	@$(RUN) python scripts/mutants.py

supervisor-walks: setup-dev
	@SUPERVISOR_WALKS="$(WALKS)" $(RUN) python -m pytest -q tests/core/runtime/test_supervisor_model.py

format: setup-dev
	@$(RUN) ruff check --fix --quiet .
	@$(RUN) ruff format .

# Memory, open files and threads of the whole graph over hours of real time.
soak: setup
	@$(RUN) python -m tests.faults.soak $(if $(HOURS),--hours "$(HOURS)")

# Takes hours without QUICK=1. To publish it, copy build/fault_report.json and .md to docs/; with the JSON copied back to
# build/ first, single rows can be run again.
fault-report: setup
	@$(RUN) python -m tests.faults $(if $(filter-out 0,$(QUICK)),--size quick) $(if $(ROWS),--rows $(ROWS))

lock: setup-dev
	@$(RUN) python -m pip install --quiet uv
	@$(RUN) uv pip compile --universal --python-version 3.10 --no-python-downloads --upgrade --quiet \
	  --custom-compile-command "make lock" --no-annotate --extra dev --constraints requirements/pins.in --output-file requirements/constraints.txt \
	  pyproject.toml requirements/build.txt requirements/ros-jazzy.txt

clean:
	rm -rf .venv build install log *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
