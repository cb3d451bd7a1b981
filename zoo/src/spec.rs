//! Naming a version: `mnist-cnn`, `mnist-cnn@2`, `mnist-cnn@stable`.

use std::fmt;
use std::str::FromStr;

use crate::names::{check_name, parse_version};

/// A model, and which of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Name of the model.
    pub name: String,
    /// Which version.
    pub selector: Selector,
}

/// Which version of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The newest; written `@latest` or nothing.
    Latest,
    /// This one.
    Version(u32),
    /// The one that an alias points to.
    Alias(String),
}

impl Spec {
    /// The newest version of `name`.
    pub fn latest(name: impl Into<String>) -> Spec {
        Spec { name: name.into(), selector: Selector::Latest }
    }

    /// One version of `name`.
    pub fn version(name: impl Into<String>, version: u32) -> Spec {
        Spec { name: name.into(), selector: Selector::Version(version) }
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Spec, String> {
        let (name, selector) = match text.split_once('@') {
            Some((name, selector)) => (name, selector.parse().map_err(|e| format!("`{text}`: {e}"))?),
            None => (text, Selector::Latest),
        };
        check_name(name).map_err(|expected| format!("`{name}` is not a model name: expected {expected}"))?;
        Ok(Spec { name: name.into(), selector })
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Selector, String> {
        if text == "latest" {
            return Ok(Selector::Latest);
        }
        match parse_version(text) {
            Some(version) => Ok(Selector::Version(version)),
            None if check_name(text).is_ok() => Ok(Selector::Alias(text.into())),
            None => Err("expected NAME, NAME@VERSION with a version from 1, or NAME@ALIAS".into()),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            Selector::Latest => f.write_str(&self.name),
            Selector::Version(version) => write!(f, "{}@{version}", self.name),
            Selector::Alias(alias) => write!(f, "{}@{alias}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_and_print() {
        for (text, spec) in [
            ("mnist-cnn", Spec::latest("mnist-cnn")),
            ("mnist-cnn@12", Spec::version("mnist-cnn", 12)),
            (
                "mnist-cnn@stable",
                Spec { name: "mnist-cnn".into(), selector: Selector::Alias("stable".into()) },
            ),
        ] {
            assert_eq!(text.parse(), Ok(spec.clone()));
            assert_eq!(spec.to_string(), text);
        }
        assert_eq!("a@latest".parse(), Ok(Spec::latest("a")));
        for text in [
            "",
            "../x",
            "a@",
            "a@0",
            "a@-1",
            "a@1@2",
            "A",
            ".a",
            "a/b",
            "a@Stable",
            "a@99999999999",
            "a@+1",
            "a@01",
        ] {
            assert!(text.parse::<Spec>().is_err(), "{text}");
        }
    }
}
