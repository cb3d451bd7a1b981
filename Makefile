# One folder of build results, one profile, one set of features for everything here:
# tract and torch-sys take minutes to build, and every other set builds them again.
FEATURES = --features tests/trainer
TARGET = $(or $(CARGO_TARGET_DIR),target)/debug
ZOO = zoo

.PHONY: publish test build libtorch

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

build: libtorch
	cargo build --workspace --all-targets $(FEATURES)

libtorch:
	scripts/fetch-libtorch
