//! Strict YAML: the one place that names the YAML library.
//!
//! `serde_yaml` is archived upstream; everything in the workspace goes through
//! these functions, so that it can be swapped here. Enums are written as
//! `name` or `name: {fields}`, not with YAML tags.

mod expansion;
mod unique;

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};
use serde_yaml::with::singleton_map_recursive;

use crate::message::plain;
pub use unique::{unique, unique_if_any};

use crate::{Error, Result, files};

/// YAML files larger than this are refused: recipes and manifests are small.
pub const MAX_BYTES: u64 = 4 << 20;

/// Parses `text`; `path` is only for the error.
///
/// # Errors
/// [`Error::Yaml`] with line and column.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T> {
    let wrong =
        |error: serde_yaml::Error| Error::Yaml { path: path.to_owned(), message: plain(&error.to_string()) };
    // Editors of Windows begin files with a byte order mark, by which the library counts the first key's column wrong.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let refused = check_depth(text).and_then(|()| expansion::check(text));
    refused.map_err(|message| Error::Yaml { path: path.to_owned(), message })?;
    let empty = || Error::Yaml { path: path.to_owned(), message: "the file is empty".into() };
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let first = documents.next().filter(|_| !text.trim().is_empty()).ok_or_else(empty)?;
    let value = singleton_map_recursive::deserialize(first).map_err(wrong)?;
    match documents.next() {
        None => Ok(value),
        Some(_) => Err(Error::invalid(path, "documents", "more than one YAML document", "one")),
    }
}

/// Refuses what would be lost where any value may stand: of equal keys in a map all but the last, and numbers that are not
/// finite, which JSON does not have.
///
/// # Errors
/// [`Error::Yaml`].
pub fn check_values(text: &str, path: &Path) -> Result<()> {
    // Of equal keys the library's own tree refuses the second.
    let value: serde_yaml::Value = parse(text, path)?;
    let mut open = vec![&value];
    while let Some(value) = open.pop() {
        match value {
            serde_yaml::Value::Number(number)
                if number.as_f64().is_some_and(|number| !number.is_finite()) =>
            {
                return Err(Error::invalid(path, "values", number.to_string(), "finite numbers"));
            }
            serde_yaml::Value::Sequence(values) => open.extend(values),
            serde_yaml::Value::Mapping(map) => open.extend(map.values()),
            serde_yaml::Value::Tagged(tagged) => open.push(&tagged.value),
            _ => {}
        }
    }
    Ok(())
}

/// Brackets that may be open at a time, and columns before the first word of a line.
const DEEPEST: (usize, usize) = (64, 256);
/// Brackets in all: those in texts and comments could hide how many are open.
const MOST_BRACKETS: usize = 10_000;

/// Refuses structure that is nested deeper than anything here: the library's time grows with the square of the depth,
/// and it says so only after it has read everything. Counts brackets in texts and comments too.
fn check_depth(text: &str) -> std::result::Result<(), String> {
    let (mut open, mut all) = (0usize, 0usize);
    for (number, line) in text.lines().enumerate() {
        let indent = line.bytes().take_while(|byte| b" \t-?:".contains(byte)).count();
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => (open, all) = (open + 1, all + 1),
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if all > MOST_BRACKETS || open > DEEPEST.0 || indent > DEEPEST.1 {
                let (brackets, columns) = DEEPEST;
                return Err(format!(
                    "nested too deep at line {}, expected at most {brackets} brackets and {columns} columns",
                    number + 1
                ));
            }
        }
    }
    Ok(())
}

/// Reads and parses a file.
///
/// # Errors
/// [`Error::Io`], also if it is too large or not UTF-8; [`Error::Yaml`].
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse(&read_text(path)?, path)
}

/// Reads a small UTF-8 file, for example to parse it and keep its exact text.
///
/// # Errors
/// [`Error::Io`], also if it is too large or not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    files::read_text(path, MAX_BYTES).map_err(Error::io(path))
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
    fn deep_nesting_is_refused_at_once() {
        let deep = 100_000;
        let texts = [
            "[".repeat(deep) + &"]".repeat(deep),
            "{a: ".repeat(deep),
            "- ".repeat(deep),
            "? ".repeat(deep),
            (0..600).map(|n| format!("{}a:\n", " ".repeat(n))).collect(),
            format!("name: [{}", "[\n".repeat(deep)),
            "[ #]\n".repeat(deep),
            "[\"]\",".repeat(deep),
        ];
        let start = std::time::Instant::now();
        for text in texts {
            assert!(parse_file(&text).unwrap_err().contains("nested too deep"));
        }
        assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    }

    #[test]
    fn aliases_stand_for_no_more_than_a_file_may_have() {
        let file: File =
            parse("name: &a relu\nlayers: [*a, *a, conv: {kernel: 5}]\n", Path::new("f.yaml")).unwrap();
        assert_eq!(file.layers, [Layer::Relu, Layer::Relu, Layer::Conv { kernel: 5 }]);
        let long = "x".repeat(1 << 20);
        let nested: String = (1..12)
            .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", ")))
            .collect();
        let texts = [
            format!("name: &a {long}\nlayers:\n{}", "- *a\n".repeat(300_000)),
            format!("name: &a {long}\nlayers: [{}*a]\n", "*a,".repeat(5_000)),
            format!("name: &a \"{long}\"\nlayers: {{{}}}\n", "*a : *a,".repeat(50)),
            format!("a0: &a0 {long}\n{nested}name: b\nlayers: []\n"),
            // Numbers of more than 64 bits are texts where a text is expected.
            format!(
                "n: 99999999999999999999\nm: -99999999999999999999\nname: &a {long}\nlayers: [{}*a]\n",
                "*a,".repeat(50)
            ),
        ];
        // Numbers whose text is long.
        let numbers = [format!("0.{}1", "0".repeat(1 << 20)), format!("0x{}1", "0".repeat(1 << 20))];
        let numbers =
            numbers.map(|number| format!("name: &a {number}\nlayers:\n{}", "- *a\n".repeat(300_000)));
        let start = std::time::Instant::now();
        for text in texts.into_iter().chain(numbers) {
            let message = parse_file(&text).unwrap_err();
            assert!(message.contains("aliases"), "{message}");
        }
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }

    #[test]
    fn what_cannot_be_measured_is_refused_where_aliases_may_be() {
        let long = "x".repeat(1 << 20);
        for tag in ["!!int x", "!!bool x", "!!float x", "!!null x"] {
            let text = format!("name: {tag}\nlayers:\n- &a {long}\n{}", "- *a\n".repeat(300_000));
            parse_file(&text).unwrap_err();
        }
    }

    #[test]
    fn a_long_list_is_no_alias() {
        let text = format!("# **all** of them\n[{}0]\n", "0,".repeat(500_000));
        assert_eq!(parse::<Vec<u8>>(&text, Path::new("f.yaml")).unwrap().len(), 500_001);
    }

    #[test]
    fn broken_documents_with_aliases_end() {
        for text in ["name: *a\n", "name: [*a\n", "*a: &a *a\n", "name: a\n---\n*a\n", "%*a\n---\n", "\"*a"] {
            parse_file(text).unwrap_err();
        }
    }

    #[test]
    fn a_byte_order_mark_changes_nothing() {
        let text = "name: a\nlayers: []\n";
        assert_eq!(parse_file(&format!("\u{feff}{text}")), parse_file(text));
    }

    #[test]
    fn a_key_twice_is_refused_in_maps_as_in_structures() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only read")]
        struct Maps {
            #[serde(deserialize_with = "unique")]
            files: std::collections::BTreeMap<String, u32>,
            #[serde(default, deserialize_with = "unique_if_any")]
            more: Option<std::collections::BTreeMap<String, Vec<u32>>>,
        }
        let parse = |text: &str| parse::<Maps>(text, Path::new("f.yaml")).map_err(|e| e.to_string());
        parse("files: {a: 1, b: 1}\nmore: {a: [1]}\n").unwrap();
        parse("files: {}\n").unwrap();
        for text in ["files: {a: 1, a: 2}\n", "files: {}\nmore:\n  a: [1]\n  a: [1]\n"] {
            let message = parse(text).unwrap_err();
            assert!(message.contains("\"a\" twice") && message.contains("line "), "{message}");
        }
    }

    #[test]
    fn one_document_only() {
        assert!(parse_file("").unwrap_err().contains("empty"));
        assert!(parse_file("name: a\nlayers: []\n---\nname: b\n").is_err());
    }
}
