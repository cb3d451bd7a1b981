//! Characters that a terminal would obey.

use std::borrow::Cow;

/// Whether a terminal does something else with it than show it. Lines and tabs are meant; names are not shown with
/// them, see [`one_line`]. Unicode's characters that turn the direction of writing make one name look like another
/// (CVE-2021-42574).
fn is_obeyed(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => character.is_control(),
    }
}

/// The text with those characters written out.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    replaced(text, is_obeyed, |character| character.escape_unicode().to_string())
}

/// The same for JSON, in which they can only be within texts.
pub(crate) fn shown_in_json(json: &str) -> Cow<'_, str> {
    replaced(json, is_obeyed, |character| format!("\\u{:04x}", u32::from(character)))
}

/// A name, or another text from outside, on one line: without this, a file's name could forge a line of a table.
pub fn one_line(text: &str) -> Cow<'_, str> {
    replaced(text, |character| character == '\n' || character == '\t', |c| c.escape_default().to_string())
}

/// A text from outside on one line that no terminal obeys, for what is drawn and not printed here, such as a progress bar.
pub fn escaped(text: &str) -> String {
    shown(&one_line(text)).into_owned()
}

/// A text with spaces behind it, to be `width` characters wide. Rust's own `{:width$}` panics from 65,536 on, and texts
/// from outside may be as long.
pub fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let mut out = String::with_capacity(text.len() + missing);
    out.push_str(text);
    out.extend(std::iter::repeat_n(' ', missing));
    out
}

fn replaced(text: &str, is_bad: fn(char) -> bool, written: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_bad(character) { out.push_str(&written(character)) } else { out.push(character) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (text, expected) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("größe 日本 ✓", "größe 日本 ✓"),
            ("a\u{1b}[31mred", "a\\u{1b}[31mred"),
            ("a\rb\u{7}\u{8}\u{7f}\u{9b}", "a\\u{d}b\\u{7}\\u{8}\\u{7f}\\u{9b}"),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(one_line("a\nb\tc"), "a\\nb\\tc");
        assert_eq!((padded("größe", 7), padded("größe", 2)), ("größe  ".into(), "größe".into()));
        assert_eq!(padded("", 70_000).len(), 70_000);
    }

    #[test]
    fn json_stays_json() {
        let text = serde_json::to_string("a\u{1b}\u{9b}\u{202e}").unwrap();
        let shown = shown_in_json(&text);
        assert!(shown.is_ascii(), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), "a\u{1b}\u{9b}\u{202e}");
    }
}
