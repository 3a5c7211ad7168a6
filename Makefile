# `make demo` and `make test` are all a newcomer needs; both make their own environment in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := $(shell find rust/src python/genet5 -name '*.rs' -o -name '*.py' -o -name '*.pyi' -o -name '*.toml' -o -name '*.json')

.PHONY: help
help:
	@grep -E '^## ' Makefile | sed 's/^## //'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# The package's dependencies and its own extension, from this checkout.
$(VENV)/.installed: $(BIN)/python $(SOURCES) Cargo.toml Cargo.lock rust/Cargo.toml pyproject.toml
	$(BIN)/python -m pip install --quiet .
	touch $@

# The same and what the tests and checks need, in one build.
$(VENV)/.dev: $(BIN)/python $(SOURCES) Cargo.toml Cargo.lock rust/Cargo.toml pyproject.toml
	$(BIN)/python -m pip install --quiet '.[dev]'
	touch $(VENV)/.installed $@

## make install     the package and its dependencies in .venv
.PHONY: install
install: $(VENV)/.installed

## make demo        the whole recipe on a real genome (about 10 minutes on 2 cores after installation); GENOME=x.fna ANNOTATION=x.gff3 TEST_SEQIDS=I,VI for another
.PHONY: demo
demo: $(VENV)/.installed
	$(BIN)/python bin/demo.py --output demo $(if $(GENOME),--genome $(GENOME)) $(if $(ANNOTATION),--annotation $(ANNOTATION)) $(if $(TEST_SEQIDS),--test_seqids $(TEST_SEQIDS))

## make test        all quick tests, Rust and Python (at most 20 minutes on 2 cores with the build)
.PHONY: test
test: $(VENV)/.dev
	cargo test --locked --no-default-features --quiet
	$(BIN)/python -m pytest -m 'not long and not gpu'

## make test-long   the tests that take longer
.PHONY: test-long
test-long: $(VENV)/.dev
	$(BIN)/python -m pytest -m 'long and not gpu'

## make lint        ruff, mypy, rustfmt, clippy, shellcheck (where it is installed)
.PHONY: lint
lint: $(VENV)/.dev
	$(BIN)/ruff check python bin tests benchmarks
	$(BIN)/ruff format --check python bin tests benchmarks
	$(BIN)/mypy
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	if command -v shellcheck >/dev/null; then shellcheck bin/*.sh .ci/run; fi

## make core        build the Rust extension into python/genet5 (for work on a checkout with PYTHONPATH=python)
.PHONY: core
core:
	PYO3_BUILD_EXTENSION_MODULE=1 PYO3_PYTHON=$$(command -v $(PYTHON)) cargo build --release --locked
	cp -f $${CARGO_TARGET_DIR:-target}/release/libgenet5_core.so python/genet5/_core.abi3.so.new
	mv -f python/genet5/_core.abi3.so.new python/genet5/_core.abi3.so

## make gpu-test    the kernels on a CUDA device, from a bare checkout: PYTHON needs torch, triton and pytest (under 10 minutes); pytest-xdist, where it is there, compiles on several cores
.PHONY: gpu-test
gpu-test:
	@$(PYTHON) -c "import sys, torch; sys.exit(None if torch.cuda.is_available() else 'gpu-test needs a CUDA device that torch can see')"
	PYTHONPATH=python $(PYTHON) -m pytest -m gpu $$($(PYTHON) -c "import xdist; print('-n', 6)" 2>/dev/null) --confcutdir=tests/kernels tests/kernels/test_gpu.py

## make gpu-bench   speed of the kernels on a CUDA device, from a bare checkout (under 10 minutes)
.PHONY: gpu-bench
gpu-bench:
	PYTHONPATH=python $(PYTHON) benchmarks/kernels.py --device cuda

## make fuzz        each fuzz target for a minute under AddressSanitizer (needs cargo-fuzz; FUZZ_SECONDS=60)
FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz:
	set -e; cd rust/fuzz; targets=$$(RUSTC_BOOTSTRAP=1 cargo fuzz list --fuzz-dir .); for target in $$targets; do \
		mkdir -p target/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir . $$target target/corpus/$$target corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048; \
	done
