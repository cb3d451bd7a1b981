//! Embeds the newest published `mnist-cnn`, if there is one.

use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let models = root.join("../zoo/models");
    let model = models.join("mnist-cnn");
    println!("cargo:rerun-if-changed={}", if model.exists() { &model } else { &models }.display());
    let versions = std::fs::read_dir(&model).into_iter().flatten().filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        Some((name.parse::<u32>().ok()?, name))
    });
    let embedded = match versions.max() {
        Some((_, name)) => {
            let file =
                |file: &str| model.join(&name).join(file).canonicalize().map(|p| p.display().to_string());
            format!(
                "Some((include_str!({:?}), include_bytes!({:?})))",
                file("manifest.yaml")?,
                file("model.onnx")?
            )
        }
        None => "None".into(),
    };
    let code = format!("const EMBEDDED: Option<(&str, &[u8])> = {embedded};\n");
    std::fs::write(Path::new(&std::env::var_os("OUT_DIR").unwrap_or_default()).join("embedded.rs"), code)
}
