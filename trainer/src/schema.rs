//! JSON schemas of the file formats, generated from the types that read them.
//!
//! `schemas/` holds them for editors and other programs; a test compares.

use serde_json::Value;

/// Schema of `manifest.yaml`.
pub fn manifest() -> Value {
    schemars::schema_for!(zoo::Manifest).to_value()
}

/// Schema of a recipe.
pub fn recipe() -> Value {
    schemars::schema_for!(crate::recipe::Recipe).to_value()
}

/// Schema of a study.
pub fn study() -> Value {
    schemars::schema_for!(crate::study::Study).to_value()
}
