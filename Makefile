# One folder of build results, one profile, one set of features for everything here:
# tract and torch-sys take minutes to build, and every other set builds them again.
FEATURES = --features tests/trainer
TARGET = $(or $(CARGO_TARGET_DIR),target)/debug
ZOO = zoo

.PHONY: publish test build libtorch dist server bench

## The main job: train and publish what is not published yet, then predict one sample.
publish: build
	$(TARGET)/trainer publish recipes/mnist-cnn.yaml recipes/fashion-cnn.yaml --zoo $(ZOO)
	$(TARGET)/infer predict docs/seven.png --zoo $(ZOO) --show

## Everything that must hold.
test: libtorch
	cargo fmt --check
	cargo build --workspace --all-targets $(FEATURES)
	cargo test --workspace $(FEATURES)
	cargo clippy --workspace --all-targets $(FEATURES) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps $(FEATURES)
	scripts/check-onnx
	scripts/check-signing $(TARGET)
	scripts/check-serve $(TARGET)
	scripts/check-page $(TARGET)
	scripts/check-registry $(TARGET)
	scripts/check-exports $(TARGET)
	scripts/check-instructions $(TARGET)

build: libtorch
	cargo build --workspace --all-targets $(FEATURES)

libtorch:
	scripts/fetch-libtorch

## `infer` for shipping: small and statically linked, without `serve`, `push` and `pull`, in target/<host>/dist.
# Backtraces' unwind tables go, equal functions are merged, relocations are packed.
DIST = -C target-feature=+crt-static -C force-unwind-tables=no \
	-C link-arg=-Wl,--icf=all -C link-arg=-Wl,--pack-dyn-relocs=relr
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

dist:
	RUSTFLAGS="$(DIST)" cargo build --profile dist --package infer --no-default-features --target $(HOST)

## `infer` for servers: everything, statically linked, optimised for speed, in target/<host>/release.
SERVER = -C target-feature=+crt-static -C link-arg=-Wl,--icf=all -C link-arg=-Wl,--pack-dyn-relocs=relr

server:
	RUSTFLAGS="$(SERVER)" cargo build --release --package infer --target $(HOST)

## Measures this project beside PyTorch, onnxruntime, candle and burn; writes BENCHMARKS.md.
bench: build dist server
	benchmarks/run --infer target/$(HOST)/dist/infer --server target/$(HOST)/release/infer
