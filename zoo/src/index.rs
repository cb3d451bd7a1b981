//! `index.json` and the table of results, made from the manifests.

use std::collections::BTreeMap;

use datasets::Digest;
use serde::Serialize;

use crate::atomic::write_atomic;
use crate::error::Result;
use crate::{Count, ONNX, Spec, Zoo};

/// File name of the index in the zoo.
pub const INDEX: &str = "index.json";

/// Every published version, for programs that look for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Index {
    /// Version of this format.
    pub schema: u32,
    /// Models by name.
    pub models: Vec<IndexModel>,
}

/// A model in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexModel {
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub latest: u32,
    /// What its aliases point to.
    pub aliases: BTreeMap<String, u32>,
    /// Its versions, ascending.
    pub versions: Vec<IndexVersion>,
}

/// A version in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexVersion {
    /// Its number.
    pub version: u32,
    /// Its folder, relative to the zoo.
    pub path: String,
    /// What it was trained on.
    pub dataset: String,
    /// Result on the test split.
    pub test: Count,
    /// Trainable values.
    pub parameters: u64,
    /// Multiply-accumulates for one image.
    pub macs: u64,
    /// Numeric profile that it was trained under: `portable` gives the same bytes on every processor.
    pub numeric_profile: String,
    /// Processor that trained it.
    pub processor: String,
    /// sha256 of its manifest, which has those of all other files.
    pub manifest_sha256: Digest,
    /// sha256 of its network.
    pub onnx_sha256: Option<Digest>,
}

impl Zoo {
    /// The index as the manifests have it.
    ///
    /// # Errors
    /// If a manifest cannot be read.
    pub fn index(&self) -> Result<Index> {
        let models = self.models()?.into_iter().map(|(name, versions)| self.index_model(name, &versions));
        Ok(Index { schema: 1, models: models.collect::<Result<_>>()? })
    }

    fn index_model(&self, name: String, versions: &[u32]) -> Result<IndexModel> {
        let entries = versions.iter().map(|&version| {
            let opened = self.version(&Spec::version(&name, version))?;
            let manifest = opened.manifest;
            Ok(IndexVersion {
                version,
                path: format!("models/{name}/{version}"),
                dataset: manifest.dataset.name,
                test: manifest.test.correct,
                parameters: manifest.network.parameters,
                macs: manifest.network.macs,
                numeric_profile: manifest.training.numeric_profile.isa,
                processor: manifest.training.cpu,
                manifest_sha256: opened.manifest_sha256,
                onnx_sha256: manifest.files.get(ONNX).map(|record| record.sha256),
            })
        });
        Ok(IndexModel {
            aliases: self.aliases(&name)?,
            latest: *versions.last().expect("`models` lists only models that have versions"),
            versions: entries.collect::<Result<_>>()?,
            name,
        })
    }

    /// Writes `index.json`. Publishing and setting an alias do it too.
    ///
    /// # Errors
    /// If a manifest cannot be read or the file not be written.
    pub fn write_index(&self) -> Result<()> {
        write_atomic(&self.root().join(INDEX), self.index()?.to_json().as_bytes())
    }
}

impl Index {
    /// The text of `index.json`.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("numbers, texts and lists always serialise");
        format!("{text}\n")
    }

    /// A Markdown table, one line for each version.
    pub fn to_markdown(&self) -> String {
        let mut out = String::from(
            "| model | data | test accuracy | right | parameters | MACs | same bytes again on | sha256 of `model.onnx` |\n",
        );
        out.push_str("|---|---|---|---|---|---|---|---|\n");
        for model in &self.models {
            for version in &model.versions {
                let digest = version.onnx_sha256.map_or("none".into(), |digest| digest.to_string());
                out.push_str(&format!(
                    "| [{name} {number}](zoo/{path}/README.md) | {data} | {accuracy:.2} % | {right} | {parameters} | {macs} | {again} | `{digest}` |\n",
                    name = model.name,
                    number = version.version,
                    path = version.path,
                    data = version.dataset,
                    accuracy = 100.0 * version.test.share(),
                    right = version.test,
                    parameters = grouped(version.parameters),
                    macs = grouped(version.macs),
                    again = version.same_bytes_on(),
                    digest = digest.chars().take(16).collect::<String>(),
                ));
            }
        }
        out
    }
}

impl IndexVersion {
    /// Where retraining gives the same bytes, for a table.
    fn same_bytes_on(&self) -> &str {
        match self.numeric_profile.as_str() {
            "portable" => "any x86-64 with AVX2",
            _ => &self.processor,
        }
    }
}

/// `1048576` as `1,048,576`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_groups_of_three() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        assert!(cases.iter().all(|(number, text)| grouped(*number) == *text));
    }
}
