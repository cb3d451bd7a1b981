//! What people and programs are told: serde's errors in the words of people who write YAML and JSON,
//! not of those who write Rust; and paths.

use std::path::Path;

use serde::Serializer;

/// Serialises a path as text. A name that is not UTF-8 has no exact form in JSON, and is reported all
/// the same.
///
/// # Errors
/// The serializer's.
pub fn serialize_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// What a parser found, as serde calls it, and as people do.
const FOUND: [(&str, &str); 8] = [
    ("unit value", "nothing"),
    ("sequence", "a list"),
    ("map", "fields"),
    ("unit variant", "a name alone"),
    ("newtype variant", "a name with a value"),
    ("struct variant", "a name with fields"),
    ("tuple variant", "a name with a list"),
    ("Option value", "nothing"),
];

/// What was expected.
const EXPECTED: [(&str, &str); 18] = [
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("u64", "a whole number from 0 to 18446744073709551615"),
    ("usize", "a whole number from 0 to 18446744073709551615"),
    ("i8", "a whole number from -128 to 127"),
    ("i16", "a whole number from -32768 to 32767"),
    ("i32", "a whole number from -2147483648 to 2147483647"),
    ("i64", "a whole number from -9223372036854775808 to 9223372036854775807"),
    ("f32", "a number"),
    ("f64", "a number"),
    ("a boolean", "true or false"),
    ("a string", "a text"),
    ("a sequence", "a list"),
    ("a map", "fields"),
    ("unit variant", "a name alone"),
    ("newtype variant", "a name with fields"),
    ("struct variant", "a name with fields"),
];

/// Puts a message of serde into plain words: `invalid type: unit variant, expected newtype variant`
/// becomes `found a name alone, expected a name with fields`. What is in plain words already stays.
pub fn plain(message: &str) -> String {
    // What follows the first quote is somebody's text, which may look like a message.
    let own = &message[..message.find(['"', '`']).unwrap_or(message.len())];
    if own.ends_with("unknown variant ") {
        return message.replacen("unknown variant ", "unknown value ", 1);
    }
    if let Some(start) = own.find("data did not match any variant") {
        let place = own[start..].find(" at line ").map_or("", |at| &own[start + at..]);
        return format!("{}fits none of the forms that are possible here{place}", &own[..start]);
    }
    let start =
        ["invalid type: ", "invalid value: "].iter().find_map(|kind| Some((own.find(kind)?, kind.len())));
    let Some((start, length)) = start else { return message.to_owned() };
    let (before, rest) = (&message[..start], &message[start + length..]);
    // What was found may hold anything; what was expected does not hold a comma before `expected`.
    let Some((found, rest)) = rest.rsplit_once(", expected ") else { return message.to_owned() };
    let (expected, place) = rest.find(" at line ").map_or((rest, ""), |at| rest.split_at(at));
    format!("{before}found {}, expected {}{place}", plain_found(found), plain_expected(expected))
}

fn plain_found(found: &str) -> &str {
    let number =
        ["integer `", "floating point `", "boolean `"].iter().find_map(|kind| found.strip_prefix(kind));
    if let Some((number, _)) = number.and_then(|number| number.split_once('`')) {
        return number;
    }
    let text = found.strip_prefix("string ");
    text.or_else(|| FOUND.iter().find(|(word, _)| *word == found).map(|(_, plain)| *plain)).unwrap_or(found)
}

fn plain_expected(expected: &str) -> &str {
    if expected.starts_with("struct ") {
        return "fields";
    }
    if expected.starts_with("enum ") || expected == "variant identifier" {
        return "one of its names";
    }
    EXPECTED.iter().find(|(word, _)| *word == expected).map_or(expected, |(_, plain)| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_rust_is_left() {
        for (message, expected) in [
            (
                "optimizer: invalid type: unit variant, expected newtype variant at line 10 column 12",
                "optimizer: found a name alone, expected a name with fields at line 10 column 12",
            ),
            (
                "network[1].dense.features: invalid type: string \"ten\", expected usize at line 8 column 21",
                "network[1].dense.features: found \"ten\", expected a whole number from 0 to 18446744073709551615 at line 8 column 21",
            ),
            (
                "epochs: invalid type: integer `-1`, expected u32",
                "epochs: found -1, expected a whole number from 0 to 4294967295",
            ),
            ("invalid value: integer `300`, expected u8", "found 300, expected a whole number from 0 to 255"),
            (
                "invalid type: floating point `1.5`, expected i64",
                "found 1.5, expected a whole number from -9223372036854775808 to 9223372036854775807",
            ),
            (
                "split: invalid type: integer `3`, expected struct Split at line 5",
                "split: found 3, expected fields at line 5",
            ),
            (
                "batch_size: invalid type: integer `99999999999999999999999` as u128, expected usize at line 13 column 13",
                "batch_size: found 99999999999999999999999, expected a whole number from 0 to 18446744073709551615 at line 13 column 13",
            ),
            (
                "seed: invalid type: unit value, expected u64",
                "seed: found nothing, expected a whole number from 0 to 18446744073709551615",
            ),
            ("name: invalid type: sequence, expected a string", "name: found a list, expected a text"),
            (
                "bias: invalid type: string \"a, expected b\", expected a boolean",
                "bias: found \"a, expected b\", expected true or false",
            ),
            (
                "select: unknown variant `worst`, expected `last` or `best`",
                "select: unknown value `worst`, expected `last` or `best`",
            ),
            (
                "axes[0].values: data did not match any variant of untagged enum Values at line 3 column 5",
                "axes[0].values: fits none of the forms that are possible here at line 3 column 5",
            ),
            (
                "unknown field `invalid type: string, expected u8`, expected `seed`",
                "unknown field `invalid type: string, expected u8`, expected `seed`",
            ),
            (
                "unknown variant `unknown variant `, expected `a`",
                "unknown value `unknown variant `, expected `a`",
            ),
            ("missing field `seed`", "missing field `seed`"),
            (
                "unknown field `x`, expected one of `a`, `b` at line 2",
                "unknown field `x`, expected one of `a`, `b` at line 2",
            ),
        ] {
            assert_eq!(plain(message), expected);
        }
    }
}
