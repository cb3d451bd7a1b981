//! Any bytes as an ONNX file from elsewhere.
#![no_main]

use std::path::Path;
use std::sync::Once;

use datasets::ImageShape;
use infer::Session;

static QUIET: Once = Once::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // libfuzzer's hook ends the process at any panic, also those of tract that become errors of the file.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let shape = ImageShape { channels: 1, height: 28, width: 28 };
    let _ = Session::load_adopted(bytes.to_vec(), shape, 10, Path::new("fuzz"));
});
