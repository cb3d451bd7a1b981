//! Any bytes as an ONNX file.
#![no_main]

use std::path::Path;

use datasets::ImageShape;
use infer::Session;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let shape = ImageShape { channels: 1, height: 28, width: 28 };
    let _ = Session::load(bytes.to_vec(), shape, 10, Path::new("fuzz"));
});
