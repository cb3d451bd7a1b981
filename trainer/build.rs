//! Lets binaries and tests find the libtorch they were linked against, and tells its version.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").unwrap_or_default();
    if !lib.is_empty() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
    // torch-sys refuses any other version, so the fallback (no such file in a PyTorch wheel) is right too.
    let version = std::fs::read_to_string(Path::new(&lib).join("../build-version"));
    let version = version.map_or("2.13.0".to_owned(), |text| text.trim().to_owned());
    println!("cargo:rustc-env=TRAINER_LIBTORCH_VERSION={version}");
}
