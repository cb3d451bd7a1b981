//! Text that looks the same is the same.

use unicode_normalization::UnicodeNormalization;

/// With composed characters (Unicode's form C): `é` as one character, not as `e` and an accent, as macOS writes names.
pub(crate) fn composed(text: &str) -> String {
    text.nfc().collect()
}
