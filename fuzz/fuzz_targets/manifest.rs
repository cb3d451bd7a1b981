//! Any text as a manifest; what is accepted must be written and accepted again, unchanged.
#![no_main]

use std::path::Path;

use zoo::Manifest;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let path = Path::new("fuzz");
    if let Ok(manifest) = datasets::yaml::parse::<Manifest>(text, path) {
        if manifest.check(path).is_ok() {
            let text = datasets::yaml::to_string(&manifest).expect("what was read can be written");
            assert_eq!(datasets::yaml::parse::<Manifest>(&text, path).ok(), Some(manifest));
        }
    }
});
