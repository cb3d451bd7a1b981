//! How long a document is with its aliases written out.
//!
//! The library bounds how often aliases are followed by a hundred times the document's nodes, whatever they stand for: a
//! megabyte of text could become hundreds of gigabytes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::MAX_BYTES;
use crate::message::plain;

/// Refuses a document whose aliases (`*name`) make it longer than a file may be.
pub(super) fn check(text: &str) -> Result<(), String> {
    if !may_have_alias(text) {
        return Ok(());
    }
    // Only the first is read; the library gives a broken one again and again.
    let Some(document) = serde_yaml::Deserializer::from_str(text).next() else { return Ok(()) };
    let mut length = 0;
    let read = Length { sum: &mut length, number: longest_number(text) }.deserialize(document);
    read.map_err(|error| match length > MAX_BYTES {
        true => format!("with its aliases written out longer than {MAX_BYTES} bytes"),
        // What cannot be measured is not read.
        false => plain(&error.to_string()),
    })
}

/// Whether a word begins with `*` anywhere, also in texts and comments.
fn may_have_alias(text: &str) -> bool {
    let bytes = text.as_bytes();
    let follows = |at: usize| bytes.get(at + 1).is_some_and(|next| !next.is_ascii_whitespace());
    bytes.iter().enumerate().any(|(at, &byte)| byte == b'*' && follows(at))
}

/// No number of a text has more bytes: `0.000...` may have a million zeros, and is a text where one is expected.
fn longest_number(text: &str) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || b"xo.+-_".contains(byte);
    text.as_bytes().split(|byte| !is_part(byte)).map(<[u8]>::len).max().unwrap_or(0)
}

/// Adds the bytes of all scalars to a sum, and one for each node, without keeping any; fails when it is too large.
struct Length<'a> {
    sum: &'a mut u64,
    /// What a number counts, whose text is not to be had.
    number: usize,
}

impl Length<'_> {
    fn add<E: Error>(self, bytes: usize) -> Result<(), E> {
        *self.sum += bytes as u64 + 1;
        if *self.sum > MAX_BYTES { Err(E::custom("too long")) } else { Ok(()) }
    }

    fn add_number<E: Error>(self) -> Result<(), E> {
        let bytes = self.number;
        self.add(bytes)
    }

    fn again(&mut self) -> Length<'_> {
        Length { sum: self.sum, number: self.number }
    }
}

impl<'de> DeserializeSeed<'de> for Length<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Length<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.add("false".len())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.add_number()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.add_number()
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<(), E> {
        self.add_number()
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<(), E> {
        self.add_number()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.add_number()
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.add(text.len())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.add(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element_seed(self.again())?.is_some() {}
        self.add(0)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(self.again())?.is_some() {
            map.next_value_seed(self.again())?;
        }
        self.add(0)
    }

    fn visit_enum<A: serde::de::EnumAccess<'de>>(mut self, tagged: A) -> Result<(), A::Error> {
        use serde::de::VariantAccess;
        let ((), value) = tagged.variant_seed(self.again())?;
        value.newtype_variant_seed(self)
    }
}
