# The two commands: `make report` (the main job) and `make test`. Both build .venv when it is missing or stale.
.DELETE_ON_ERROR:
.PHONY: setup report test quick nightly docs notebooks lint types unit fuzz mutants advisories clean

STAMP := .venv/.installed
BIN := .venv/bin

report: $(STAMP)
	$(BIN)/cbec-bayes run --out reports

# Types are checked beside the tests, and what is found is shown after them: a minute of one core.
test: lint
	mkdir -p build
	$(BIN)/mypy > build/types.txt 2>&1 & types=$$!; \
		$(MAKE) --no-print-directory unit; status=$$?; \
		wait $$types || status=1; cat build/types.txt; exit $$status

setup: $(STAMP)

# The documentation as a site, from the pages of docs/ and from the program itself; needs no network.
docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "build/docs/index.html"

$(STAMP): pyproject.toml constraints.txt .ci/find-python
	python="$$(sh .ci/find-python)" && "$$python" -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

# A worker per core, and a thread per worker: with more they wait for each other. tests/README.md says what each tier holds.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
unit: $(STAMP)
	$(PYTEST) -m "not nightly"

nightly: $(STAMP)
	$(PYTEST) -m nightly

# Executes the notebooks and writes their outputs, which are committed.
notebooks: $(STAMP)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.support.notebooks

# The inner loop: what reads, computes in closed form, or writes; no sampling and no other process.
QUICK := tests/panel tests/published tests/classical tests/replication tests/runtime tests/specifications tests/test_words.py
quick: $(STAMP)
	$(PYTEST) -m "not slow and not nightly" $(QUICK)

# Mutants of every file that is read, and of every option: so many of each, from a seed; hours, once before a release.
CBEC_BAYES_FUZZ ?= 5000
CBEC_BAYES_FUZZ_SEED ?= 1
fuzz: $(STAMP)
	CBEC_BAYES_FUZZ=$(CBEC_BAYES_FUZZ) CBEC_BAYES_FUZZ_SEED=$(CBEC_BAYES_FUZZ_SEED) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
		nice -n 15 $(BIN)/python -m pytest tests/test_fuzz.py

# Changes the numerical core in a few thousand places, one at a time: an hour or two on two cores, once before a release.
mutants: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,mutants]'
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/mutmut run
	$(BIN)/mutmut results

# Known vulnerabilities of the pinned versions, from a database of advisories: needs the network, and says so without one.
advisories: $(STAMP)
	$(BIN)/python -m venv --clear build/advisories
	build/advisories/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	build/advisories/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip

clean:
	rm -rf .venv mutants build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
