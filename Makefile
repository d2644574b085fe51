# make demo: train and score a small network.   make test: every check.   PYTHON=python3.12 make ...: another interpreter.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
TORCH := torch>=2.6,<2.14
export SKYREEL_TEST_DATA ?= $(abspath ../shared/data)

.PHONY: demo test install format format-check lint types layers check test-slow notebooks bench report-check clean
.DEFAULT_GOAL := test

# torch first and alone: below 2.14 pip takes the CPU wheel where one is offered
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "skyreel needs Python 3.11 or later; name one with PYTHON=python3.12 make ..." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "$(PYTHON) cannot make a virtual environment: install its venv package (Debian, Ubuntu: apt install python3-venv)" \
				"or name another interpreter with PYTHON=... make ..." >&2; exit 1; }; \
		$(PYTHON) -m venv --clear .venv; }
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	@touch $@

install: ## also after editing the entry points
	@rm -f $(INSTALLED)
	@$(MAKE) --no-print-directory $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/python -m skyreel.demo

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

format-check: $(INSTALLED)
	$(BIN)/ruff format --check .

lint: $(INSTALLED)
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

layers: $(INSTALLED)
	$(BIN)/lint-imports

check: format-check lint types layers

test: check
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

notebooks: $(INSTALLED) ## writes and executes them
	$(BIN)/python examples/make_notebooks.py

bench: $(INSTALLED)
	$(BIN)/python -m pytest benchmarks -s

report-check: $(INSTALLED) ## opens a report in headless Chromium, light and dark; REPORT=FILE names one
	$(BIN)/python tests/report_check.py $(REPORT)

clean: ## caches and builds; .venv and runs/ stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks .import_linter_cache
	find core plugins surveys tests examples -name __pycache__ -type d -prune -exec rm -rf {} +
