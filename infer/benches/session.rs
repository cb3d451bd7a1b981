//! What a prediction costs, by model and by images per call: `cargo bench --profile dev --bench session`.
#![allow(clippy::expect_used)]

use std::path::Path;

use bytes::Bytes;
use divan::{Bencher, counter::ItemsCount};
use infer::Session;
use zoo::{Spec, VersionDir, Zoo};

fn main() {
    divan::main();
}

const MODELS: [&str; 2] = ["mnist-cnn", "fashion-cnn"];

fn version(model: &str) -> VersionDir {
    let zoo = Zoo::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../zoo")).expect("a zoo");
    zoo.version(&model.parse::<Spec>().expect("a name")).expect("a version")
}

fn load(version: &VersionDir, onnx: Bytes) -> Session {
    let manifest = &version.manifest;
    Session::load(onnx, manifest.image_shape(), manifest.labels.len(), &version.path).expect("a model")
}

/// From the bytes of a file to the first answer.
#[divan::bench(args = MODELS)]
fn load_model(bencher: Bencher<'_, '_>, model: &str) {
    let version = version(model);
    let onnx = Bytes::from(version.read(zoo::ONNX).expect("a file"));
    bencher.bench_local(|| load(&version, onnx.clone()));
}

/// One thread; images of a call go through the dense layers together.
#[divan::bench(args = MODELS, consts = [1, 32, 64, 256])]
fn predict<const BATCH: usize>(bencher: Bencher<'_, '_>, model: &str) {
    let version = version(model);
    let session = load(&version, version.read(zoo::ONNX).expect("a file").into());
    let mut worker = session.worker().expect("a worker");
    let pixels: Vec<u8> =
        (0..BATCH * version.manifest.image_shape().numel()).map(|i| (i * 7 % 256) as u8).collect();
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench_local(|| worker.probabilities(&pixels).expect("probabilities"));
}
