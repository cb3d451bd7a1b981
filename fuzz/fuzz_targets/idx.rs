//! Any bytes as an IDX file; what parses must come back the same.
#![no_main]

use std::path::Path;

use datasets::Idx;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(idx) = Idx::parse(bytes, Path::new("fuzz")) {
        assert_eq!(Idx::parse(&idx.to_bytes(), Path::new("again")).ok(), Some(idx));
    }
});
