# One folder of build results, one profile, one set of features for everything here:
# tract and torch-sys take minutes to build, and every other set builds them again.
FEATURES = --features tests/trainer
TARGET = $(or $(CARGO_TARGET_DIR),target)/debug
PYTHON = python3
# A zoo of your own, beside the published one.
ZOO = my-zoo

.PHONY: publish test interop compare processors build libtorch tools dist server bench

## The main job: train a small network in seconds, publish it into a zoo of your own, use it.
publish: libtorch
	cargo build -p trainer -p infer --bins
	$(TARGET)/trainer publish recipes/mnist-fast.yaml --zoo $(ZOO)
	$(TARGET)/infer predict docs/seven.png --model mnist-fast --zoo $(ZOO) --show
	@echo
	@echo "Your model is in $(ZOO). Go on with:"
	@echo "  $(TARGET)/infer show mnist-fast --zoo $(ZOO)      # its card"
	@echo "  $(TARGET)/infer verify --zoo $(ZOO)               # re-measure what it claims"
	@echo "  $(TARGET)/trainer reproduce mnist-fast --zoo $(ZOO)  # train it again, to the same bytes"
	@echo "  cargo build -p hub && $(TARGET)/zoo serve --zoo $(ZOO)   # draw on it in the browser"
	@echo "  edit recipes/mnist-fast.yaml and run make publish again"

## Everything that must hold, with Rust, a C++ compiler, openssl and Python alone.
test: libtorch
	cargo fmt --check
	cargo build --workspace --all-targets $(FEATURES)
	cargo test --workspace $(FEATURES)
	cargo clippy --workspace --all-targets $(FEATURES) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps $(FEATURES)

## What other people's programs say to this one: engines, clients, a browser, a registry, valgrind.
# `.ci/run` names the packages of Debian that this needs.
UV = .tools/bin/uv run --quiet
interop: compare dist
	$(UV) scripts/check_own_data.py $(TARGET)
	$(UV) scripts/check_serve.py $(TARGET)
	$(UV) scripts/check_page.py $(TARGET)
	scripts/check_registry.sh $(TARGET)
	$(UV) scripts/check_pictures.py target/$(HOST)/dist
	$(UV) scripts/check_instructions.py target/$(HOST)/dist

# What keeps one core busy and trains nothing: with `make -j2` it runs while `dist` is linked, which takes minutes on
# one core.
compare: build tools
	.tools/bin/ruff check scripts benchmarks tests/data examples
	.tools/bin/cargo-deny --all-features check bans licenses sources
	$(UV) scripts/check_onnx.py
	$(UV) scripts/check_tools.py $(TARGET)
	$(UV) scripts/check_conformance.py $(TARGET)
	$(UV) scripts/check_diff.py $(TARGET)
	$(UV) scripts/check_statistics.py
	$(PYTHON) scripts/check_explained.py
	scripts/check_signing.sh $(TARGET)
	$(UV) scripts/check_exports.py $(TARGET)

## Training under emulated processors: 5 to 40 minutes, after a change of kernels, probes or libtorch. Needs `qemu-user`.
processors: build tools
	$(UV) scripts/check_processors.py $(TARGET)

build: libtorch
	cargo build --workspace --all-targets $(FEATURES)

libtorch:
	$(PYTHON) scripts/fetch_libtorch.py

# `uv` makes the environment that each script names in its head; it takes the Python that is there.
export UV_PYTHON_DOWNLOADS = never
tools: .tools/bin/uv .tools/bin/cargo-deny
.tools/bin/uv: scripts/tools.txt
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --requirement scripts/tools.txt
	touch $@
.tools/bin/cargo-deny:
	cargo install --quiet --debug --locked --root .tools cargo-deny@0.20.2

## `infer` for shipping: small and statically linked, in target/<host>/dist. It leaves out the reader of adopted networks.
# Backtraces' unwind tables go, equal functions are merged, relocations are packed.
DIST = -C target-feature=+crt-static -C force-unwind-tables=no \
	-C link-arg=-Wl,--icf=all -C link-arg=-Wl,--pack-dyn-relocs=relr
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

dist:
	RUSTFLAGS="$(DIST)" cargo build --profile dist --package infer --no-default-features --features cli --target $(HOST)

## `zoo` for servers: statically linked, optimised for speed, in target/<host>/release.
SERVER = -C target-feature=+crt-static -C link-arg=-Wl,--icf=all -C link-arg=-Wl,--pack-dyn-relocs=relr

server:
	RUSTFLAGS="$(SERVER)" cargo build --release --package hub --target $(HOST)

## Measures this project beside PyTorch, onnxruntime, candle and burn; writes BENCHMARKS.md. Needs `wrk`.
bench: build tools server
	RUSTFLAGS="$(DIST)" cargo build --profile dist --package infer --no-default-features --features cli,adopted --target $(HOST)
	cp target/$(HOST)/dist/infer target/$(HOST)/infer-adopted
	$(MAKE) dist
	$(UV) benchmarks/run.py --infer target/$(HOST)/dist/infer --server target/$(HOST)/release/zoo \
		--reader target/$(HOST)/infer-adopted
	python3 benchmarks/costs.py --infer target/$(HOST)/dist/infer
