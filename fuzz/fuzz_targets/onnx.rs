//! Any bytes as an ONNX file.
#![no_main]

use std::path::Path;

use datasets::ImageShape;
use infer::{Explainer, Session};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let shape = ImageShape { channels: 1, height: 28, width: 28 };
    let _ = Session::load(bytes.to_vec(), shape, 10, Path::new("fuzz"));
    if let Ok(Some(explainer)) = Explainer::load(bytes.to_vec(), shape, Path::new("fuzz")) {
        let _ = explainer.feature_maps(&[0; 28 * 28]);
    }
});
