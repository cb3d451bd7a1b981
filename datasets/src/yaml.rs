//! Strict YAML: the one place that names the YAML library.
//!
//! `serde_yaml` is archived upstream; everything in the workspace goes through
//! these functions, so that it can be swapped here. Enums are written as
//! `name` or `name: {fields}`, not with YAML tags.

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};
use serde_yaml::with::singleton_map_recursive;

use crate::message::plain;
use crate::{Error, Result};

/// YAML files larger than this are refused: recipes and manifests are small.
pub const MAX_BYTES: u64 = 4 << 20;

/// Parses `text`; `path` is only for the error.
///
/// # Errors
/// [`Error::Yaml`] with line and column.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T> {
    let wrong =
        |error: serde_yaml::Error| Error::Yaml { path: path.to_owned(), message: plain(&error.to_string()) };
    let empty = || Error::Yaml { path: path.to_owned(), message: "the file is empty".into() };
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let first = documents.next().filter(|_| !text.trim().is_empty()).ok_or_else(empty)?;
    let value = singleton_map_recursive::deserialize(first).map_err(wrong)?;
    match documents.next() {
        None => Ok(value),
        Some(_) => Err(Error::invalid(path, "documents", "more than one YAML document", "one")),
    }
}

/// Reads and parses a file.
///
/// # Errors
/// [`Error::Io`], [`Error::Invalid`] if it is too large or not UTF-8, [`Error::Yaml`].
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse(&read_text(path)?, path)
}

/// Reads a small UTF-8 file, for example to parse it and keep its exact text.
///
/// # Errors
/// [`Error::Io`], [`Error::Invalid`] if it is too large or not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if length > MAX_BYTES {
        return Err(Error::invalid(
            path,
            "length",
            format!("{length} bytes"),
            format!("at most {MAX_BYTES}"),
        ));
    }
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    String::from_utf8(bytes).map_err(|error| {
        let place = format!("byte {}", error.utf8_error().valid_up_to());
        Error::invalid(path, "encoding", format!("invalid UTF-8 at {place}"), "UTF-8 text")
    })
}

/// Writes `value` as YAML; fields keep their order, so equal values give equal bytes.
///
/// # Errors
/// [`Error::Yaml`] for a value that YAML cannot hold.
pub fn to_string<T: Serialize>(value: &T) -> Result<String> {
    let mut out = Vec::new();
    let mut serializer = serde_yaml::Serializer::new(&mut out);
    let wrong = |message: String| Error::Yaml { path: "(output)".into(), message };
    singleton_map_recursive::serialize(value, &mut serializer).map_err(|e| wrong(e.to_string()))?;
    drop(serializer);
    String::from_utf8(out).map_err(|e| wrong(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "snake_case")]
    enum Layer {
        Relu,
        Conv { kernel: u32 },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        name: String,
        layers: Vec<Layer>,
    }

    fn parse_file(text: &str) -> std::result::Result<File, String> {
        parse(text, Path::new("f.yaml")).map_err(|e| e.to_string())
    }

    #[test]
    fn enums_are_plain_keys() {
        let text = "name: a\nlayers:\n- conv:\n    kernel: 5\n- relu\n";
        let file = File { name: "a".into(), layers: vec![Layer::Conv { kernel: 5 }, Layer::Relu] };
        assert_eq!(parse_file(text).unwrap(), file);
        assert_eq!(to_string(&file).unwrap(), text);
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let message = parse_file("name: a\nlayers: []\nnmae: b\n").unwrap_err();
        assert!(message.contains("nmae") && message.contains("line 3"), "{message}");
        let message = parse_file("name: a\nlayers:\n- conv:\n    kernel: 5\n    kernl: 3\n").unwrap_err();
        assert!(message.contains("kernl") && message.contains("line "), "{message}");
    }

    #[test]
    fn one_document_only() {
        assert!(parse_file("").unwrap_err().contains("empty"));
        assert!(parse_file("name: a\nlayers: []\n---\nname: b\n").is_err());
    }
}
