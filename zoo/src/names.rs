//! What can name a model and its versions.

/// Highest version: a number that somebody typed or made up must not use up those that follow.
pub(crate) const MAX_VERSION: u32 = 1_000_000;

/// Whether `name` can name a model.
///
/// # Errors
/// What is expected of a name.
pub fn check_name(name: &str) -> std::result::Result<(), String> {
    let mut characters = name.chars();
    let good = characters.next().is_some_and(|c| c.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
        && name.len() <= 64;
    let expected = "a lower-case letter, then up to 63 lower-case letters, digits, `-` or `_`";
    if good { Ok(()) } else { Err(expected.into()) }
}

/// `7` is version 7; `07` and `0` are not versions, and neither are numbers beyond a million.
pub fn parse_version(name: &str) -> Option<u32> {
    let version: u32 = name.parse().ok()?;
    ((1..=MAX_VERSION).contains(&version) && version.to_string() == name).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_numbers_are_versions() {
        assert_eq!(parse_version("10"), Some(10));
        for name in ["0", "01", "1.0", "+1", "", "v1", "1000001", "4294967295", "99999999999"] {
            assert_eq!(parse_version(name), None, "{name}");
        }
    }
}
