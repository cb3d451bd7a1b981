//! Builds in the model that one line of `Cargo.toml` names.

use std::path::{Path, PathBuf};

fn main() -> Result<(), String> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).ok_or(format!("{name} is not set"));
    let root = variable("CARGO_MANIFEST_DIR")?;
    println!("cargo:rerun-if-changed=Cargo.toml");
    let config = std::fs::read_to_string(root.join("Cargo.toml")).map_err(|e| format!("Cargo.toml: {e}"))?;
    let (name, version, sha256) = built_in_model(&config)
        .ok_or("Cargo.toml: [package.metadata.built-in-model]: expected \"NAME@VERSION\" = \"SHA256\"")?;
    let folder = root.join("../zoo/models").join(name).join(version);
    let file = |file: &str| {
        let path = folder.join(file);
        println!("cargo:rerun-if-changed={}", path.display());
        path.canonicalize().map_err(|e| format!("{}: {e}; the built-in model is missing", path.display()))
    };
    let code = format!(
        "const BUILT_IN: BuiltIn = BuiltIn {{ spec: {:?}, manifest_sha256: {sha256:?}, manifest: \
         include_str!({:?}), onnx: include_bytes!({:?}) }};\n",
        format!("{name}@{version}"),
        file("manifest.yaml")?,
        file("model.onnx")?
    );
    let out = variable("OUT_DIR")?.join("built_in.rs");
    std::fs::write(Path::new(&out), code).map_err(|e| format!("{}: {e}", out.display()))
}

/// Name, version and sha256 on the line after the table's head.
fn built_in_model(config: &str) -> Option<(&str, &str, &str)> {
    let mut lines = config.lines().skip_while(|line| *line != "[package.metadata.built-in-model]");
    let (spec, sha256) = lines.nth(1)?.split_once('=')?;
    let (name, version) = spec.trim().trim_matches('"').split_once('@')?;
    Some((name, version, sha256.trim().trim_matches('"')))
}
