# `make demo` and `make test` are all a newcomer needs; both make their own environment in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PYTHONPATH := $(CURDIR)/python

.PHONY: help
help:
	@grep -E '^## ' Makefile | sed 's/^## //'

## make core        build the Rust extension into python/genet5 (for work on a checkout)
.PHONY: core
core:
	PYO3_BUILD_EXTENSION_MODULE=1 PYO3_PYTHON=$$(command -v $(PYTHON)) cargo build --release --locked
	cp -f $${CARGO_TARGET_DIR:-target}/release/libgenet5_core.so python/genet5/_core.abi3.so.new
	mv -f python/genet5/_core.abi3.so.new python/genet5/_core.abi3.so
