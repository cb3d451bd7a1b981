//! Padding of a convolution.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Padding of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Padding {
    /// No padding.
    #[default]
    Valid,
    /// Output is `ceil(input / stride)`; an odd pixel goes to the bottom and right (ONNX `SAME_UPPER`).
    Same,
    /// So many pixels on every side.
    Pixels(usize),
}

impl Padding {
    /// `[before, after]` along one dimension, for a kernel that spans so many pixels.
    pub(crate) fn amounts(self, input: usize, span: usize, stride: usize) -> [usize; 2] {
        match self {
            Padding::Valid => [0, 0],
            Padding::Same => {
                let output = input.div_ceil(stride);
                let total = (output.saturating_sub(1) * stride + span).saturating_sub(input);
                [total / 2, total - total / 2]
            }
            Padding::Pixels(pixels) => [pixels, pixels],
        }
    }
}

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Padding::Valid => serializer.serialize_str("valid"),
            Padding::Same => serializer.serialize_str("same"),
            Padding::Pixels(pixels) => serializer.serialize_u64(*pixels as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Padding, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Pixels(usize),
            Word(String),
        }
        let expected = "expected `valid`, `same` or a number of pixels";
        match Raw::deserialize(deserializer) {
            Ok(Raw::Pixels(pixels)) => Ok(Padding::Pixels(pixels)),
            Ok(Raw::Word(word)) if word == "valid" => Ok(Padding::Valid),
            Ok(Raw::Word(word)) if word == "same" => Ok(Padding::Same),
            Ok(Raw::Word(word)) => Err(serde::de::Error::custom(format!("padding `{word}`: {expected}"))),
            Err(_) => Err(serde::de::Error::custom(format!("padding: {expected}"))),
        }
    }
}

impl schemars::JsonSchema for Padding {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Padding".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "`valid` (none), `same`, or pixels on every side.",
            "oneOf": [{ "enum": ["valid", "same"] }, { "type": "integer", "minimum": 0 }],
        })
    }
}
