//! Enums that stand in YAML as a name, or as a name with fields: `relu`, `optimizer: adam`,
//! `conv2d: {features: 32, kernel_size: 5}`.
//!
//! serde's own form of such an enum refuses the name alone where there could be fields, in words
//! that only a programmer of Rust understands.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// An enum of named variants that each hold a struct of fields; implemented by [`tagged!`].
pub(crate) trait Tagged: Sized {
    /// What it is, for messages: `a layer`.
    const WHAT: &'static str;
    /// The names.
    const NAMES: &'static [&'static str];

    /// The name of this one.
    fn name(&self) -> &'static str;

    /// The variant of that name, from its fields.
    fn from_fields<'de, D: Deserializer<'de>>(name: &str, fields: D) -> Result<Self, D::Error>;
}

/// Writes a variant: its name alone if it has no fields.
pub(crate) fn serialize<S: Serializer, T: Serialize>(
    name: &'static str,
    fields: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    // Fields that are none are a struct of nothing.
    if std::mem::size_of::<T>() == 0 {
        return serializer.serialize_str(name);
    }
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, fields)?;
    map.end()
}

/// Reads a variant.
pub(crate) fn deserialize<'de, T: Tagged, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(TaggedVisitor(PhantomData))
}

struct TaggedVisitor<T>(PhantomData<T>);

impl<T: Tagged> TaggedVisitor<T> {
    fn known<E: serde::de::Error>(name: &str) -> Result<(), E> {
        match T::NAMES.contains(&name) {
            true => Ok(()),
            false => Err(E::custom(format!(
                "`{name}` is not {}; expected one of {}",
                T::WHAT,
                T::NAMES.join(", ")
            ))),
        }
    }
}

impl<'de, T: Tagged> Visitor<'de> for TaggedVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (one of {})", T::WHAT, T::NAMES.join(", "))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<T, E> {
        Self::known(name)?;
        T::from_fields(name, Value::Object(Map::new()))
            .map_err(|e| E::custom(format!("`{name}` alone is not enough: {e}; write `{name}: {{...}}`")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let Some(name) = map.next_key::<String>()? else {
            return Err(A::Error::custom(format!("nothing, expected {}", T::WHAT)));
        };
        Self::known(&name)?;
        let fields = map.next_value_seed(FieldsSeed::<T>(&name, PhantomData))?;
        match (fields, map.next_key::<String>()?) {
            (Some(value), None) => Ok(value),
            (None, None) => self.visit_str(&name),
            (_, Some(other)) => Err(A::Error::custom(format!(
                "`{name}` and `{other}` together, expected one; indent the fields of `{name}`"
            ))),
        }
    }
}

/// The fields after a name; `None` if there is nothing (`relu:`).
struct FieldsSeed<'a, T>(&'a str, PhantomData<T>);

impl<'de, T: Tagged> serde::de::DeserializeSeed<'de> for FieldsSeed<'_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Tagged> Visitor<'de> for FieldsSeed<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the fields of `{}`", self.0)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::from_fields(self.0, serde::de::value::MapAccessDeserializer::new(map)).map(Some)
    }
}

/// The schema of a variant: an object with its name, or the name alone where that is enough.
pub(crate) fn schema<F: JsonSchema + DeserializeOwned>(
    name: &str,
    description: &str,
    generator: &mut SchemaGenerator,
) -> Vec<Schema> {
    let none = json!({});
    let mut forms = Vec::new();
    if F::deserialize(&none).is_ok() {
        forms.push(json_schema!({ "description": description, "const": name }));
    }
    let fields = generator.subschema_for::<F>();
    forms.push(json_schema!({
        "description": description,
        "type": "object",
        "properties": { name: fields },
        "required": [name],
        "additionalProperties": false,
    }));
    forms
}

/// An enum whose variants stand in YAML under the names given.
macro_rules! tagged {
    (
        $(#[$attribute:meta])*
        $vis:vis enum $Enum:ident: $what:literal {
            $($(#[doc = $doc:literal])* $Variant:ident($Fields:ty) = $name:expr,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq)]
        $vis enum $Enum {
            $($(#[doc = $doc])* $Variant($Fields),)*
        }

        impl $crate::tagged::Tagged for $Enum {
            const WHAT: &'static str = $what;
            const NAMES: &'static [&'static str] = &[$($name),*];

            fn name(&self) -> &'static str {
                match self {
                    $($Enum::$Variant(_) => $name,)*
                }
            }

            fn from_fields<'de, D: serde::Deserializer<'de>>(name: &str, fields: D) -> std::result::Result<Self, D::Error> {
                $(if name == $name {
                    return serde::Deserialize::deserialize(fields).map($Enum::$Variant);
                })*
                unreachable!("the name {name:?} was checked against NAMES")
            }
        }

        impl serde::Serialize for $Enum {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                match self {
                    $($Enum::$Variant(fields) => $crate::tagged::serialize($name, fields, serializer),)*
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $Enum {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                $crate::tagged::deserialize(deserializer)
            }
        }

        impl schemars::JsonSchema for $Enum {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($Enum).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let forms = [$(
                    $crate::tagged::schema::<$Fields>($name, concat!($($doc, "\n",)*).trim(), generator),
                )*];
                schemars::json_schema!({ "oneOf": forms.concat() })
            }
        }
    };
}
pub(crate) use tagged;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Plain {}

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Sized {
        size: usize,
    }

    tagged! {
        /// For the tests.
        enum Shape: "a shape" {
            /// No fields.
            Point(Plain) = "point",
            /// One field.
            Square(Sized) = "square",
        }
    }

    fn parse(text: &str) -> Result<Vec<Shape>, String> {
        datasets::yaml::parse(text, std::path::Path::new("f.yaml")).map_err(|e| e.to_string())
    }

    #[test]
    fn every_form_is_read_and_the_shortest_written() {
        let square = Shape::Square(Sized { size: 3 });
        let point = Shape::Point(Plain {});
        let found = parse("- point\n- point:\n- point: {}\n- square: {size: 3}\n").unwrap();
        assert_eq!(found, [point.clone(), point.clone(), point.clone(), square.clone()]);
        assert_eq!(
            datasets::yaml::to_string(&vec![point, square]).unwrap(),
            "- point\n- square:\n    size: 3\n"
        );
    }

    #[test]
    fn errors_speak_of_names_and_fields() {
        for (text, expected) in [
            ("- circle\n", "`circle` is not a shape; expected one of point, square"),
            ("- circle: {size: 3}\n", "`circle` is not a shape"),
            ("- square\n", "`square` alone is not enough: missing field `size`; write `square: {...}`"),
            ("- square: {}\n", "missing field `size`"),
            ("- square: {size: 3, width: 2}\n", "unknown field `width`"),
            (
                "- square:\n  size: 3\n",
                "`square` and `size` together, expected one; indent the fields of `square`",
            ),
            ("- square: 3\n", "found 3, expected the fields of `square`"),
            ("- 3\n", "expected a shape (one of point, square)"),
            ("- {}\n", "nothing, expected a shape"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(expected) && problem.contains("line"), "{text}{problem}");
            for word in ["variant", "struct", "usize"] {
                assert!(!problem.contains(word), "{text}{problem}");
            }
        }
    }
}
