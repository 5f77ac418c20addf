# Two commands do all the set-up: `make demo` and `make test`. See README.md.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
DEVICE ?=
TARGET_CPU ?= native
BIN := $${CARGO_TARGET_DIR:-target}/debug/windlass
RELEASE := $${CARGO_TARGET_DIR:-target}/release/windlass
step = @printf '\n== %s\n' "$(1)"

.PHONY: help demo build release test setup fmt clippy unit doc arrays differential suites gate bench bench-kernels test-gpu bench-gpu mutate install

help:
	@echo "make demo          build windlass and run the main job on real data"
	@echo "make test          install what the tests need and run all of them"
	@echo "make bench         TPC-H and db-benchmark beside DuckDB, Polars, DataFusion and Dask where installed (release build)"
	@echo "make bench-kernels every kernel operation on this host beside arrow, rayon and hashbrown"
	@echo "make test-gpu      conformance on every real GPU found"
	@echo "make bench-gpu     kernel benches on every real GPU found, as JSON in benches/results/"
	@echo "make mutate        break random lines of the kernels; the tests must fail (long; SEED=, COUNT=)"
	@echo "make install       build the release binary for this processor and install it with cargo (TARGET_CPU=x86-64-v2 for others)"

build:
	@scripts/need.sh cargo cc
	$(call step,building windlass (the first build compiles DataFusion: about 13 minutes on 2 cores))
	cargo build --workspace --bin windlass

demo: build
	$(call step,running the main job: examples/flights/etl.sql on data/nycflights13)
	$(BIN) demo $(if $(DEVICE),--device $(DEVICE))

setup:
	$(call step,installing what the tests need)
	@scripts/setup-tests.sh

test: setup fmt clippy unit doc arrays differential suites
	$(call step,all tests passed)

fmt:
	$(call step,formatting)
	cargo fmt --all --check

clippy:
	$(call step,clippy with warnings denied)
	cargo clippy --workspace --all-targets -- -D warnings

unit:
	$(call step,unit and conformance tests)
	WINDLASS_CUDA_TOOLS="$${WINDLASS_CUDA_TOOLS:-$(CURDIR)/.tools/cuda}" cargo nextest run --workspace

doc:
	$(call step,documentation tests)
	cargo test --workspace --doc
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

arrays:
	$(call step,thousands of random operations on arrays against NumPy)
	cargo build --workspace --bin arrays-tests
	.tools/python/bin/python tests/arrays/numpy_cases.py --bridge $${CARGO_TARGET_DIR:-target}/debug/arrays-tests --seed $(or $(SEED),1)
	for device in cuda-emulated:0 wgpu:0; do \
	  .tools/python/bin/python tests/arrays/numpy_cases.py --bridge $${CARGO_TARGET_DIR:-target}/debug/arrays-tests --seed $(or $(SEED),1) --device $$device --cases 1000 || exit 1; \
	done
	.tools/python/bin/python tests/arrays/storage.py --bridge $${CARGO_TARGET_DIR:-target}/debug/arrays-tests --seed $(or $(SEED),1)

differential: build
	$(call step,random queries on every kind of device against DuckDB)
	.tools/python/bin/python tests/differential/differential.py --windlass $(BIN) --seed $(or $(SEED),1)

suites: build
	$(call step,TPC-H and db-benchmark on every kind of device against DuckDB, row by row)
	.tools/python/bin/python tests/differential/suites.py --windlass $(BIN)

gate:
	$(call step,every CUDA source through NVRTC and ptxas)
	WINDLASS_CUDA_TOOLS="$${WINDLASS_CUDA_TOOLS:-$(CURDIR)/.tools/cuda}" cargo nextest run --workspace -E 'package(nvrtc-gate)'

release: # for the processor of this machine, unless TARGET_CPU says another
	@scripts/need.sh cargo cc
	$(call step,building the release profile (the first time about half an hour on 2 cores))
	RUSTFLAGS="$${RUSTFLAGS:--C target-cpu=$(TARGET_CPU)}" cargo build --release --workspace --bin windlass

bench: release
	$(call step,TPC-H scale 1 and db-benchmark 10^7 rows beside the engines that are installed)
	@mkdir -p benches/results
	$(RELEASE) bench tpch --device $(or $(DEVICE),cpu) --json benches/results/tpch.json --report benches/results/tpch.html
	$(RELEASE) bench dbbench --device $(or $(DEVICE),cpu) --json benches/results/dbbench.json --report benches/results/dbbench.html

bench-kernels: release
	$(call step,every kernel operation and the series over groups and build rows)
	@mkdir -p benches/results
	$(RELEASE) bench kernels --device $(or $(DEVICE),cpu) --json benches/results/kernels.json --report benches/results/kernels.html
	$(RELEASE) bench kernels --device $(or $(DEVICE),cpu) --only cliff --runs 3 --json benches/results/cliff.json --report benches/results/cliff.html

test-gpu:
	$(call step,conformance on the GPUs of this host)
	scripts/gpu.sh test

bench-gpu:
	$(call step,benches on the GPUs of this host)
	scripts/gpu.sh bench

install:
	@scripts/need.sh cargo cc
	RUSTFLAGS="$${RUSTFLAGS:--C target-cpu=$(TARGET_CPU)}" cargo install --path crates/windlass-cli --locked

mutate:
	@scripts/need.sh cargo cc python3
	$(call step,breaking random lines of kernels and running the tests that should see it)
	@mkdir -p benches/results
	scripts/mutation/mutate.py --count $(or $(COUNT),96) --seed $(or $(SEED),1) --json benches/results/mutation.json
